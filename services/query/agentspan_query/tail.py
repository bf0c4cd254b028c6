"""The live end of the log in memory: what is not in ClickHouse yet, and what just happened, for streams.

It holds everything that is not projected, up to a bound; what it had to let go of is read from ClickHouse.
"""

import asyncio
from collections import deque
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from typing import Protocol

from agentspan.eventlog import Log, Outcome, Position
from agentspan_query.items import Item, TailEvent, Unread, items
from agentspan_schemas.http import Delta

KEEP_EVENTS = 2_000
"""So many of the last events are kept even when they are projected: streams that come late find them here."""

MOST_EVENTS = 50_000
MOST_BYTES = 64 * 1024 * 1024
"""More are never kept, however far the projection is behind."""

NOTHING_YET = datetime(1970, 1, 1, tzinfo=UTC)
"""Up to when history is complete while nothing of the log is known to be in ClickHouse."""


class Follower(Protocol):
    """Whoever wants an execution's events as they come. It takes them at once, and never waits."""

    def take(self, item: TailEvent) -> None: ...

    def take_unread(self, item: Unread) -> None: ...

    def take_delta(self, delta: Delta) -> None: ...

    def wants_deltas(self, execution_id: str) -> bool: ...


class Tail:
    """Follows every partition from where its end was when it began."""

    def __init__(
        self, log: Log, *, most: int = MOST_EVENTS, keep: int = KEEP_EVENTS, most_bytes: int = MOST_BYTES
    ) -> None:
        self._log = log
        self._most, self._keep, self._most_bytes = most, keep, most_bytes
        self._bytes = 0
        self._events: deque[Item] = deque()
        self._lacking: list[deque[TailEvent]] = [deque() for _ in range(log.partitions)]
        """Of each partition, those of them that are not in ClickHouse, and can be."""
        self._by_execution: dict[str, list[Item]] = {}
        self._followers: dict[str, tuple[Follower, ...]] = {}
        self._moved = asyncio.Event()
        self._awaiting = 0
        self._begins: list[int | None] = [None] * log.partitions
        """Of each partition, the offset such that every outcome that ends after it is here."""
        self._ends = [0] * log.partitions
        """Of each partition, the offset such that every outcome that ends up to it was seen."""
        self._seen: list[Position | None] = [None] * log.partitions
        """Of each partition, behind the last outcome that is here, or was."""
        self._unread = [0] * log.partitions
        """Of each partition, behind the last outcome of which something can't be read."""
        self._projected = [0] * log.partitions
        """Of each partition, the offset such that every outcome that ends up to it is in ClickHouse."""
        self._projected_at = [NOTHING_YET] * log.partitions
        """Of each partition, when the last of that happened, as far as it was said."""

    async def run(self) -> None:
        """Follow, until cancelled."""
        async with asyncio.TaskGroup() as group:
            for number in range(self._log.partitions):
                group.create_task(self._follow(number))

    def items(self, execution_id: str) -> Sequence[Item]:
        """What is here of the execution, in order, without a gap between."""
        return tuple(self._by_execution.get(execution_id, ()))

    def events(self, execution_id: str) -> Sequence[TailEvent]:
        """Those of it that can be read."""
        return tuple(item for item in self._by_execution.get(execution_id, ()) if isinstance(item, TailEvent))

    def complete_up_to(self, now: datetime) -> datetime:
        """Up to when everything that happened is in ClickHouse."""
        waiting = [lacking[0].event.at for lacking in self._lacking if lacking]
        behind = [number for number in range(self._log.partitions) if not self._has_all(number)]
        # of what was let go of, or never here, or not read, only the projection knows how far it came
        return min([now, *waiting, *(self._projected_at[number] for number in behind)])

    async def reached(self, partition: int, offset: int) -> None:
        """Return when the record at that offset was seen."""
        await self._until(lambda: self._ends[partition] > offset)

    async def is_projected(self, partition: int, offset: int) -> None:
        """Return when every outcome that ends up to that offset is in ClickHouse."""
        self._awaiting += 1
        try:
            await self._until(lambda: self._projected[partition] >= offset)
        finally:
            self._awaiting -= 1

    async def meets_history(self, partition: int) -> None:
        """Return when nothing is missing between what is in ClickHouse and what is here."""
        await self._until(lambda: self._meets(partition))

    @property
    def is_awaited(self) -> bool:
        """Whether somebody waits for something to be in ClickHouse."""
        return self._awaiting > 0

    @property
    def lacking(self) -> int:
        """How many of the events here are not in ClickHouse."""
        return sum([len(lacking) for lacking in self._lacking])

    def seen(self, partition: int) -> Position | None:
        """Behind the last outcome that was seen; None: not all that ClickHouse lacks up to there is here."""
        return self._seen[partition] if self._has_all(partition) else None

    def unprojected(self, partition: int) -> Sequence[TailEvent]:
        """The events that ClickHouse lacks, in order, as far as they are here."""
        return tuple(self._lacking[partition])

    def project(self, partition: int, offset: int, at: datetime | None = None) -> None:
        """Every outcome of the partition that ends up to that offset is in ClickHouse now; the last happened `at`."""
        self._projected[partition] = offset
        lacking = self._lacking[partition]
        while lacking and lacking[0].position.offset <= offset:
            lacking.popleft()
        self._projected_at[partition] = at or self._projected_at[partition]
        self._trim()
        self._wake()

    def attach(self, execution_id: str, follower: Follower) -> None:
        """Give it every event of the execution from now on."""
        self._followers[execution_id] = (*self._followers.get(execution_id, ()), follower)

    def detach(self, execution_id: str, follower: Follower) -> None:
        """Give it no more."""
        left = tuple(other for other in self._followers.get(execution_id, ()) if other is not follower)
        if left:
            self._followers[execution_id] = left
        else:
            self._followers.pop(execution_id, None)

    def publish(self, delta: Delta) -> None:
        """Words of a model's reply as they are generated, for whoever follows the execution now. They are not kept."""
        for follower in self._followers.get(delta.execution_id, ()):
            follower.take_delta(delta)

    def wanted(self, execution_id: str) -> bool:
        """Whether anybody follows the execution word by word now."""
        return any(follower.wants_deltas(execution_id) for follower in self._followers.get(execution_id, ()))

    async def _follow(self, number: int) -> None:
        partition = self._log.partition(number)
        begin = await partition.end()
        self._move(number, begin)
        self._begins[number] = begin
        async for outcomes in partition.batches(begin):
            for outcome in outcomes:
                self._take(number, outcome)
            self._seen[number] = outcomes[-1].position
            self._trim()
            self._move(number, outcomes[-1].position.offset)

    def _move(self, number: int, offset: int) -> None:
        self._ends[number] = offset
        self._wake()

    def _wake(self) -> None:
        """Those who wait look again."""
        self._moved.set()
        self._moved.clear()

    async def _until(self, there: Callable[[], bool]) -> None:
        while not there():
            await self._moved.wait()

    def _meets(self, partition: int) -> bool:
        begins = self._begins[partition]
        return begins is not None and self._projected[partition] >= begins

    def _has_all(self, partition: int) -> bool:
        """Whether all that ClickHouse lacks is here, and can be written."""
        return self._meets(partition) and self._projected[partition] >= self._unread[partition]

    def _take(self, number: int, outcome: Outcome) -> None:
        is_lacking = outcome.position.offset > self._projected[number]
        for item in items(number, outcome):
            if isinstance(item, Unread):
                self._take_unread(item)
                continue
            self._hold(item)
            if is_lacking:
                self._lacking[number].append(item)
            for follower in self._followers.get(item.execution_id, ()):
                follower.take(item)

    def _take_unread(self, item: Unread) -> None:
        self._unread[item.partition] = item.position.offset
        if item.seq:  # else nobody knows where in its execution it belongs
            self._hold(item)
        for follower in self._followers.get(item.execution_id, ()):
            follower.take_unread(item)

    def _hold(self, item: Item) -> None:
        self._events.append(item)
        self._bytes += len(item.raw)
        self._by_execution.setdefault(item.execution_id, []).append(item)

    def _trim(self) -> None:
        """Forget the oldest: those that are projected beyond `keep`, any beyond `most`."""
        while len(self._events) > self._keep or self._bytes > self._most_bytes:
            oldest = self._events[0]
            is_needed = oldest.position.offset > self._projected[oldest.partition]
            if is_needed and len(self._events) <= self._most and self._bytes <= self._most_bytes:
                return
            self._forget(self._events.popleft())

    def _forget(self, oldest: Item) -> None:
        self._bytes -= len(oldest.raw)
        self._begins[oldest.partition] = oldest.position.offset
        lacking = self._lacking[oldest.partition]
        if lacking and lacking[0] is oldest:
            lacking.popleft()
        kept = self._by_execution[oldest.execution_id]
        del kept[0]
        if not kept:
            del self._by_execution[oldest.execution_id]
