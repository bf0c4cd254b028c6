"""The approvals service with all that other teams see of it, on a running orchestrator."""

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field

from agentspan.eventlog import CaughtUp, Change, FateUnknown, Record, Table
from agentspan.eventlog.memory import MemoryLog, MemoryTable
from agentspan_approvals.adapters.sqlite_store import SqliteApprovalStore
from agentspan_approvals.decisions import Decisions
from agentspan_approvals.publisher import Publisher
from agentspan_approvals.service import Approvals
from agentspan_schemas import Unreadable
from agentspan_schemas.approvals import ApprovalRecord
from agentspan_schemas.codec import APPROVALS
from tests.support.intake import MemoryDeadLetters, MemoryTopic
from tests.support.orchestration import Process, World, process

PARTITIONS = 3


class Writing(MemoryTable):
    """A table whose writers can be told that some writes were not acknowledged, and that keeps every write."""

    def __init__(self) -> None:
        super().__init__(PARTITIONS)
        self.fail = 0
        self.writes: list[tuple[str, int | None, Record | None]] = []
        self.followed: list[int | None] = []
        """The partition of each following."""

    def follow(self, partition: int | None = None) -> AsyncGenerator[Change | CaughtUp, None]:
        self.followed.append(partition)
        return super().follow(partition)

    def put(self, key: str, record: Record | None, *, partition: int | None = None) -> asyncio.Future[Sequence[None]]:
        if self.fail > 0:
            self.fail -= 1
            failed: asyncio.Future[Sequence[None]] = asyncio.get_running_loop().create_future()
            failed.set_exception(FateUnknown("not acknowledged"))
            return failed
        self.writes.append((key, partition, record))
        return super().put(key, record, partition=partition)


@dataclass
class Office:
    """What outlives a process."""

    world: World = field(default_factory=lambda: World(MemoryLog(PARTITIONS)))
    table: Writing = field(default_factory=Writing)
    store: SqliteApprovalStore = field(default_factory=lambda: SqliteApprovalStore(":memory:"))
    topic: MemoryTopic = field(default_factory=lambda: MemoryTopic("agentspan.decisions"))
    dead: MemoryDeadLetters = field(default_factory=MemoryDeadLetters)
    restores: bool = False
    """Whether a view that is new is restored from the table, or folded from the log."""
    approvals: Approvals | None = None
    """Those of the process that was opened last."""

    @asynccontextmanager
    async def open(
        self, sleep: Callable[[float], Awaitable[None]] | None = None, *, assigned: asyncio.Event | None = None
    ) -> AsyncIterator[Process]:
        """One process, until it is killed. Its publisher waits by `sleep`, and publishes once it is `assigned`."""
        async with process(self.world) as here:
            now, pause = self.world.clock.now, sleep or _for_ever
            log, store = self.world.log, self.store
            publisher = Publisher(table=self.table, store=store, log_id=log.id, now=now, sleep=pause)
            table = self.table if self.restores else None
            approvals = Approvals(log=log, commands=here.commands, store=store, publisher=publisher, table=table)
            decisions = Decisions(
                source=self.topic.source(), dead_letters=self.dead, commands=here.commands, now=now, sleep=_at_once
            )
            self.approvals = approvals
            running = [asyncio.create_task(each.run()) for each in (approvals, decisions)]
            running.append(asyncio.create_task(_published(publisher, assigned)))
            try:
                yield here
            finally:
                for task in running:
                    task.cancel()
                await asyncio.wait(running)

    async def record(self, key: str, reached: Callable[[ApprovalRecord], bool]) -> ApprovalRecord:
        """The entry of the table, as soon as it is as wanted."""
        async with asyncio.timeout(20):
            async for entry in entries(self.table, key):
                if reached(entry):
                    return entry
        raise AssertionError("a table is followed for ever")


async def entries(table: Table, key: str) -> AsyncIterator[ApprovalRecord]:
    """What a key holds now, if anything, and after each change."""
    async for change in table.follow():
        if not isinstance(change, CaughtUp) and change.key == key and change.record is not None:
            with suppress(Unreadable):
                yield APPROVALS.decode(change.record.value)


async def _published(publisher: Publisher, assigned: asyncio.Event | None) -> None:
    if assigned is not None:
        await assigned.wait()
    await publisher.run()


async def _for_ever(seconds: float) -> None:
    await asyncio.Event().wait()


async def _at_once(seconds: float) -> None:
    await asyncio.sleep(0)
