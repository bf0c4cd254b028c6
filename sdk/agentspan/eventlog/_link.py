"""What can happen between one process and a broker: the faults of the memory adapters.

Each process has a `Link`; each thing it writes to has a `Lane`, which keeps its order as an idempotent producer does.
All choices are made by one `random.Random`, all waiting by one `sleep`: the same seed is the same run.
"""

import asyncio
import random
from collections import deque
from collections.abc import Awaitable, Callable, Coroutine, Sequence
from dataclasses import dataclass
from typing import Generic, TypeVar

from agentspan.eventlog._errors import FateUnknown

T = TypeVar("T")
R = TypeVar("R")


@dataclass(frozen=True, slots=True)
class Faults:
    """How often what goes wrong: each a probability from 0 to 1, or a longest time in seconds."""

    random: random.Random
    sleep: Callable[[float], Awaitable[object]]
    lose: float = 0.0
    """A record is lost while the next one lands."""
    tear: float = 0.0
    """A record and all after it in the same write are lost."""
    forget: float = 0.0
    """A write lands and its acknowledgement is lost."""
    twice: float = 0.0
    """A record sent to an inbox lands twice."""
    repeat: float = 0.0
    """A write lands twice before it is acknowledged, as its producer has given up on another and begun anew."""
    delay_s: float = 0.0
    """Every crossing takes up to this long."""
    stall: float = 0.0
    """A crossing takes up to `stall_s` instead."""
    stall_s: float = 0.0

    def happens(self, probability: float) -> bool:
        return probability > 0 and self.random.random() < probability

    async def delay(self) -> None:
        longest = self.stall_s if self.happens(self.stall) else self.delay_s
        await self.sleep(self.random.uniform(0, longest))


class Link:
    """One process's connection. Frozen, nothing crosses it in either direction; thawed, it all does, in order."""

    def __init__(self, faults: Faults) -> None:
        self.faults = faults
        self._open = asyncio.Event()
        self._open.set()
        self._dead = False
        self._under_way: dict[asyncio.Task[None], None] = {}  # a set would forget the order

    def freeze(self) -> None:
        """As SIGSTOP: what the process writes lands after `thaw`, however stale it is by then."""
        self._open.clear()

    def thaw(self) -> None:
        self._open.set()

    def cut(self) -> None:
        """As SIGKILL: what has not landed never will, be it the rest of an outcome, and nobody is told."""
        self._dead = True
        for task in list(self._under_way):
            task.cancel()

    async def cross(self) -> None:
        """Go from the process to the broker, or back."""
        await self.faults.delay()
        await self._open.wait()

    def run(self, work: Coroutine[object, object, None]) -> None:
        """Do something on the network, unless the link is cut before it is done."""
        if self._dead:
            work.close()
            return
        task = asyncio.get_running_loop().create_task(work)
        self._under_way[task] = None
        task.add_done_callback(lambda done: self._under_way.pop(done, None))


class Lane(Generic[T, R]):
    """The writes of one process to one place, in order. Without a link they land at once."""

    def __init__(self, link: Link | None, land: Callable[[T], R]) -> None:
        self._link = link
        self._land = land
        self._queued: deque[tuple[Sequence[T], asyncio.Future[Sequence[R]]]] = deque()

    def carry(self, items: Sequence[T]) -> asyncio.Future[Sequence[R]]:
        """Queue a write; the future has what `land` returned for each item, or FateUnknown."""
        future: asyncio.Future[Sequence[R]] = asyncio.get_running_loop().create_future()
        if self._link is None:
            future.set_result([self._land(item) for item in items])
            return future
        self._queued.append((items, future))
        if len(self._queued) == 1:
            self._link.run(self._drive(self._link))
        return future

    async def _drive(self, link: Link) -> None:
        while self._queued:
            items, future = self._queued[0]
            landed = await self._write(link, items)
            link.run(_acknowledge(link, landed, future))
            self._queued.popleft()

    async def _write(self, link: Link, items: Sequence[T]) -> list[R] | None:
        """What `land` returned, or None if an item was lost. Others may land something between two items."""
        landed = []
        for item in items:
            await link.cross()
            if link.faults.happens(link.faults.tear):
                return None
            if not link.faults.happens(link.faults.lose):
                landed.append(self._land(item))
        if len(landed) < len(items):
            return None
        return [self._land(item) for item in items] if link.faults.happens(link.faults.repeat) else landed


async def _acknowledge(link: Link, landed: list[R] | None, future: asyncio.Future[Sequence[R]]) -> None:
    forgotten = link.faults.happens(link.faults.forget)
    await link.cross()
    if future.done():
        return
    if landed is None or forgotten:
        future.set_exception(FateUnknown("the broker did not acknowledge the write in time"))
    else:
        future.set_result(landed)
