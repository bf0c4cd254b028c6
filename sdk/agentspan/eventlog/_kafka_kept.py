"""What stands of one partition of a table, kept in memory while somebody follows it, as long as it is little.

Apart from the table because several of a process follow the same one, as the open tasks: whose topic has far more that
was closed. It is read once; what comes afterwards each follower brings along.
"""

import asyncio
import contextlib
from collections.abc import Iterator, Sequence

from agentspan.eventlog._kafka_window import Piece
from agentspan.eventlog._ports import Change

KEPT_BYTES = 1024 * 1024
"""What stands is kept up to so much; if it is more, whoever follows next reads it again."""

ENTRY_BYTES = 300
"""An entry without its value."""


class Kept:
    """Of one partition. Nothing is known of it until somebody has read it."""

    def __init__(self, *, kept_bytes: int = KEPT_BYTES) -> None:
        self.turn = asyncio.Lock()
        """Held by whoever reads it: others wait, and need not read it."""
        self.until: int | None = None
        """The offset below which `changes` is all that stands; None: nobody knows."""
        self._changes: dict[str, Change] = {}
        self._kept_bytes = kept_bytes
        self._bytes = 0
        self._followers = 0

    @contextlib.contextmanager
    def followed(self) -> Iterator[None]:
        """Keep it meanwhile. What nobody brings along is of no use: of what was deleted since, nothing may be left."""
        self._followers += 1
        try:
            yield
        finally:
            self._followers -= 1
            if self._followers == 0:
                self.forget()

    @property
    def changes(self) -> Sequence[Change]:
        """In the order in which they were put."""
        return list(self._changes.values())

    def add(self, changes: Sequence[Change]) -> bool:
        """Note what somebody has read; False when that is too much."""
        for change in changes:
            self._put(change)
        return self._bytes <= self._kept_bytes

    def bring(self, offset: int, piece: Piece[Change]) -> None:
        """Note what came, where it goes on from here."""
        if self.until == offset:
            self.until = piece.following
            if not self.add([change for _, change in piece.items]):
                self.forget()

    def forget(self) -> None:
        """It has become too much, or nobody follows it any more."""
        self.until, self._bytes = None, 0
        self._changes.clear()

    def _put(self, change: Change) -> None:
        # popped first: what is put again moves to the end
        before = self._changes.pop(change.key, None)
        if before is not None and before.record is not None:
            self._bytes -= ENTRY_BYTES + len(before.record.value)
        if change.record is not None:
            self._changes[change.key] = change
            self._bytes += ENTRY_BYTES + len(change.record.value)
