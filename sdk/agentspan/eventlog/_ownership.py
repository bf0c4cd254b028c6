"""One owner's time on a partition: it numbers what it appends and releases it when it counts for certain.

An outcome is released when it and all before it stand at the expected offsets, or with nothing but ghosts between; none
of its own records is a ghost.
"""

import asyncio
from collections import deque
from collections.abc import AsyncIterator, Sequence
from typing import Any, NamedTuple

from agentspan.eventlog._errors import Deposed, FateUnknown, Fenced, StaleEpoch, WriteError
from agentspan.eventlog._ports import RawLog
from agentspan.eventlog._records import Outcome, Position, Record, Stamp, Stored, takeover_record

RENEW_AFTER = 10_000
GAP_READ_LIMIT = 500


class _Sent(NamedTuple):
    """An outcome on its way to the log; or, without `released`, a renewed takeover."""

    records: Sequence[tuple[Stamp, Record]]
    acknowledged: asyncio.Future[Sequence[int]]
    released: asyncio.Future[Outcome] | None


class Ownership:
    """Made by `PartitionLog.take_over`. After Deposed or Fenced it stays so: take over again.

    After every `renew_after` records it takes over anew by itself; outcomes wait behind that takeover, in order.
    """

    def __init__(self, raw: RawLog, owner_id: str, takeover: Stored, *, renew_after: int = RENEW_AFTER) -> None:
        self._loop = asyncio.get_running_loop()
        self._raw = raw
        self._owner_id = owner_id
        self._renew_after = renew_after
        self._epoch = takeover.stamp.epoch
        self._takeover = takeover.offset
        self._n = 0
        self._expected = takeover.offset + 1
        self._sent: deque[_Sent] = deque()
        self._renewing = False
        self._held: deque[tuple[Sequence[Record], asyncio.Future[Outcome]]] = deque()
        self._settling: asyncio.Task[None] | None = None
        self._over: tuple[type[Deposed], str, BaseException | None] | None = None
        self.position = Position(takeover.offset + 1, takeover.stamp.epoch, 0)
        """Just after the takeover: follow the partition until here to have the state to go on from."""

    @property
    def epoch(self) -> int:
        """Higher than that of any owner before. It grows when the takeover is renewed."""
        return self._epoch

    def append(self, records: Sequence[Record]) -> asyncio.Future[Outcome]:
        """Queue one outcome at once, in call order; the future is done when it is released: it counts, for ever.

        Raises Deposed or Fenced, here or from the future.
        """
        if self._over is not None:
            raise self._deposed()
        if not records:
            raise ValueError("an outcome has at least one record: also a command that changes nothing leaves one")
        released: asyncio.Future[Outcome] = self._loop.create_future()
        self._number(records, released)
        return released

    async def confirm(self) -> None:
        """Return if no later owner stands on the log as it is now. Raises Deposed or Fenced, and is over then.

        Whoever sees something beside the log that is not its own, and wants to put it right, asks before.
        """
        try:
            end = await self._raw.end()
            renewal = next((sent for sent in self._sent if sent.released is None), None)
            ours = (await renewal.acknowledged)[0] if renewal is not None else None
            await self._check(self._expected, end, ours)
        except Fenced as error:
            self._end(Fenced, str(error), error)
        except WriteError as error:
            self._end(Deposed, "a takeover failed; take over again and read what stands", error)
        if self._over is not None:
            raise self._deposed()

    def close(self) -> None:
        """Stop: the partition is no longer ours. What was not released fails with Deposed; it may stand or not."""
        if self._settling is not None:
            self._settling.cancel()
        self._end(Deposed, "the ownership was closed", None)

    def _number(self, records: Sequence[Record], released: asyncio.Future[Outcome]) -> None:
        if self._renewing:
            self._held.append((records, released))
            return
        first, epoch, takeover = self._n + 1, self._epoch, self._takeover
        self._n = last = self._n + len(records)
        self._send([(Stamp(epoch, n, n == last, takeover), each) for n, each in enumerate(records, first)], released)
        if self._n >= self._renew_after:
            self._renewing = True
            stamp = Stamp(self._epoch + 1, 0, last=True, takeover=self._takeover)
            self._send([(stamp, takeover_record(self._owner_id))], None)

    def _send(self, records: Sequence[tuple[Stamp, Record]], released: asyncio.Future[Outcome] | None) -> None:
        self._sent.append(_Sent(records, self._raw.append(records), released))
        if self._settling is None:
            self._settling = self._loop.create_task(self._settle())

    async def _settle(self) -> None:
        """Go through the acknowledgements in the order of sending. Whatever fails ends the ownership."""
        try:
            while self._sent:
                sent = self._sent[0]
                offsets = await sent.acknowledged
                for offset in offsets:
                    if offset != self._expected:
                        await self._check_gap(offset)
                    self._expected = offset + 1
                self._sent.popleft()
                self._release(sent, offsets)
        except (Fenced, StaleEpoch) as error:
            self._end(Fenced, str(error), error)
        except Exception as error:  # whatever it was, the fate of what is under way is unknown now
            self._end(Deposed, "an append failed; take over again and read what stands", error)
        finally:
            self._settling = None

    async def _check_gap(self, offset: int) -> None:
        """Raise if a later owner stands between, or one of our own records, which then stands twice; ghosts may."""
        if offset < self._expected:
            raise FateUnknown(f"a record landed at offset {offset!r}, below {self._expected!r}: the log was cut short")
        async for stored in self._checked(self._expected, offset, None):
            # a producer that has given up on a write to any partition may repeat what is under way to others: whoever
            # reads finds a hole there, and nothing behind it counts
            if stored.stamp.epoch == self._epoch and stored.stamp.n > 0:  # a takeover is another's, and void
                raise FateUnknown(f"record {stored.stamp.n!r} of epoch {self._epoch!r} stands twice, or too late")

    async def _check(self, at: int, end: int, ours: int | None) -> None:
        """Raise Fenced if a later owner stands from `at` on. `ours`: where our own takeover stands, renewed."""
        async for _ in self._checked(at, end, ours):
            pass

    async def _checked(self, at: int, end: int, ours: int | None) -> AsyncIterator[Stored]:
        """What stands there, as far as no later owner does."""
        while at < end:
            await self._raw.wait(at)
            for stored in await self._raw.read(at, min(GAP_READ_LIMIT, end - at)):
                at = stored.offset + 1
                higher = stored.stamp.n == 0 and stored.stamp.epoch > self._epoch
                if higher and stored.offset != ours:
                    raise Fenced(f"{stored.record.key!r} has taken over in epoch {stored.stamp.epoch!r}")
                yield stored

    def _release(self, sent: _Sent, offsets: Sequence[int]) -> None:
        stored = tuple([Stored(at, stamp, record) for at, (stamp, record) in zip(offsets, sent.records, strict=True)])
        last = stored[-1]
        if sent.released is None:
            self._renewed(last)
        elif not sent.released.done():
            sent.released.set_result(Outcome(stored, Position(last.offset + 1, last.stamp.epoch, last.stamp.n)))

    def _renewed(self, takeover: Stored) -> None:
        self._epoch, self._takeover, self._n = takeover.stamp.epoch, takeover.offset, 0
        self._renewing = False
        held, self._held = self._held, deque()
        for records, released in held:
            self._number(records, released)

    def _end(self, kind: type[Deposed], why: str, cause: BaseException | None) -> None:
        """All that is under way fails. Whoever hears of one of these futures need not ask for each."""
        self._over = self._over or (kind, why, cause)
        waiting = [sent.released for sent in self._sent] + [released for _, released in self._held]
        for sent in self._sent:
            sent.acknowledged.add_done_callback(_retrieve)
        self._sent.clear()
        self._held.clear()
        for released in waiting:
            if released is not None and not released.done():
                released.set_exception(self._deposed())
                _retrieve(released)

    def _deposed(self) -> Deposed:
        assert self._over is not None
        kind, why, cause = self._over
        error = kind(f"epoch {self._epoch!r} of {self._owner_id!r} is over: {why}")
        error.__cause__ = cause
        return error


def _retrieve(write: asyncio.Future[Any]) -> None:
    """Look at what came of it, so that the event loop does not complain that nobody did."""
    if not write.cancelled():
        write.exception()
