"""One partition of a topic as this process reads it: the newest messages from memory, older ones from the broker.

What this process wrote itself is there with its acknowledgement, as the object that it made: what a consumer brings of
it is not decoded, unless the acknowledgement is late.
"""

import asyncio
import contextlib
from collections.abc import Callable, Iterable, Iterator, Sequence
from functools import partial
from typing import Generic, Protocol, TypeVar

from confluent_kafka import Message

from agentspan.eventlog._errors import LogError
from agentspan.eventlog._kafka_behind import Behind
from agentspan.eventlog._kafka_history import History
from agentspan.eventlog._kafka_live import Live, Place, Sink
from agentspan.eventlog._kafka_window import Piece, Window

T = TypeVar("T")

DOUBTED_S = 0.05
"""So long may an acknowledgement be behind what a consumer brings; then that is decoded, whoever wrote it."""


class Bell:
    """Rings when something is new. One per partition, or shared by those that are followed together."""

    def __init__(self) -> None:
        self.rung = 0
        self._event = asyncio.Event()

    def ring(self) -> None:
        self.rung += 1
        self._event.set()
        self._event.clear()

    async def past(self, rung: int) -> None:
        """Return when it has rung more often than that."""
        while self.rung == rung:
            await self._event.wait()


class Following(Sink, Generic[T]):
    """A partition's window while it grows, until reading fails."""

    def __init__(self, first: int, decode: Callable[[Message], T], bell: Bell) -> None:
        self.window: Window[T] = Window(first)
        self.error: LogError | None = None
        self._foreign = 0
        self._decode = decode
        self._bell = bell
        self._under_way = 0
        """Writes of this process that are not acknowledged: what is fetched meanwhile may be theirs."""
        self._doubtful: list[Message] = []
        self._ended = 0

    @property
    def known(self) -> int:
        """The offset below which everything is here."""
        return self.window.end

    @property
    def foreign(self) -> int:
        """How many records of others are here; what is in doubt is none of them."""
        return self._foreign

    def keep(self, messages: Sequence[Message]) -> Callable[[], None] | None:
        known = self.window.end  # it only grows: what is decoded in vain is dropped below
        new = [message for message in messages if _offset(message) >= known]
        if not new:
            return None
        return partial(self._doubt, new) if self._under_way else partial(self._came, self._decoded(new))

    def ended(self, offset: int) -> None:
        self._ended = offset
        self._skip()

    def fail(self, error: LogError) -> None:
        self.error = error
        self._bell.ring()

    def sending(self, write: asyncio.Future[Sequence[int]]) -> None:
        """A write of this process has been sent here."""
        self._under_way += 1
        write.add_done_callback(self._settled)

    def landed(self, offset: int, item: T, size: int) -> None:
        """A write of this process was acknowledged. What others wrote before it comes first."""
        if self._doubtful and offset > self.window.end:
            self._resolve(offset)
        if offset == self.window.end:
            self.window.push(offset, item, size)
            self._bell.ring()

    def has(self, offset: int) -> bool:
        """Whether there is something at the offset or above. Raises what reading has failed with."""
        if self.error is not None:
            raise self.error
        return self.window.end > offset

    async def reached(self, offset: int) -> None:
        """Return when there is."""
        while not self.has(offset):
            await self._bell.past(self._bell.rung)

    def _came(self, new: Sequence[tuple[int, T, int]]) -> None:
        """Decoded when nothing was under way; something may be by now, and what is in doubt was fetched before."""
        if self._doubtful:
            self._resolve()
        self._arrived(new)

    def _doubt(self, new: Sequence[Message]) -> None:
        if not self._doubtful:
            asyncio.get_running_loop().call_later(DOUBTED_S, self._resolve)
        self._doubtful += new
        if not self._under_way:
            self._resolve()

    def _settled(self, _: asyncio.Future[Sequence[int]]) -> None:
        self._under_way -= 1
        if self._doubtful and not self._under_way:
            self._resolve()

    def _resolve(self, below: int | None = None) -> None:
        """What nobody here has written is somebody else's."""
        end = self.window.end
        doubtful = [message for message in self._doubtful if _offset(message) >= end]
        self._doubtful = [] if below is None else [message for message in doubtful if _offset(message) >= below]
        self._arrived(self._decoded(doubtful[: len(doubtful) - len(self._doubtful)]))

    def _decoded(self, messages: Iterable[Message]) -> list[tuple[int, T, int]]:
        return [(_offset(message), self._decode(message), len(message)) for message in messages]

    def _arrived(self, new: Sequence[tuple[int, T, int]]) -> None:
        end = self.window.end
        for offset, item, size in new:
            if offset >= self.window.end:
                self.window.push(offset, item, size)
                self._foreign += 1
        if self.window.end > end:
            self._bell.ring()
        self._skip()

    def _skip(self) -> None:
        """Below the end that was heard of stands nothing else, once all that was fetched is known."""
        if not self._doubtful and self._ended > self.window.end:
            self.window.skip(self._ended)
            self._bell.ring()


class Offsets(Protocol):
    """Where partitions begin and end, by their leaders' word."""

    async def begin(self, place: Place) -> int: ...

    async def end(self, place: Place) -> int: ...


class Feed(Generic[T]):
    """Reads one partition. It is followed from the first `wait` on, for ever or while somebody holds it."""

    def __init__(
        self, place: Place, decode: Callable[[Message], T], offsets: Offsets, live: Live, history: History, bell: Bell
    ) -> None:
        self.place = place
        self._decode = decode
        self._offsets = offsets
        self._live = live
        self._behind = Behind(place, decode, history)
        self._bell = bell
        self._following: Following[T] | None = None
        self._beginning = asyncio.Lock()
        self._holders = 0

    @contextlib.contextmanager
    def held(self) -> Iterator[None]:
        """Follow the partition no longer than somebody wants it."""
        self._holders += 1
        try:
            yield
        finally:
            self._holders -= 1
            if self._holders == 0 and self._following is not None:
                self._live.detach(self.place, self._following)
                self._following = None

    async def begin(self) -> int:
        """The offset below which nothing is kept."""
        return await self._offsets.begin(self.place)

    async def end(self) -> int:
        """The offset that the next message will have."""
        return await self._offsets.end(self.place)

    async def following(self) -> Following[T]:
        """What comes from now on."""
        async with self._beginning:
            if self._following is None or self._following.error is not None:
                following = Following(await self.end(), self._decode, self._bell)
                self._live.attach(self.place, following.window.end, following)
                self._following = following
            return self._following

    async def wait(self, offset: int) -> None:
        """Return when a message at the offset or above exists."""
        await (await self.following()).reached(offset)

    async def read(self, offset: int, limit: int) -> Piece[T]:
        """Up to `limit` messages from `offset` on, at least one if there is one.

        Raises OffsetGone when the partition begins above the offset.
        """
        following = self._following
        if following is None or following.error is not None:
            return await self._behind.read(offset, limit, await self.end())
        if offset >= following.window.end:
            if offset >= await self.end():
                return Piece((), offset)
            await following.reached(offset)
        if offset >= following.window.first:
            return following.window.read(offset, limit)
        return await self._behind.read(offset, limit, following.window.first)

    def sending(self, write: asyncio.Future[Sequence[int]]) -> None:
        """A write of this process has been sent."""
        if self._following is not None:
            self._following.sending(write)

    def landed(self, offset: int, item: T, size: int) -> None:
        """A write of this process was acknowledged."""
        if self._following is not None:
            self._following.landed(offset, item, size)


def _offset(message: Message) -> int:
    return message.offset() or 0
