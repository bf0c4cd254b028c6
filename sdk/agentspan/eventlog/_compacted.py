"""A table in memory: what stands of each key, and those who follow. Shared by the adapters that keep tables so."""

import asyncio
from collections import deque
from collections.abc import AsyncGenerator

from agentspan.eventlog._ports import CaughtUp, Change
from agentspan.eventlog._records import Record


class _Follower:
    """One who follows, and the changes that were not taken yet."""

    def __init__(self, partition: int | None) -> None:
        self._partition = partition
        self.changes: deque[Change] = deque()
        self._come = asyncio.Event()

    def tell(self, change: Change) -> None:
        if self._partition is None or self._partition == change.partition:
            self.changes.append(change)
            self._come.set()

    async def more(self) -> None:
        """Return when there are changes again. Not a queue of asyncio's: that is asked for each by itself."""
        self._come.clear()
        await self._come.wait()


class Compacted:
    """Changes are applied one after the other; every follower sees all of them in that order."""

    def __init__(self) -> None:
        self._standing: dict[tuple[int, str], Record] = {}
        self._followers: dict[_Follower, None] = {}

    def apply(self, change: Change) -> None:
        """Let a change stand, and tell the followers."""
        # popped first: what is put again moves to the end, as on a compacted topic
        self._standing.pop((change.partition, change.key), None)
        if change.record is not None:
            # without the object that it was made of: what stands may stand for days, and be three times as large so
            self._standing[change.partition, change.key] = Record(*change.record[:4])
        for follower in self._followers:
            follower.tell(change)

    async def follow(self, partition: int | None) -> AsyncGenerator[Change | CaughtUp, None]:
        """As the port says. Nothing is awaited between the look at what stands and the first change."""
        follower = _Follower(partition)
        standing = [
            Change(at, key, record)
            for (at, key), record in self._standing.items()
            if partition is None or partition == at
        ]
        self._followers[follower] = None
        try:
            for change in standing:
                yield change
            yield CaughtUp()
            while True:
                while follower.changes:
                    yield follower.changes.popleft()
                await follower.more()
        finally:
            del self._followers[follower]
