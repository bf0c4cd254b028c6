"""A projection at work over a log: the tables that it writes to, which can refuse, and a sleep that tests end.

Apart from its tests because those of what cannot be read stand by themselves.
"""

import asyncio
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

from agentspan.eventlog import Log, Ownership, Position, Record
from agentspan.eventlog.messages import log_record
from agentspan_query.aside import Aside
from agentspan_query.domain.rows import EventRow, ExecutionRow, Refused
from agentspan_query.errors import HistoryUnavailable
from agentspan_query.projection import Projection
from agentspan_query.tail import Tail
from tests.support.eventually import WITHIN_S, until
from tests.support.intake import MemoryDeadLetters
from tests.support.query_history import T0, History


@dataclass
class Tables:
    """What was written, and what is to go wrong."""

    writes: list[list[str]] = field(default_factory=list)
    """Of each write, `execution/seq` of its events."""
    executions: dict[str, str] = field(default_factory=dict)
    saved: dict[int, Position] = field(default_factory=dict)
    refuses: str = ""
    """`rows` or `positions`."""
    never: set[str] = field(default_factory=set)
    """Events whose row is never taken."""

    @property
    def rows(self) -> list[str]:
        return [row for rows in self.writes for row in rows]

    async def write(self, events: Sequence[EventRow], executions: Sequence[ExecutionRow]) -> Sequence[Refused]:
        if self.refuses == "rows":
            raise HistoryUnavailable("gone")
        refused = [Refused(row, "events", "no") for row in events if named(row) in self.never]
        if events:
            self.writes.append([named(row) for row in events if named(row) not in self.never])
        self.executions |= {row.execution_id: row.status for row in executions}
        return refused

    async def save_positions(self, positions: Mapping[int, Position]) -> None:
        if self.refuses == "positions":
            raise HistoryUnavailable("gone")
        self.saved |= positions

    async def positions(self) -> Mapping[int, Position]:
        return dict(self.saved)


def named(row: EventRow) -> str:
    return f"{row.execution_id}/{row.seq}"


class Sleeper:
    """Sleeps until it is woken, once for each time."""

    def __init__(self) -> None:
        self.slept: list[float] = []
        self._wakes = asyncio.Semaphore(0)
        self.is_asleep = False

    async def sleep(self, seconds: float) -> None:
        self.slept.append(seconds)
        self.is_asleep = True
        await self._wakes.acquire()
        self.is_asleep = False

    async def wake(self) -> None:
        """Once it sleeps."""
        await until(lambda: self.is_asleep)
        self.is_asleep = False
        self._wakes.release()


@dataclass
class Room:
    """A log with its owner, and a projection of it at work."""

    log: Log
    tables: Tables
    tail: Tail
    projection: Projection
    sleeper: Sleeper
    owners: Sequence[Ownership]
    letters: MemoryDeadLetters

    async def append(self, number: int, *histories: History) -> None:
        """Each as one outcome, and return when the tail has them."""
        for history in histories:
            await self.append_records(number, *[log_record(event) for event in history.events])

    async def append_records(self, number: int, *records: Record) -> None:
        """As one outcome, and return when the tail has it."""
        await self.owners[number].append(records)
        async with asyncio.timeout(WITHIN_S):
            await self.tail.reached(number, await self.log.partition(number).end() - 1)

    async def caught_up(self) -> None:
        """Return when all that is on the log is written."""
        async with asyncio.timeout(WITHIN_S):
            for number in range(self.log.partitions):
                await self.tail.is_projected(number, await self.log.partition(number).end())


@asynccontextmanager
async def room(log: Log, tables: Tables, *, waits: bool = False, **bounds: int) -> AsyncIterator[Room]:
    """Within the block. What was on the log before is written at once, without a sleep; `waits`: not all can be."""
    owners = [await log.partition(number).take_over("owner") for number in range(log.partitions)]
    tail, sleeper = Tail(log, **bounds), Sleeper()
    letters = MemoryDeadLetters()
    aside = Aside(letters, "agentspan.events", now=lambda: T0)
    projection = Projection(log, tables, tail, aside, sleep=sleeper.sleep)
    running = [asyncio.create_task(service) for service in (tail.run(), projection.run())]
    one = Room(log, tables, tail, projection, sleeper, owners, letters)
    try:
        if not tables.refuses and not waits:
            await one.caught_up()
        yield one
        assert not any(task.done() for task in running)
    finally:
        for task in running:
            task.cancel()
        await asyncio.wait(running)


def many(count: int, of: str = "exec") -> list[History]:
    return [History(f"{of}-{number}").started() for number in range(count)]
