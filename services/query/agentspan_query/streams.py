"""One client's stream of many executions' events: what it follows, what waits to be sent, and what it has yet to read.

Nothing runs while nothing happens: an event on the log costs each stream that follows its execution a look-up and an
append. What a slow client has no room for is not kept for it: that execution falls behind, and is read again, from the
tail or from history, when there is room. So a stream's memory is bounded and its events have no gap.
"""

import asyncio
from collections import deque
from collections.abc import AsyncIterator, Callable, Sequence
from dataclasses import dataclass
from typing import Protocol

from agentspan_query.domain.views import StoredEvent
from agentspan_query.errors import EventMissing, TooManyFollowed, UnknownExecution
from agentspan_query.items import TailEvent, Unread
from agentspan_query.tail import Tail
from agentspan_schemas.codec import encode
from agentspan_schemas.events import ENDS, TERMINAL
from agentspan_schemas.http import Delta, ExecutionView

MOST_FOLLOWED = 100_000
"""So many executions one stream follows."""

MOST_WAITING = 2_000
"""So many events wait to be sent to one client."""

MOST_BYTES = 4 * 1024 * 1024

READERS = 64
"""So many executions of one stream are read from history at a time: together, where that takes longer than asking."""

PAGE = 200


@dataclass(frozen=True, slots=True)
class At:
    """A place on the log that a read must have seen: `<partition>:<offset>` in a URL."""

    partition: int
    offset: int


@dataclass(frozen=True, slots=True)
class Following:
    """What is asked of a stream: an execution's events behind `after`, once `at` has been seen."""

    execution_id: str
    after: int = 0
    at: At | None = None
    deltas: bool = False


@dataclass(frozen=True, slots=True)
class Logged:
    """An event of the log, as it stands there."""

    execution_id: str
    seq: int
    type: str
    raw: bytes

    @property
    def size(self) -> int:
        return len(self.raw)


@dataclass(frozen=True, slots=True)
class Passing:
    """A delta, which is nowhere kept."""

    execution_id: str
    raw: bytes

    @property
    def size(self) -> int:
        return len(self.raw)


@dataclass(frozen=True, slots=True)
class Ended:
    """The execution was over before; it is not followed any more."""

    execution_id: str
    size: int = 0


@dataclass(frozen=True, slots=True)
class Broken:
    """The execution can't be read, or there is none; it is not followed any more."""

    execution_id: str
    error: Exception
    size: int = 0


Sent = Logged | Passing | Ended | Broken
"""What goes to the client."""


class Reads(Protocol):
    """What a stream reads when its client was late."""

    async def see(self, at: At | None) -> bool: ...

    async def events(self, execution_id: str, *, after: int, limit: int) -> Sequence[StoredEvent]: ...

    async def execution(self, execution_id: str, *, at: At | None = None) -> ExecutionView | None: ...


@dataclass(slots=True, eq=False)
class _Followed:
    asked: Following
    after: int
    """The last event that was taken for the client."""
    behind: bool = True
    passed: int = 0
    """The newest event that went by while it was behind."""


