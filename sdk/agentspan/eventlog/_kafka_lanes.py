"""Writes on their way to the producer: those of one turn of the event loop go to a partition together, and what comes
while earlier ones are not acknowledged waits for them, but not for long.

Apart from the producer because it knows no Kafka. A request to a broker carries one batch of one partition: fewer and
larger ones are what broker and client are spared under load. Where nothing is under way, nothing waits.
"""

import asyncio
from collections.abc import Callable, Hashable
from typing import Generic, TypeVar

W = TypeVar("W")

HELD_S = 0.005
"""So long at most does a write wait for those before it. The producer keeps their order: this is not for safety."""


class Lanes(Generic[W]):
    """One lane a partition. `go` hands a write over, and says how many of its records will be settled."""

    def __init__(self, go: Callable[[W], int]) -> None:
        self._go = go
        self._lanes: dict[Hashable, _Lane[W]] = {}
        self._ready: list[_Lane[W]] = []
        self._held = False

    def put(self, place: Hashable, write: W) -> None:
        """Let it go after what was put before, at the end of this turn if nothing of the place is under way."""
        lane = self._lanes.get(place)
        if lane is None:
            lane = self._lanes[place] = _Lane()
        lane.waiting.append(write)
        if len(lane.waiting) > 1:
            return
        if not lane.under_way:
            self._soon(lane)
        elif not self._held:
            self._held = True
            asyncio.get_running_loop().call_later(HELD_S, self._let_go)

    def settled(self, place: Hashable) -> None:
        """A record is under way no longer, whatever became of it."""
        lane = self._lanes[place]
        lane.under_way -= 1
        if not lane.under_way and lane.waiting:
            self._soon(lane)

    def hurry(self) -> None:
        """Let all go that wait."""
        self._ready = [lane for lane in self._lanes.values() if lane.waiting]
        self._leave()

    def drop(self) -> list[W]:
        """Those that wait. They never go."""
        dropped = [write for lane in self._lanes.values() for write in lane.waiting]
        for lane in self._lanes.values():
            lane.waiting = []
        return dropped

    def _soon(self, lane: "_Lane[W]") -> None:
        if not self._ready:
            asyncio.get_running_loop().call_soon(self._leave)
        self._ready.append(lane)

    def _let_go(self) -> None:
        self._held = False
        self.hurry()

    def _leave(self) -> None:
        ready, self._ready = self._ready, []
        for lane in ready:
            waiting, lane.waiting = lane.waiting, []
            for write in waiting:
                lane.under_way += self._go(write)


class _Lane(Generic[W]):
    """The writes to one partition."""

    def __init__(self) -> None:
        self.waiting: list[W] = []
        self.under_way = 0
