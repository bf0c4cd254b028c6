"""A process of the simulated world: a link to everything outside it, a clock that stands still while it is frozen, and
the tasks that run in it. Also what every process needs of the world: chances, ids, and somebody who is told of crashes.
"""

import asyncio
import itertools
import random
from collections.abc import Callable, Coroutine
from contextvars import ContextVar
from datetime import datetime
from typing import Any, TypeVar

from agentspan.eventlog.memory import Faults, Link
from tests.simulation.clock import VirtualLoop

T = TypeVar("T")

LONGEST_TICK_S = 0.8
"""A busy machine wakes its sleepers up to this much later than they asked; it also keeps the ticks of a run few."""


class Network:
    """The faults that all links have now, and the loop's chances. `calm` ends the trouble."""

    def __init__(self, loop: VirtualLoop, seed: str, faults: dict[str, float]) -> None:
        self.loop = loop
        self.random = random.Random(f"{seed}/network")
        self._faults = faults
        self._links: list[Link] = []
        self._numbers = itertools.count(1)

    def link(self) -> Link:
        """A new connection."""
        made = Link(self._current())
        self._links.append(made)
        return made

    def calm(self) -> None:
        """From now on nothing is lost, late or repeated."""
        self._faults = {}
        for link in self._links:
            link.faults = self._current()

    def new_id(self, prefix: str) -> str:
        """An id that was not used before."""
        return f"{prefix}{next(self._numbers)}"

    def _current(self) -> Faults:
        return Faults(self.random, asyncio.sleep, **self._faults)


class Process:
    """One process. Killed, it is gone: start another one."""

    def __init__(self, name: str, network: Network, crashed: Callable[[str, BaseException], None]) -> None:
        self.name = name
        self.network = network
        self.link = network.link()
        self.alive = True
        self._crashed = crashed
        self._going = asyncio.Event()
        self._going.set()
        self._reachable = True
        self._tasks: dict[asyncio.Task[Any], None] = {}

    @property
    def frozen(self) -> bool:
        """Whether it stands still, or nobody can reach it."""
        return not (self._reachable and self._going.is_set())

    def start(self, work: Coroutine[Any, Any, T]) -> asyncio.Task[T]:
        """Run something in this process. It may end, and be cancelled, but not raise."""
        token = HERE.set(self)
        try:
            task = asyncio.get_running_loop().create_task(work)
        finally:
            HERE.reset(token)
        self._tasks[task] = None
        task.add_done_callback(self._done)
        return task

    async def sleep(self, seconds: float) -> None:
        """Wait, and longer when frozen or busy."""
        await asyncio.sleep(seconds + self.network.random.random() * LONGEST_TICK_S)
        await self._going.wait()

    def now(self) -> datetime:
        """The time of day."""
        return self.network.loop.now()

    def boottime(self) -> float:
        """Seconds, for measuring."""
        return self.network.loop.time()

    def chance(self) -> float:
        """A number from 0 up to 1."""
        return self.network.random.random()

    def new_id(self) -> str:
        """A fresh id."""
        return self.network.new_id(f"{self.name}-")

    def freeze(self) -> None:
        """As SIGSTOP."""
        self._going.clear()
        self.link.freeze()

    def cut_off(self) -> None:
        """Its network is gone, and it goes on without: its timers fire, its tools run, its writes wait."""
        self.link.freeze()
        self._reachable = False

    def thaw(self) -> None:
        """As SIGCONT, or the network back: what it was about to send goes out, however stale."""
        self._going.set()
        self._reachable = True
        self.link.thaw()

    def kill(self) -> None:
        """As SIGKILL."""
        self.alive = False
        self.link.cut()
        for task in list(self._tasks):
            task.cancel()

    def _done(self, task: asyncio.Task[Any]) -> None:
        del self._tasks[task]
        error = None if task.cancelled() else task.exception()
        if error is not None and self.alive:
            self._crashed(self.name, error)


HERE: ContextVar[Process] = ContextVar("simulated process")
"""The process that the running code is in: how a tool finds its world."""
