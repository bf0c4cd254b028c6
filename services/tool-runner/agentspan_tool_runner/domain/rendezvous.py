"""Whose turn it is to take a task that several could take: rendezvous hashing, and when the next one steps in.

Apart from the dispatcher and the model lane because both share their work by it. Nobody asks anybody: who sees the same
others comes to the same answer. It bends only where views may differ for a moment, and then by waiting.
"""

from collections.abc import Collection
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from hashlib import blake2b

SETTLE = timedelta(seconds=0.5)
"""So long a newcomer leaves alone what another one may just have taken: until that would have been announced."""

LONG_AGO = datetime.min.replace(tzinfo=UTC)


def ranking(key: str, nodes: Collection[str]) -> list[str]:
    """The nodes in the order in which the task is theirs, the same whoever computes it."""
    return sorted(nodes, key=lambda node: (_score(key, node), node))


@dataclass(slots=True)
class Rendezvous:
    """Who was found to be the first for one task, and since when that one could have taken it."""

    leader: str | None = None
    ready: datetime = LONG_AGO

    def is_ours(
        self,
        key: str,
        us: str,
        nodes: Collection[str],
        now: datetime,
        *,
        step_in: timedelta,
        free: bool = False,
        pause: timedelta = timedelta(),
    ) -> bool:
        """Whether we, one of these nodes, are to take the task now.

        The first of them takes it at once, each further one `step_in` after the one before did not. `free`: it is sure
        that nobody has just taken it, for it was opened, or given up, this moment. Otherwise one that comes before a
        leader who is still there waits until that one would have told. `pause` is waited by all.
        """
        order = ranking(key, nodes)
        if free or self.leader != order[0]:
            taken = not free and len(order) > 1 and (self.leader is None or self.leader in nodes)
            self.leader = order[0]
            self.ready = now + max(pause, SETTLE if taken else pause)
        return now >= self.ready + step_in * order.index(us)


def _score(key: str, node: str) -> bytes:
    return blake2b(f"{key}\0{node}".encode(), digest_size=8).digest()
