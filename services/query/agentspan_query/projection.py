"""The projection: every event that counts becomes its rows in ClickHouse, at least once and in order.

Rows are the same however often they are written; where it stands is saved after them. While ClickHouse is away the log
waits: nothing is dropped, nothing piles up here.
"""

import asyncio
import logging
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass, field
from datetime import datetime
from typing import TypeVar

from agentspan.eventlog import BEGINNING, BeyondEnd, Log, Outcome, Position
from agentspan.eventlog.messages import stored_events
from agentspan_query.domain.rows import EventRow, ExecutionRow, event_row, execution_row
from agentspan_query.errors import QueryError
from agentspan_query.ports import Sink, Sleep
from agentspan_query.tail import Tail
from agentspan_schemas.events import Event

logger = logging.getLogger(__name__)

T = TypeVar("T")

FLUSH_ROWS = 5_000
FLUSH_BYTES = 16 * 1024 * 1024
FLUSH_S = 0.25
FIRST_PAUSE_S = 0.5
LONGEST_PAUSE_S = 15.0


@dataclass(slots=True)
class Batch:
    """The rows of whole outcomes of one partition, as much as is written at once."""

    begins: Position
    position: Position
    """Behind its last outcome."""
    events: list[EventRow] = field(default_factory=list)
    size: int = 0
    _last: dict[str, Event] = field(default_factory=dict)

    @property
    def executions(self) -> list[ExecutionRow]:
        """Each execution as it stands after the last of its events here: the rows before would only be merged away."""
        return [execution_row(event) for event in self._last.values()]

    @property
    def at(self) -> datetime | None:
        """When the last of it happened."""
        return self.events[-1].at if self.events else None

    def add(self, number: int, outcome: Outcome) -> None:
        """An outcome's rows, too."""
        for stored, event in stored_events(outcome):
            raw = stored.record.value
            self.events.append(event_row(event, raw=raw, partition=number, offset=stored.offset))
            self._last[event.execution_id] = event
            self.size += len(raw)
        self.position = outcome.position

    @property
    def full(self) -> bool:
        return len(self.events) >= FLUSH_ROWS or self.size >= FLUSH_BYTES


async def batches(log: Log, number: int, position: Position, end: int) -> AsyncIterator[Batch]:
    """Every outcome of a partition that ends in the records before `end`, from `position` on."""
    batch = Batch(position, position)
    async for outcome in log.partition(number).follow(position, until=Position(end, 0, 0)):
        batch.add(number, outcome)
        if batch.full:
            yield batch
            batch = Batch(batch.position, batch.position)
    if batch.position != batch.begins:
        yield batch


class Projection:
    """Runs one loop a partition."""

    def __init__(self, log: Log, sink: Sink, tail: Tail, *, sleep: Sleep) -> None:
        self._log = log
        self._sink = sink
        self._tail = tail
        self._sleep = sleep
        self._refused: dict[int | None, str] = {}
        self.written = 0
        """Events that were written; one that is written again counts again."""
        self.failed = 0
        """Times that something was not written, or not read, and is tried again."""
        self.reached: dict[int, int] = {}
        """Of each partition, the offset on the log up to which all is written."""

    @property
    def trouble(self) -> str | None:
        """Why nothing is written now; None: all is well."""
        return next(iter(self._refused.values()), None)

    async def run(self) -> None:
        """Project every partition, until cancelled."""
        positions = await self._persisted(None, self._sink.positions)
        async with asyncio.TaskGroup() as group:
            for number in range(self._log.partitions):
                group.create_task(self._project(number, positions.get(number, BEGINNING)))

    async def _project(self, number: int, position: Position) -> None:
        partition = self._log.partition(number)
        while True:
            end = await partition.end()
            try:
                position = await self._store_up_to(number, position, end)
            except BeyondEnd as error:
                logger.warning("history is ahead of the log; it is projected again from the beginning: %s", error)
                position = BEGINNING
                continue
            self.reached[number] = end
            self._tail.project(number, end)
            await partition.wait(end)
            await self._sleep(FLUSH_S)

    async def _store_up_to(self, number: int, position: Position, end: int) -> Position:
        """Store every outcome that ends in the records before `end`; the position after the last of them."""
        async for batch in batches(self._log, number, position, end):
            await self._persisted(number, lambda: self._store(number, batch))  # noqa: B023 - awaited before the next
            position = batch.position
            self._tail.project(number, position.offset, batch.at)
        return position

    async def _store(self, number: int, batch: Batch) -> None:
        await self._sink.write(batch.events, batch.executions)
        await self._sink.save_position(number, batch.position)
        self.written += len(batch.events)
        self.reached[number] = batch.position.offset

    async def _persisted(self, number: int | None, work: Callable[[], Awaitable[T]]) -> T:
        """The work's result, however often it takes: the log waits meanwhile, with all that is not written yet."""
        pause_s = FIRST_PAUSE_S
        while True:
            try:
                done = await work()
            except QueryError as error:
                logger.warning("history can't be written, the log waits; again in %.1f s: %s", pause_s, error)
                self._refused[number] = str(error)
                self.failed += 1
                await self._sleep(pause_s)
                pause_s = min(2 * pause_s, LONGEST_PAUSE_S)
            else:
                self._refused.pop(number, None)
                return done
