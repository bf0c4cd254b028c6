"""The rule that says which records count (DESIGN.md section 5), written once, pure, fed by everybody who reads.

A record counts only if it carries the epoch of the last valid takeover before it, and the next number; after a hole
nothing more of that epoch counts; `last` ends an outcome; a takeover voids the unfinished outcome before it.
"""

from collections.abc import Callable

from agentspan.eventlog._records import BEGINNING, Outcome, Position, Stored


class Reader:
    """Feeds on a partition's records in offset order, and gives the outcomes that count.

    It begins at a position of a reader before it, or fresh (epoch 0) at the log's beginning or at a valid takeover.
    `on_ghost` is told of each record that counts for nothing.
    """

    __slots__ = ("_hole", "_on_ghost", "_unfinished", "epoch", "n", "takeover")

    def __init__(self, position: Position = BEGINNING, on_ghost: Callable[[Stored], None] = lambda _: None) -> None:
        self.epoch = position.epoch
        self.n = position.n
        self.takeover = 0
        """The offset of the last valid takeover that this reader has read."""
        self._unfinished: list[Stored] = []
        self._hole = False
        self._on_ghost = on_ghost

    def feed(self, stored: Stored) -> Outcome | None:
        """The outcome that this record completes, if it does."""
        stamp = stored.stamp
        if stamp.n == 0:
            if stamp.epoch > self.epoch:
                self._taken_over(stored)
            else:
                self._on_ghost(stored)
            return None
        if stamp.epoch != self.epoch or self._hole:
            self._on_ghost(stored)
            return None
        if stamp.n != self.n + 1:
            self._hole = True
            self._on_ghost(stored)
            return None
        self.n = stamp.n
        self._unfinished.append(stored)
        return self._outcome(stored.offset) if stamp.last else None

    def position(self, offset: int) -> Position | None:
        """Where another reader can go on from `offset` as this one would; None inside an outcome or behind a hole."""
        return None if self._unfinished or self._hole else Position(offset, self.epoch, self.n)

    def _taken_over(self, stored: Stored) -> None:
        for torn in self._unfinished:
            self._on_ghost(torn)
        self.epoch, self.n, self.takeover = stored.stamp.epoch, 0, stored.offset
        self._unfinished, self._hole = [], False

    def _outcome(self, offset: int) -> Outcome:
        records, self._unfinished = tuple(self._unfinished), []
        return Outcome(records, Position(offset + 1, self.epoch, self.n))
