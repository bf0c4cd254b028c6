"""Executions that wait for a person, put on a cluster's topics as the servers would have left them there.

Apart from the benchmark that restores them: to drive 100,000 through the doors takes a quarter of an hour. Here the
core decides each, the log's owner appends what it says, and the services' own functions make snapshots, tasks and
requests of it; only the network between is left out.
"""

from __future__ import annotations

import asyncio
import gc
from collections.abc import Awaitable, Iterator, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Final

from agentspan.eventlog import Log, Ownership, Position, Record, Table, partition_for
from agentspan.eventlog.kafka import Kafka, KafkaConfig
from agentspan.eventlog.messages import log_record
from agentspan_approvals.domain import fold
from agentspan_approvals.entries import Reach, entry
from agentspan_orchestrator.domain import Execution, decide, open_tasks
from agentspan_orchestrator.snapshot_records import CHECKPOINT, Checkpoint, checkpoint_record, key_of, state_record
from agentspan_schemas import JsonObject
from agentspan_schemas import commands as c
from agentspan_schemas.agents import AgentDefinition
from agentspan_schemas.approvals import ApprovalRecord
from agentspan_schemas.canonical import content_hash
from agentspan_schemas.codec import encode
from agentspan_schemas.events import Event
from agentspan_schemas.ids import execution_id_for
from agentspan_schemas.tasks import Task
from agentspan_schemas.topics import APPROVALS, SNAPSHOTS, TASKS

from . import job, model

SOURCE: Final = "bench"
AT_ONCE: Final = 100
"""So many of a partition are on their way to the brokers."""

COLLECTED_AFTER: Final = 25_000, 10, 200
"""Or the collector takes most of the time."""

SIDE_BY_SIDE: Final = 4
"""So many partitions: while one waits for the brokers, another is decided."""


async def put(config: KafkaConfig, definition: AgentDefinition, prefix: str, count: int) -> None:
    """The tickets `<prefix>-0` and on, each waiting for its refund's approval. No server runs meanwhile."""
    kafka = Kafka(config)
    gc.set_threshold(*COLLECTED_AFTER)
    try:
        log = await kafka.log()
        tables = await kafka.table(SNAPSHOTS), await kafka.table(TASKS), await kafka.table(APPROVALS)
        names: list[list[str]] = [[] for _ in range(log.partitions)]
        for name in (f"{prefix}-{number}" for number in range(count)):
            names[partition_for(execution_id_for(SOURCE, name), log.partitions)].append(name)
        side_by_side = asyncio.Semaphore(SIDE_BY_SIDE)
        async with asyncio.TaskGroup() as group:
            for number, its in enumerate(names):
                group.create_task(_Partition(number, log, *tables, definition).fill(its, side_by_side))
    finally:
        await kafka.close()


@dataclass(slots=True)
class _Parked:
    """What was decided of one ticket."""

    state: Execution | None = None
    outcomes: list[tuple[Event, ...]] = field(default_factory=list)
    tasks: dict[str, Task] = field(default_factory=dict)
    """All that were ever open; each is closed in the end."""

    @classmethod
    def of(cls, name: str, definition: AgentDefinition) -> _Parked:
        """The ticket, until it waits."""
        parked = cls()
        for command in _commands(name, definition):
            now = datetime.now(UTC)
            outcome = decide(parked.state, command, now, definition)
            assert outcome.state is not None
            parked.state = outcome.state
            parked.outcomes.append(outcome.events)
            parked.tasks |= {task.task_key: task for task in open_tasks(outcome.state, now)}
        return parked

    @property
    def living(self) -> Execution:
        """The state, of one that was started."""
        assert self.state is not None
        return self.state

    def requests(self) -> Sequence[ApprovalRecord]:
        """The requests that its events make."""
        found: dict[str, ApprovalRecord] = {}
        for event in (event for events in self.outcomes for event in events):
            found |= {request.approval_id: request for request in fold(found.values(), event)}
        return list(found.values())


@dataclass(slots=True)
class _Partition:
    """The topics of one partition, written by their only owner."""

    number: int
    log: Log
    snapshots: Table
    tasks: Table
    approvals: Table
    definition: AgentDefinition

    async def fill(self, names: Sequence[str], side_by_side: asyncio.Semaphore) -> None:
        """Decide these, then say that all of it is on the topics."""
        ownership = await self.log.partition(self.number).take_over("bench")
        reached = ownership.position
        for at in range(0, len(names), AT_ONCE):
            async with side_by_side:
                some = [_Parked.of(name, self.definition) for name in names[at : at + AT_ONCE]]
                reached = await self._park(some, ownership, reached)
        checkpoint = checkpoint_record(Checkpoint(reached, None), self.log.id)
        await self.snapshots.put(key_of(CHECKPOINT, ownership.epoch), checkpoint, partition=self.number)
        ownership.close()

    async def _park(self, some: Sequence[_Parked], ownership: Ownership, published: Position) -> Position:
        """Events first; what follows from them when they are released."""
        released = [ownership.append([log_record(each) for each in events]) for one in some for events in one.outcomes]
        position = (await asyncio.gather(*released))[-1].position
        reach = Reach(self.log.id, position, published)
        await asyncio.gather(*[put for one in some for put in self._follows(one, ownership.epoch, reach)])
        return position

    def _follows(self, one: _Parked, epoch: int, reach: Reach) -> Iterator[Awaitable[object]]:
        for key, task in one.tasks.items():
            opened = Record(task.lane, task.execution_id, encode(task), {}, task)
            yield self.tasks.put(key, opened, partition=self.number)
            yield self.tasks.put(key, None, partition=self.number)
        snapshot = state_record(one.living, self.log.id, reach.reflects, one.living.at)
        yield self.snapshots.put(key_of(one.living.execution_id, epoch), snapshot, partition=self.number)
        for request in one.requests():
            yield self.approvals.put(request.approval_id, entry(request, reach), partition=self.number)


def _commands(name: str, definition: AgentDefinition) -> Iterator[c.Command]:
    """All that is asked of it, until it waits."""
    of = execution_id_for(SOURCE, name)
    prompt = job.ticket_text(name)
    yield c.Start.of(
        command_id=f"start:{of}",
        execution_id=of,
        agent=definition.name,
        agent_version=definition.version,
        prompt=prompt,
        requested_by=SOURCE,
        source=SOURCE,
        key=name,
        content_hash=content_hash([prompt]),
    )
    yield _reply(of, 1, *model.look_ups(name))
    yield _returned(of, "1-0", job.customer(name))
    yield _returned(of, "1-1", job.orders(name))
    yield _reply(of, 2, *model.wanted_refund(name))


def _reply(of: str, turn: int, text: str, calls: tuple[c.AskedCall, ...]) -> c.ModelReply:
    command_id = f"{of}/model-{turn}/1/result"
    return c.ModelReply.of(
        command_id=command_id, execution_id=of, turn=turn, attempt=1, model=job.MODEL, text=text, tool_calls=calls,
        stop_reason="tool_use", usage=model.USAGE,
    )  # fmt: skip


def _returned(of: str, call_id: str, value: JsonObject) -> c.ReturnResult:
    command_id = f"{of}/{call_id}/1/result"
    return c.ReturnResult.of(
        command_id=command_id, execution_id=of, call_id=call_id, attempt=1, ok=True, value=value, worker=SOURCE
    )
