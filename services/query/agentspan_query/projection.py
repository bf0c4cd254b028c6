"""The projection: every event that counts becomes its rows in ClickHouse, at least once and in order.

Rows are the same however often they are written; where it stands is saved after them. While ClickHouse is away the log
waits: nothing is dropped, nothing piles up here.
"""

import asyncio
import logging
from collections.abc import Mapping
from dataclasses import dataclass, field

from agentspan.eventlog import BEGINNING, BeyondEnd, Log, Outcome, Position
from agentspan.eventlog.messages import events_of
from agentspan_query.domain.rows import EventRow, ExecutionRow, event_row, execution_row
from agentspan_query.errors import QueryError
from agentspan_query.ports import Sink, Sleep
from agentspan_query.tail import Tail

logger = logging.getLogger(__name__)

FLUSH_ROWS = 5_000
FLUSH_BYTES = 16 * 1024 * 1024
FLUSH_S = 0.25
AGAIN_S = 1.0


@dataclass(slots=True)
class _Batch:
    """The rows of whole outcomes of one partition."""

    position: Position
    events: list[EventRow] = field(default_factory=list)
    executions: list[ExecutionRow] = field(default_factory=list)
    size: int = 0

    def add(self, number: int, outcome: Outcome) -> None:
        raw = {stored.offset: stored.record.value for stored in outcome.records}
        for offset, event in events_of(outcome):
            self.events.append(event_row(event, raw=raw[offset], partition=number, offset=offset))
            self.executions.append(execution_row(event))
            self.size += len(raw[offset])
        self.position = outcome.position

    @property
    def full(self) -> bool:
        return len(self.events) >= FLUSH_ROWS or self.size >= FLUSH_BYTES


class Projection:
    """Runs one loop a partition."""

    def __init__(self, log: Log, sink: Sink, tail: Tail, *, sleep: Sleep) -> None:
        self._log = log
        self._sink = sink
        self._tail = tail
        self._sleep = sleep

    async def run(self) -> None:
        """Project every partition, until cancelled."""
        positions = await self._positions()
        async with asyncio.TaskGroup() as group:
            for number in range(self._log.partitions):
                group.create_task(self._project(number, positions.get(number, BEGINNING)))

    async def _positions(self) -> Mapping[int, Position]:
        while True:
            try:
                return await self._sink.positions()
            except QueryError as error:
                logger.warning("history can't be read yet: %s", error)
                await self._sleep(AGAIN_S)

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
            await self._tail.project(number, end)
            await partition.wait(end)
            await self._sleep(FLUSH_S)

    async def _store_up_to(self, number: int, position: Position, end: int) -> Position:
        """Store every outcome that ends in the records before `end`; the position after the last of them."""
        batch = _Batch(position)
        async for outcome in self._log.partition(number).follow(position, until=Position(end, 0, 0)):
            batch.add(number, outcome)
            if batch.full:
                await self._store(number, batch)
                batch = _Batch(batch.position)
        if batch.position != position:
            await self._store(number, batch)
        return batch.position

    async def _store(self, number: int, batch: _Batch) -> None:
        while True:
            try:
                await self._sink.write(batch.events, batch.executions)
                await self._sink.save_position(number, batch.position)
                return
            except QueryError as error:
                logger.warning("history can't be written, the log waits: %s", error)
                await self._sleep(AGAIN_S)
