"""The projection: every event that counts becomes its rows in ClickHouse, at least once and in order.

What all partitions have ready is written together: an insert costs ClickHouse as much as a thousand rows. Rows are the
same however often they are written; where each partition stands is saved after them. While ClickHouse is away the log
waits: nothing is dropped, nothing piles up here. What ClickHouse will never take, or nobody can read, is put aside: it
stops none. At what a later release has to read its partition waits, alone.
"""

import asyncio
import logging
from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import TypeVar

from agentspan.eventlog import BEGINNING, Log, LogError
from agentspan_query.aside import Aside
from agentspan_query.batch import FLUSH_BYTES, FLUSH_ROWS, Batch
from agentspan_query.errors import QueryError
from agentspan_query.ports import Sink, Sleep
from agentspan_query.sources import Source
from agentspan_query.tail import Tail

logger = logging.getLogger(__name__)

T = TypeVar("T")

FLUSH_S = 0.25
"""So long the first event waits for others."""

MOST_FLUSHES = 6
"""So many times as long, while many come and nobody waits for them."""

MANY_EVENTS = 50
"""So many within `FLUSH_S`."""

FIRST_PAUSE_S = 0.5
LONGEST_PAUSE_S = 15.0


class Projection:
    """Of all partitions, in one loop."""

    def __init__(self, log: Log, sink: Sink, tail: Tail, aside: Aside, *, sleep: Sleep) -> None:
        self._log = log
        self._sink = sink
        self._aside = aside
        self._tail = tail
        self._sleep = sleep
        self._sources: Sequence[Source] = ()
        self.trouble: str | None = None
        """Why nothing is written now; None: all is well."""
        self.written = 0
        """Events that were written; one that is written again counts again."""
        self.failed = 0
        """Times that something was not written, or not read, and is tried again."""

    @property
    def left_out(self) -> int:
        """Events that ClickHouse will never take or nobody can read, and that were put aside."""
        return self._aside.count

    @property
    def waits_for(self) -> Mapping[int, str]:
        """Of each partition whose history waits for a process of a later release, what only that can read."""
        return {source.number: source.waits_for for source in self._sources if source.waits_for is not None}

    @property
    def reached(self) -> Mapping[int, int]:
        """Of each partition, the offset on the log up to which all is written."""
        return {source.number: source.reached for source in self._sources if source.reached is not None}

    async def run(self) -> None:
        """Project every partition, until cancelled."""
        positions = await self._persisted(self._sink.positions)
        self._sources = [
            Source(self._log, self._tail, number, positions.get(number, BEGINNING))
            for number in range(self._log.partitions)
        ]
        try:
            await self._round(self._sources)
            while True:
                await asyncio.wait([source.moving for source in self._sources], return_when=asyncio.FIRST_COMPLETED)
                await self._gathered()
                await self._round([source for source in self._sources if source.has_moved()])
        finally:
            for source in self._sources:
                source.close()

    async def _gathered(self) -> None:
        """Return when it is time to write: soon after a few events, later when more and more come."""
        waiting = 0
        for _ in range(MOST_FLUSHES):
            await self._sleep(FLUSH_S)
            before, waiting = waiting, self._tail.lacking
            if waiting - before < MANY_EVENTS or waiting >= FLUSH_ROWS or self._tail.is_awaited:
                return

    async def _round(self, sources: Sequence[Source]) -> None:
        """Write all that is new there, a batch of each in turn: nobody waits for the long backlog of another."""
        left = [(source, source.batches()) for source in sources]
        while left:
            ready: list[tuple[Source, Batch]] = []
            for source, batches in tuple(left):
                batch = await anext(batches, None)
                if batch is None:  # those before it were written the last time
                    left.remove((source, batches))
                    source.finish()
                    continue
                ready.append((source, batch))
                if _enough(ready):
                    await self._write(ready)
                    ready = []
            await self._write(ready)

    async def _write(self, ready: Sequence[tuple[Source, Batch]]) -> None:
        if not ready:
            return
        await self._persisted(lambda: self._store([batch for _, batch in ready]))
        for source, batch in ready:
            self.written += len(batch.events)
            source.written(batch)

    async def _store(self, batches: Sequence[Batch]) -> None:
        events = [row for batch in batches for row in batch.events]
        for refused in await self._sink.write(events, [row for batch in batches for row in batch.executions]):
            await self._aside.put(refused)
        for batch in batches:
            for unread in batch.unread:
                await self._aside.put(unread)
        await self._sink.save_positions({batch.number: batch.position for batch in batches})
        self._aside.written()

    async def _persisted(self, work: Callable[[], Awaitable[T]]) -> T:
        """The work's result, however often it takes: the log waits meanwhile, with all that is not written yet."""
        pause_s = FIRST_PAUSE_S
        while True:
            try:
                done = await work()
            except (QueryError, LogError) as error:
                logger.warning("history can't be written, the log waits; again in %.1f s: %s", pause_s, error)
                self.trouble = str(error)
                self.failed += 1
                await self._sleep(pause_s)
                pause_s = min(2 * pause_s, LONGEST_PAUSE_S)
            else:
                self.trouble = None
                return done


def _enough(ready: Sequence[tuple[Source, Batch]]) -> bool:
    rows, size = sum(len(batch.events) for _, batch in ready), sum(batch.size for _, batch in ready)
    return rows >= FLUSH_ROWS or size >= FLUSH_BYTES