class EventStream:
    """The stream of one client. Iterate `batches` in one task; `follow` and `unfollow` meanwhile."""

    def __init__(self, tail: Tail, reads: Reads, *, most: int = MOST_WAITING, most_bytes: int = MOST_BYTES) -> None:
        self._tail = tail
        self._reads = reads
        self._most, self._most_bytes = most, most_bytes
        self._followed: dict[str, _Followed] = {}
        self._behind: deque[_Followed] = deque()
        self._unread: deque[_Followed] = deque()
        """Those behind that need history."""
        self._readers: set[asyncio.Task[None]] = set()
        self._waiting: list[Sent] = []
        self._size = 0
        self._woken = asyncio.Event()

    def __len__(self) -> int:
        return len(self._followed)

    def follow(self, asked: Following) -> None:
        """Carry this execution from now on; one that is followed already begins again. Raises TooManyFollowed."""
        if asked.execution_id not in self._followed:
            if len(self._followed) >= MOST_FOLLOWED:
                raise TooManyFollowed(
                    f"this stream follows {MOST_FOLLOWED} executions, which is the most; open another, or unfollow some"
                )
            self._tail.attach(asked.execution_id, self)
        followed = self._followed[asked.execution_id] = _Followed(asked, asked.after)
        self._fall_behind(followed)

    def unfollow(self, execution_id: str) -> None:
        """Carry this execution no more; what is on its way may still arrive."""
        if self._followed.pop(execution_id, None) is not None:
            self._tail.detach(execution_id, self)

    async def batches(self) -> AsyncIterator[list[Sent]]:
        """What is to be sent, as it comes; ask for the next when this was taken."""
        while True:
            self._catch_up()
            if self._waiting:
                batch, self._waiting, self._size = self._waiting, [], 0
                yield batch
            else:
                self._woken.clear()
                await self._woken.wait()

    def close(self) -> None:
        """Let go of everything: the client is gone."""
        for reader in self._readers:
            reader.cancel()
        for execution_id in list(self._followed):
            self.unfollow(execution_id)

    # From the tail

    def take(self, item: TailEvent) -> None:
        """An event of an execution that is followed, as it stands on the log now."""
        followed, seq = self._followed[item.event.execution_id], item.event.seq
        if seq == followed.after + 1 and self._has_room:  # nothing is missing, whatever is being read for it
            followed.behind = False
            self._take(followed, _logged(item))
        elif followed.behind:
            followed.passed = max(followed.passed, seq)
        elif seq > followed.after:
            followed.passed = seq
            self._fall_behind(followed)

    def take_unread(self, item: Unread) -> None:
        """That an event can't be read, of an execution that is followed; one that is late will come to it."""
        followed = self._followed[item.execution_id]
        if followed.behind:
            followed.passed = max(followed.passed, item.seq)
        elif item.seq > followed.after or not item.seq:
            self._break(followed, item.problem)

    def wants_deltas(self, execution_id: str) -> bool:
        """As the tail's follower."""
        return self._followed[execution_id].asked.deltas

    def take_delta(self, delta: Delta) -> None:
        """Words of an execution that is followed; dropped where the client is late."""
        followed = self._followed[delta.execution_id]
        if followed.asked.deltas and not followed.behind and self._has_room:
            self._send(Passing(delta.execution_id, encode(delta)))

    # What was missed

    def _fall_behind(self, followed: _Followed) -> None:
        followed.behind = True
        self._behind.append(followed)
        self._woken.set()

    def _catch_up(self) -> None:
        """As far as there is room: from the tail at once, from history by a few readers."""
        while self._behind and self._has_room:
            followed = self._behind.popleft()
            if self._is_current(followed) and not self._catch_up_from_tail(followed):
                self._unread.append(followed)
        while self._unread and self._has_room and len(self._readers) < READERS:
            reader = asyncio.create_task(self._read(self._unread.popleft()))
            self._readers.add(reader)
            reader.add_done_callback(self._read_done)

    def _catch_up_from_tail(self, followed: _Followed) -> bool:
        """Whether the tail has all that is missing; what there is room for is taken."""
        newest = self._tail.items(followed.asked.execution_id)
        if not newest or newest[0].seq > followed.after + 1:
            return False
        last = newest[-1]
        if isinstance(last, TailEvent) and last.event.status in TERMINAL and last.seq <= followed.after:
            self._end(followed)
        for item in newest:
            if item.seq > followed.after:
                if not self._has_room:
                    self._fall_behind(followed)
                    return True
                if isinstance(item, Unread) or item.seq > followed.after + 1:
                    self._miss(followed)
                    return True
                self._take(followed, _logged(item))
        followed.behind = False
        return True

    async def _read(self, followed: _Followed) -> None:
        """One page from history; whether that was all shows in what went by meanwhile."""
        execution_id, passed = followed.asked.execution_id, followed.passed
        if not self._is_late(followed):
            return
        try:
            await self._reads.see(followed.asked.at)
            # with the event that the client has: where there is no other, it says whether one can come
            page = await self._reads.events(execution_id, after=max(followed.after - 1, 0), limit=PAGE)
            over = page[-1].type in ENDS if page else await self._is_over(followed)
        except Exception as error:
            if self._is_late(followed):
                self._break(followed, error)
            return
        if not self._is_late(followed):
            return
        for stored in page:
            if stored.seq > followed.after + 1:
                return self._miss(followed)
            if stored.seq > followed.after:
                self._take(followed, Logged(execution_id, stored.seq, stored.type, stored.payload.encode()))
        if over and self._is_current(followed):
            self._end(followed)
        if self._is_current(followed):
            if len(page) < PAGE and passed > followed.after:  # it went by before, and is nowhere now
                return self._miss(followed)
            followed.behind = len(page) == PAGE or followed.passed > followed.after
            if followed.behind:
                self._fall_behind(followed)

    def _miss(self, followed: _Followed) -> None:
        """The next event can't be read, or history lacks it: nobody gets a gap for a whole history."""
        execution_id, seq = followed.asked.execution_id, followed.after + 1
        unread = [item for item in self._tail.items(execution_id) if isinstance(item, Unread) and item.seq == seq]
        self._break(followed, unread[0].problem if unread else EventMissing(execution_id, seq))

    async def _is_over(self, followed: _Followed) -> bool:
        view = await self._reads.execution(followed.asked.execution_id, at=followed.asked.at)
        if view is None:
            raise UnknownExecution(followed.asked.execution_id)
        return view.status in TERMINAL and view.seq <= followed.after

    def _read_done(self, reader: "asyncio.Task[None]") -> None:
        self._readers.discard(reader)
        self._woken.set()

    def _is_late(self, followed: _Followed) -> bool:
        """Whether it is followed as it was, and what it lacks did not come by itself meanwhile."""
        return followed.behind and self._is_current(followed)

    def _is_current(self, followed: _Followed) -> bool:
        return self._followed.get(followed.asked.execution_id) is followed

    # To the client

    @property
    def _has_room(self) -> bool:
        return len(self._waiting) < self._most and self._size < self._most_bytes

    def _take(self, followed: _Followed, logged: Logged) -> None:
        followed.after = logged.seq
        self._send(logged)
        if logged.type in ENDS:
            self.unfollow(logged.execution_id)

    def _end(self, followed: _Followed) -> None:
        self.unfollow(followed.asked.execution_id)
        self._send(Ended(followed.asked.execution_id))

    def _break(self, followed: _Followed, error: Exception) -> None:
        self.unfollow(followed.asked.execution_id)
        self._send(Broken(followed.asked.execution_id, error))

    def _send(self, sent: Sent) -> None:
        self._waiting.append(sent)
        self._size += sent.size
        self._woken.set()


class Streams:
    """The open streams of this process, by their ids."""

    def __init__(self, open_stream: Callable[[], EventStream], new_id: Callable[[], str]) -> None:
        self._open_stream = open_stream
        self._new_id = new_id
        self._open: dict[str, EventStream] = {}

    def open(self) -> tuple[str, EventStream]:
        """A new stream and its id; `close` it."""
        stream_id = self._new_id()
        stream = self._open[stream_id] = self._open_stream()
        return stream_id, stream

    def find(self, stream_id: str) -> EventStream | None:
        """The open stream of that id."""
        return self._open.get(stream_id)

    def close(self, stream_id: str) -> None:
        """Forget it."""
        self._open.pop(stream_id, None)


def _logged(item: TailEvent) -> Logged:
    return Logged(item.event.execution_id, item.event.seq, item.event.type, item.raw)
