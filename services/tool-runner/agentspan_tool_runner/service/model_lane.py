"""The model lane: runs the open model calls, so many at a time, and sends what came of them to the core.

A reply is kept until its command is answered. Whether a failed call is made again is the core's decision: it opens
the next attempt as another task. A task that is closed meanwhile is dropped, with the call that is under way.
"""

import asyncio
import logging

from agentspan.eventlog.commands import Commands, OutcomeUnknown, Unavailable
from agentspan_schemas import Failure, TooLarge
from agentspan_schemas.codec import encode
from agentspan_schemas.commands import ModelFailed, ModelReply
from agentspan_schemas.tasks import ModelTask
from agentspan_tool_runner.models import ModelError, ModelRequest, Providers
from agentspan_tool_runner.ports import Chance, DefinitionOf, Now, Sleep

log = logging.getLogger(__name__)

FIRST_PAUSE_S = 0.1
LONGEST_PAUSE_S = 5.0


class ModelLane:
    """One lane. `run()` owns the calls; `opened` and `closed` feed it."""

    def __init__(
        self,
        *,
        worker: str,
        providers: Providers,
        commands: Commands,
        definition_of: DefinitionOf,
        now: Now,
        sleep: Sleep,
        chance: Chance,
        limit: int,
    ) -> None:
        self._worker = worker
        self._providers = providers
        self._commands = commands
        self._definition_of = definition_of
        self._now = now
        self._sleep = sleep
        self._chance = chance
        self._limit = limit
        self._waiting: dict[str, ModelTask] = {}
        self._running: dict[str, asyncio.Task[None]] = {}
        self._answered: set[str] = set()
        self._news = asyncio.Event()

    def opened(self, task: ModelTask) -> None:
        """A model call is to be made; the same one again changes nothing."""
        key = task.task_key
        if key not in self._running and key not in self._answered:
            self._waiting[key] = task
            self._news.set()

    def closed(self, key: str) -> None:
        """A model call is not wanted any more."""
        self._answered.discard(key)
        self._waiting.pop(key, None)
        if running := self._running.pop(key, None):
            running.cancel()
            self._news.set()

    async def run(self) -> None:
        """Make the calls, until cancelled."""
        async with asyncio.TaskGroup() as group:
            while True:
                await self._news.wait()
                self._news.clear()
                while self._waiting and len(self._running) < self._limit:
                    key = next(iter(self._waiting))
                    task = self._waiting.pop(key)
                    self._running[key] = group.create_task(self._work(key, task))

    async def _work(self, key: str, task: ModelTask) -> None:
        await self._deliver(_fitting(await self._ask(task)))
        # Cancelled meanwhile? Then this line is not reached, and `closed` has made room.
        del self._running[key]
        self._answered.add(key)
        self._news.set()

    async def _ask(self, task: ModelTask) -> ModelReply | ModelFailed:
        began_at = self._now()
        try:
            response = await self._providers.reply(await self._request(task))
        except ModelError as error:
            return self._failed(task, error)
        except Exception as error:  # a plug-in's mistake must not stop the others' calls
            log.exception("the provider of task %r failed", task.task_key)
            message = f"the model provider failed with {type(error).__name__}; the server's log has the details"
            return self._failed(task, ModelError("provider_failed", message, retryable=True))
        duration_ms = (self._now() - began_at).total_seconds() * 1000
        return ModelReply(
            command_id=f"{task.task_key}/result",
            execution_id=task.execution_id,
            turn=task.turn,
            attempt=task.attempt,
            worker=self._worker,
            began_at=began_at,
            duration_ms=duration_ms,
            model=response.model,
            text=response.text,
            tool_calls=response.tool_calls,
            blocks=response.blocks,
            stop_reason=response.stop_reason,
            usage=response.usage,
        )

    async def _request(self, task: ModelTask) -> ModelRequest:
        definition = await self._definition_of(task.agent, task.agent_version)
        if definition is None:
            message = f"agent {task.agent!r} has no version {task.agent_version!r} here (yet): register it again"
            raise ModelError("unknown_agent", message, retryable=True)
        return ModelRequest(
            definition=definition,
            messages=task.messages,
            metadata=task.metadata,
            execution_id=task.execution_id,
            turn=task.turn,
            key=task.key,
        )

    def _failed(self, task: ModelTask, error: ModelError) -> ModelFailed:
        log.warning("model call %r failed: %s: %s", task.task_key, error.kind, error.message)
        return ModelFailed(
            command_id=f"{task.task_key}/result",
            execution_id=task.execution_id,
            turn=task.turn,
            attempt=task.attempt,
            error=Failure(kind=error.kind, message=error.message),
            retryable=error.retryable,
            retry_after_s=error.retry_after_s,
            worker=self._worker,
        )

    async def _deliver(self, command: ModelReply | ModelFailed) -> None:
        pause_s = FIRST_PAUSE_S
        while True:
            try:
                answer = await self._commands.submit(command)
            except (Unavailable, OutcomeUnknown) as error:
                log.info("%r is sent again: %s", command.command_id, error)
                await self._sleep(pause_s * (0.5 + self._chance() / 2))
                pause_s = min(LONGEST_PAUSE_S, pause_s * 2)
                continue
            if answer.refusal is not None:
                log.info("%r was refused: %s", command.command_id, answer.refusal.message)
            return


def _fitting(command: ModelReply | ModelFailed) -> ModelReply | ModelFailed:
    """The command, or, where no message can hold it, that it is too large."""
    try:
        encode(command)
    except TooLarge as error:
        message = f"the reply is {error}; have the model answer in fewer words"
        return ModelFailed(
            command_id=command.command_id,
            execution_id=command.execution_id,
            turn=command.turn,
            attempt=command.attempt,
            error=Failure(kind="reply_too_large", message=message),
            retryable=False,
            worker=command.worker,
        )
    return command
