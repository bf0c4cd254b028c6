"""The projection: every event that counts becomes its rows in ClickHouse, at least once and in order.

Rows are the same however often they are written; where it stands is saved after them. While ClickHouse is away the log
waits: nothing is dropped, nothing piles up here.
"""

import asyncio
import logging
from collections.abc import AsyncIterator

from agentspan.eventlog import BEGINNING, BeyondEnd, Log, Outcome, Position
from agentspan.eventlog.messages import events_of
from agentspan_query.domain.rows import EventRow, ExecutionRow, event_row, execution_row
from agentspan_query.errors import QueryError
from agentspan_query.ports import Sink, Sleep
from agentspan_query.tail import Tail

logger = logging.getLogger(__name__)

FLUSH_ROWS = 5_000
FLUSH_S = 0.25
AGAIN_S = 1.0


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

    async def _positions(self) -> dict[int, Position]:
        while True:
            try:
                return dict(await self._sink.positions())
            except QueryError as error:
                logger.warning("history can't be read yet: %s", error)
                await self._sleep(AGAIN_S)

    async def _project(self, number: int, position: Position) -> None:
        await self._tail.project(number, position.offset)
        try:
            await self._follow(number, position)
        except BeyondEnd as error:
            logger.warning("history is ahead of the log; it is projected again from the beginning: %s", error)
            await self._follow(number, BEGINNING)

    async def _follow(self, number: int, position: Position) -> None:
        async for batch in self._batches(number, position):
            events, executions = _rows(number, batch)
            position = batch[-1].position
            await self._store(number, events, executions, position)
            await self._tail.project(number, position.offset)

    async def _batches(self, number: int, position: Position) -> AsyncIterator[list[Outcome]]:
        """Outcomes as they come, gathered until they are many or the first of them has waited long enough."""
        queue: asyncio.Queue[Outcome] = asyncio.Queue(maxsize=FLUSH_ROWS)
        reading = asyncio.create_task(self._read(number, position, queue))
        try:
            while True:
                first = asyncio.create_task(queue.get())
                await asyncio.wait((first, reading), return_when=asyncio.FIRST_COMPLETED)
                if not first.done():
                    first.cancel()
                    await reading  # raises what ended it
                    return
                await self._sleep(FLUSH_S)
                batch = [first.result()]
                while not queue.empty() and sum(len(outcome.records) for outcome in batch) < FLUSH_ROWS:
                    batch.append(queue.get_nowait())
                yield batch
        finally:
            reading.cancel()

    async def _read(self, number: int, position: Position, queue: "asyncio.Queue[Outcome]") -> None:
        async for outcome in self._log.partition(number).follow(position):
            await queue.put(outcome)

    async def _store(
        self, number: int, events: list[EventRow], executions: list[ExecutionRow], position: Position
    ) -> None:
        while True:
            try:
                await self._sink.write(events, executions)
                await self._sink.save_position(number, position)
                return
            except QueryError as error:
                logger.warning("history can't be written, the log waits: %s", error)
                await self._sleep(AGAIN_S)


def _rows(number: int, batch: list[Outcome]) -> tuple[list[EventRow], list[ExecutionRow]]:
    events: list[EventRow] = []
    executions: list[ExecutionRow] = []
    for outcome in batch:
        raw = {stored.offset: stored.record.value for stored in outcome.records}
        for offset, event in events_of(outcome):
            events.append(event_row(event, raw=raw[offset], partition=number, offset=offset))
            executions.append(execution_row(event))
    return events, executions
