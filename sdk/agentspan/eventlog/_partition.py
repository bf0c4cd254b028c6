"""One partition of a log as everybody above sees it: outcomes that count, and taking it over. Written once, over any
raw log."""

from collections.abc import AsyncGenerator, Sequence
from contextlib import aclosing
from typing import NamedTuple, Protocol

from agentspan.eventlog._errors import BeyondEnd, StaleEpoch
from agentspan.eventlog._ownership import RENEW_AFTER, Ownership
from agentspan.eventlog._ports import RawLog
from agentspan.eventlog._reader import Reader
from agentspan.eventlog._records import BEGINNING, Outcome, Position, Stamp, Stored, takeover_record

READ_LIMIT = 500
"""Records asked for at once: one read of SQLite is then a few milliseconds."""


class _Step(NamedTuple):
    """What somebody who follows has read: from a position to another, and the outcomes between them."""

    begin: Position
    end: Position
    outcomes: Sequence[Outcome]


class PartitionLog:
    """One partition. `renew_after`: an owner takes over anew after so many records, so that a reader that starts in
    the middle has no further than that to go back."""

    def __init__(self, raw: RawLog, *, renew_after: int = RENEW_AFTER) -> None:
        self.raw = raw
        """Ghosts, holes and torn outcomes included: for audits."""
        self._renew_after = renew_after
        self.ghosts = 0
        """How many records that count for nothing were met by those who follow here, each once."""
        self._met = 0
        self._last_step: _Step | None = None
        """Those who follow stand at the log's end together: the first of them reads and counts for all."""

    async def end(self) -> int:
        """The offset that the next record will have, whether it counts or not."""
        return await self.raw.end()

    async def wait(self, offset: int) -> None:
        """Return when a record at `offset` exists, whether it counts or not."""
        await self.raw.wait(offset)

    async def follow(
        self, position: Position | int = BEGINNING, *, until: Position | None = None
    ) -> AsyncGenerator[Outcome, None]:
        """Every outcome that counts and ends after `position`; for ever, or up to `until`.

        A bare offset may stand anywhere: the reader goes back to a takeover that is known to be valid and gives what
        ends after the offset. Raises BeyondEnd when the log is shorter than the position.
        """
        async with aclosing(self.batches(position, until=until)) as batches:
            async for outcomes in batches:
                for outcome in outcomes:
                    yield outcome

    async def batches(
        self, position: Position | int = BEGINNING, *, until: Position | None = None
    ) -> AsyncGenerator[Sequence[Outcome], None]:
        """What `follow` gives, in lists of those that stand there at once: for who has something to do after them."""
        since = position if isinstance(position, int) else position.offset
        await self._check_reached(since)
        start = await self._back_from(position) if isinstance(position, int) else position
        reader, at = Reader(start, self._meet), start.offset
        while until is None or at < until.offset:
            await self.raw.wait(at)
            if until is None:
                reader, at, found = await self._step(reader, at)
            else:
                at, found = await self._read(reader, at, min(READ_LIMIT, until.offset - at))
            outcomes = [outcome for outcome in found if outcome.position.offset > since]
            if outcomes:
                yield outcomes

    async def take_over(self, owner_id: str) -> Ownership:
        """Become the owner: append a takeover above every epoch before it and read up to it; if another one came
        between, try again. Raises WriteError: a takeover of unknown fate is harmless, call this again."""
        offset = (await self._back_from(await self.raw.end())).offset
        reader = Reader()
        while True:
            offset = await self._feed(reader, offset, await self.raw.end())
            stamp = Stamp(reader.epoch + 1, 0, last=True, takeover=reader.takeover)
            record = takeover_record(owner_id)
            try:
                [mine] = await self.raw.append([(stamp, record)])
            except StaleEpoch:
                continue
            offset = await self._feed(reader, offset, mine + 1)
            if reader.takeover == mine:
                return Ownership(self.raw, owner_id, Stored(mine, stamp, record), renew_after=self._renew_after)

    def _meet(self, ghost: Stored) -> None:
        if ghost.offset >= self._met:  # those who follow are many, and each of them meets it
            self._met = ghost.offset + 1
            self.ghosts += 1

    async def _check_reached(self, offset: int) -> None:
        end = await self.raw.end()
        if offset > end:
            raise BeyondEnd(
                f"position {offset!r} lies beyond the log's end at {end!r}: it belongs to another log, or this one was"
                " restored from an older copy; drop what was derived from it and start from the beginning"
            )

    async def _back_from(self, offset: int) -> Position:
        """Where a fresh reader can begin and know every outcome that ends after the offset."""
        if offset == 0:
            return BEGINNING
        [before] = await self.raw.read(offset - 1, 1)
        return Position(before.stamp.takeover, 0, 0)

    async def _feed(self, reader: Reader, offset: int, stop: int) -> int:
        while offset < stop:
            await self.raw.wait(offset)
            offset, _ = await self._read(reader, offset, min(READ_LIMIT, stop - offset))
        return offset

    async def _step(self, reader: Reader, offset: int) -> tuple[Reader, int, Sequence[Outcome]]:
        """What comes next at the offset, and the reader behind it: as somebody else read it who stood here, too."""
        begin, last = reader.position(offset), self._last_step
        if last is not None and last.begin == begin:
            return Reader(last.end, self._meet), last.end.offset, last.outcomes
        at, outcomes = await self._read(reader, offset, READ_LIMIT)
        end = reader.position(at)
        if begin is not None and end is not None:
            self._last_step = _Step(begin, end, outcomes)
        return reader, at, outcomes

    async def _read(self, reader: Reader, offset: int, limit: int) -> tuple[int, Sequence[Outcome]]:
        """The offset behind what the log gave at once, and the outcomes that end in it."""
        batch = await self.raw.read(offset, limit)
        outcomes = [outcome for stored in batch if (outcome := reader.feed(stored)) is not None]
        return batch[-1].offset + 1, outcomes


class Log(Protocol):
    """A log of so many partitions, for ever."""

    @property
    def id(self) -> str:
        """The identity of the stored log: what is derived from one log is of no use with another."""
        ...

    @property
    def partitions(self) -> int: ...

    def partition(self, number: int) -> PartitionLog: ...
