"""What a partition has that is no longer in memory, read from the broker once for all who want it at the same time.

An owner that restores, those who wait for its answers and the approvals' view all begin near the last takeover: what
the first of them reads and decodes is kept for the others for a moment.
"""

import asyncio
from collections.abc import Callable
from typing import Generic, TypeVar

from confluent_kafka import Message

from agentspan.eventlog._kafka_history import History
from agentspan.eventlog._kafka_live import Place
from agentspan.eventlog._kafka_window import Piece, Window

KEPT_S = 30.0
"""A restore takes less; whoever reads the whole log is far from where it began."""

T = TypeVar("T")


class Behind(Generic[T]):
    """Reads what is older, one at a time: who asks for the same meanwhile finds it here."""

    def __init__(self, place: Place, decode: Callable[[Message], T], history: History) -> None:
        self._place = place
        self._decode = decode
        self._history = history
        self._read: Window[T] | None = None
        self._turn = asyncio.Lock()

    async def read(self, offset: int, limit: int, stop: int) -> Piece[T]:
        """Up to `limit` messages from `offset` on; none only if none stands below `stop`. Raises OffsetGone."""
        if offset >= stop:
            return Piece((), offset)
        async with self._turn:
            kept = self._read
            if kept is not None and kept.first <= offset < kept.end:
                return kept.read(offset, limit)
            return await self._fetched(offset, limit, stop)

    async def _fetched(self, offset: int, limit: int, stop: int) -> Piece[T]:
        found = await self._history.read(self._place, offset, limit, stop, self._sized)
        kept = self._read
        if kept is None or kept.end != offset:
            kept = self._read = Window(offset)
            asyncio.get_running_loop().call_later(KEPT_S, self._forget, kept)
        for at, (item, size) in found:
            kept.push(at, item, size)
        if not found:
            kept.skip(stop)
        items = [(at, item) for at, (item, _) in found]
        return Piece(items, items[-1][0] + 1 if items else stop)

    def _sized(self, message: Message) -> tuple[T, int]:
        return self._decode(message), len(message)

    def _forget(self, kept: Window[T]) -> None:
        if self._read is kept:
            self._read = None
