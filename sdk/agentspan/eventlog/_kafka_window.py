"""What this process has in memory of one partition: some items one behind the other, of which the oldest make room."""

from bisect import bisect_left
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Generic, TypeVar

T = TypeVar("T")

KEPT_RECORDS = 4096
KEPT_BYTES = 4 * 1024 * 1024


@dataclass(frozen=True, slots=True)
class Piece(Generic[T]):
    """What was read of a partition."""

    items: Sequence[tuple[int, T]]
    """With their offsets. There may be gaps: compaction leaves some, and so does the marker of a transaction."""
    following: int
    """The offset to go on from: below it stands nothing but the items."""


class Window(Generic[T]):
    """Items of a partition, in offset order."""

    def __init__(self, first: int, *, kept_records: int = KEPT_RECORDS, kept_bytes: int = KEPT_BYTES) -> None:
        self.first = first
        """All that stands from here to `end` is in memory."""
        self.end = first
        self._kept_records = kept_records
        self._kept_bytes = kept_bytes
        self._items: list[tuple[int, T]] = []
        self._sizes: list[int] = []
        self._bytes = 0

    def push(self, offset: int, item: T, size: int) -> None:
        """Add the next item. Now and then the oldest make room, many at once: a list's front is slow to cut."""
        self._items.append((offset, item))
        self._sizes.append(size)
        self._bytes += size
        self.end = offset + 1
        if len(self._items) > 2 * self._kept_records or self._bytes > 2 * self._kept_bytes:
            self._cut()

    def skip(self, end: int) -> None:
        """Nothing stands from here to there."""
        self.end = max(self.end, end)

    def read(self, offset: int, limit: int) -> Piece[T]:
        """Up to `limit` items from `offset` on, which is not below `first`."""
        at = bisect_left(self._items, offset, key=lambda item: item[0])
        items = self._items[at : at + limit]
        return Piece(items, items[-1][0] + 1 if items else self.end)

    def _cut(self) -> None:
        cut = 0
        while len(self._items) - cut > self._kept_records or (
            self._bytes > self._kept_bytes and cut < len(self._items)
        ):
            self._bytes -= self._sizes[cut]
            cut += 1
        self.first = self._items[cut - 1][0] + 1
        del self._items[:cut], self._sizes[:cut]
