"""Writes on their way to the producer: those of one turn of the event loop go together, at its end.

Apart from the producer because it knows no Kafka. A request to a broker carries one batch of one partition, and leaves
with the first record that librdkafka's thread sees: what is handed over together goes in fewer and larger ones.
"""

import asyncio
from collections.abc import Callable, Hashable
from typing import Generic, TypeVar

W = TypeVar("W")


class Lanes(Generic[W]):
    """One lane a partition: its writes go one behind the other, in the order of `put`."""

    def __init__(self, go: Callable[[W], None]) -> None:
        self._go = go
        self._waiting: dict[Hashable, list[W]] = {}

    def put(self, place: Hashable, write: W) -> None:
        """Let it go at the end of this turn, after what was put before."""
        if not self._waiting:
            asyncio.get_running_loop().call_soon(self.hurry)
        self._waiting.setdefault(place, []).append(write)

    def hurry(self) -> None:
        """Let all go that wait."""
        for write in self.drop():
            self._go(write)

    def drop(self) -> list[W]:
        """Those that wait. They never go."""
        waiting, self._waiting = self._waiting, {}
        return [write for writes in waiting.values() for write in writes]
