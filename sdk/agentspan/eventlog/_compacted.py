"""A table in memory: what stands of each key, and those who follow. Shared by the adapters that keep tables so."""

import asyncio
from collections.abc import AsyncGenerator

from agentspan.eventlog._ports import CaughtUp, Change
from agentspan.eventlog._records import Record


class Compacted:
    """Changes are applied one after the other; every follower sees all of them in that order."""

    def __init__(self) -> None:
        self._standing: dict[tuple[int, str], Record] = {}
        self._followers: dict[asyncio.Queue[Change], int | None] = {}

    def apply(self, change: Change) -> None:
        """Let a change stand, and tell the followers."""
        # popped first: what is put again moves to the end, as on a compacted topic
        self._standing.pop((change.partition, change.key), None)
        if change.record is not None:
            self._standing[change.partition, change.key] = change.record
        for queue, partition in self._followers.items():
            if partition is None or partition == change.partition:
                queue.put_nowait(change)

    async def follow(self, partition: int | None) -> AsyncGenerator[Change | CaughtUp, None]:
        """As the port says. Nothing is awaited between the look at what stands and the first change."""
        queue: asyncio.Queue[Change] = asyncio.Queue()
        standing = [
            Change(at, key, record)
            for (at, key), record in self._standing.items()
            if partition is None or partition == at
        ]
        self._followers[queue] = partition
        try:
            for change in standing:
                yield change
            yield CaughtUp()
            while True:
                yield await queue.get()
        finally:
            del self._followers[queue]
