"""The tool-runner as a whole: one reading of the tasks table feeds the model lane and the gateway.

Nothing is begun before all that stands on the table is read, for a task may be followed there by its tombstone; nor
before it is known what others have in hand, and they can know what is begun here.
"""

import asyncio
import logging
from typing import assert_never

from agentspan.eventlog import CaughtUp, Change, Table
from agentspan.eventlog.commands import Commands
from agentspan.eventlog.messages import message_of
from agentspan_schemas import Unreadable
from agentspan_schemas.codec import TASKS, encode
from agentspan_schemas.tasks import ModelTask, ToolTask
from agentspan_tool_runner.domain.dispatch import OpenCall
from agentspan_tool_runner.models import Providers
from agentspan_tool_runner.ports import Chance, DefinitionOf, Deltas, NewId, Now, Sleep
from agentspan_tool_runner.service.gateway import Gateway
from agentspan_tool_runner.service.model_lane import ModelLane

logger = logging.getLogger(__name__)


class ToolRunner:
    """The service. `run()` owns everything that it starts."""

    def __init__(
        self,
        *,
        tasks: Table,
        workers: Table,
        commands: Commands,
        providers: Providers,
        definition_of: DefinitionOf,
        now: Now,
        sleep: Sleep,
        new_id: NewId,
        chance: Chance,
        model_calls: int = 32,
        lease_s: float = 10.0,
        grant_s: float = 5.0,
        deltas: Deltas | None = None,
        steady: Now | None = None,
    ) -> None:
        """`model_calls`: so many at a time. `lease_s`, `grant_s`: as the gateway tells its workers. `deltas`: as the
        model lane says. `steady`: as the gateway says."""
        gateway_id = new_id()
        self._tasks = tasks
        self._providers = providers
        self.loaded = asyncio.Event()
        """Set once all open tasks are known."""
        self.gateway = Gateway(
            gateway_id=gateway_id,
            commands=commands,
            workers=workers,
            now=now,
            sleep=sleep,
            new_id=new_id,
            lease_s=lease_s,
            grant_s=grant_s,
            steady=steady,
        )
        self.models = ModelLane(
            worker=f"models@{gateway_id}",
            providers=providers,
            commands=commands,
            definition_of=definition_of,
            now=now,
            sleep=sleep,
            chance=chance,
            limit=model_calls,
            announcer=self.gateway.announcer,
            deltas=deltas,
            steady=steady,
        )

    async def run(self) -> None:
        """Run tasks, until cancelled."""
        try:
            async with asyncio.TaskGroup() as group:
                group.create_task(self._feed())
                group.create_task(self.gateway.run())
                group.create_task(self.models.run())
        finally:
            await self._providers.aclose()

    async def _feed(self) -> None:
        standing: dict[str, Change] = {}
        async for change in self._tasks.follow():
            match change:
                case CaughtUp():
                    await self.gateway.announcer.loaded.wait()
                    await self.gateway.announcer.seen.wait()
                    for stood in standing.values():
                        self._apply(stood, new=False)
                    standing.clear()
                    self.loaded.set()
                case Change(record=None) if not self.loaded.is_set():
                    standing.pop(change.key, None)
                case Change() if not self.loaded.is_set():
                    standing[change.key] = change
                case Change():
                    self._apply(change)
                case _:
                    assert_never(change)

    def _apply(self, change: Change, *, new: bool = True) -> None:
        if change.record is None:
            self.models.closed(change.key)
            self.gateway.closed(change.key)
            return
        try:
            task = message_of(change.record, TASKS)
        except Unreadable as error:
            logger.error("task %r cannot be read and is left alone: %s", change.key, error)
            return
        match task:
            case ModelTask():
                self.models.opened(task, change.record.value, new=new)
            case ToolTask():
                self.gateway.opened(_call(task, change.key, change.record.value), new=new)
            case _:
                assert_never(task)


def _call(task: ToolTask, key: str, value: bytes) -> OpenCall:
    """As the table has it. What another hand wrote in several lines would be no line of a worker's stream."""
    return OpenCall(key, (task.agent, task.tool, task.input_schema_hash), encode(task) if b"\n" in value else value)
