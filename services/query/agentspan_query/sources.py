"""What ClickHouse lacks of one partition: from the live tail, where that has all of it, or else from the log.

The tail has it in memory, read and decoded. The log is read where this process begins, and where the tail had to let go
of something because ClickHouse was away.
"""

import asyncio
import logging
from collections.abc import AsyncIterator
from datetime import datetime

from agentspan.eventlog import BEGINNING, BeyondEnd, Log, Position
from agentspan_query.batch import Batch, batches
from agentspan_query.errors import WrittenLater
from agentspan_query.tail import Tail

logger = logging.getLogger(__name__)

ROWS_A_TURN = 200
"""So many rows are made in one turn of the event loop, a millisecond or two: those of a flood took it for thirty."""


class Source:
    """One partition, from a position on."""

    def __init__(self, log: Log, tail: Tail, number: int, position: Position) -> None:
        self.number = number
        self.reached: int | None = None
        """The offset up to which all is written; None: that is not known yet."""
        self.waits_for: str | None = None
        """What only a process of a later release can read. It stands on the log; nothing behind it is written here."""
        self._log = log
        self._tail = tail
        self._position = position
        self._end = 0
        """Up to where it is read now."""
        self._moving: asyncio.Task[None] | None = None

    @property
    def moving(self) -> asyncio.Task[None]:
        """Done when there is something new that can be read here."""
        if self._moving is None:
            self._moving = asyncio.create_task(self._moved())
        return self._moving

    def has_moved(self) -> bool:
        """Whether there is something new. Raises LogError where the log can't be followed."""
        if self.moving.done():
            self.moving.result()
            return True
        return False

    async def batches(self) -> AsyncIterator[Batch]:
        """What is new, or a batch of it. Tell `written` of each, and `finish` when all are."""
        if (batch := await self._from_tail()) is not None:
            yield batch
        else:
            try:
                async for batch in self._from_log():
                    yield batch
            except WrittenLater as error:
                logger.error("history of partition %d waits: %s", self.number, error)
                self.waits_for = str(error)

    def written(self, batch: Batch) -> None:
        """It is in ClickHouse."""
        self._position = batch.position
        self._reach(batch.position.offset, batch.at)

    def finish(self) -> None:
        """All that was asked for is, or can be; what comes now is new."""
        self._reach(self._end if self.waits_for is None else self._position.offset)
        self.close()

    def close(self) -> None:
        """Wait for nothing more."""
        if self._moving is not None:
            self._moving.cancel()
            self._moving = None

    async def _moved(self) -> None:
        if self.waits_for is None:
            await self._log.partition(self.number).wait(self.reached or 0)
        else:
            await asyncio.get_running_loop().create_future()  # until this process ends

    def _reach(self, offset: int, at: datetime | None = None) -> None:
        if self.reached is None or self.reached < offset:
            self.reached = offset
            self._tail.project(self.number, offset, at)

    async def _from_tail(self) -> Batch | None:
        """The next batch, if nothing is missing before it."""
        seen = self._tail.seen(self.number) if self.reached is not None else None
        if seen is None or seen.offset <= self._position.offset:
            return None
        batch = Batch(self.number, self._position, self._position)
        for number, item in enumerate(self._tail.unprojected(self.number), 1):
            if batch.full and item.position != batch.position:
                break
            batch.add(item)
            batch.position = item.position
            if number % ROWS_A_TURN == 0:
                await asyncio.sleep(0)
        else:
            batch.position = seen
        self._end = batch.position.offset
        return batch

    async def _from_log(self) -> AsyncIterator[Batch]:
        while True:
            self._end = await self._log.partition(self.number).end()
            try:
                async for batch in batches(self._log, self.number, self._position, self._end):
                    yield batch
                return
            except BeyondEnd as error:
                logger.warning(
                    "history is ahead of the log; it is projected again from the beginning, and keeps what the log no"
                    " longer has until `agentspan query rebuild`: %s",
                    error,
                )
                self._position = BEGINNING
