"""An event loop without I/O whose time jumps to the next timer, so that a minute of waiting costs nothing.

Everything in it is ordered by when it was scheduled: the same coroutines with the same random numbers run the same way
in every process. Tasks hash by their number, as asyncio keeps them in sets and those are ordered by hash.
"""

import asyncio
import gc
import heapq
import itertools
from collections import deque
from collections.abc import Callable, Coroutine
from contextvars import Context
from datetime import UTC, datetime, timedelta
from typing import Any, TypeVar, TypeVarTuple

T = TypeVar("T")
Args = TypeVarTuple("Args")

EPOCH = datetime(2026, 3, 1, 9, 0, tzinfo=UTC)
"""When every simulation begins."""


STOPS_WITHIN_S = 60.0
"""How long a cancelled task may take to end."""


class Stuck(RuntimeError):
    """Nothing is ready and nothing is scheduled: whoever is awaited will never come."""


class NumberedTask(asyncio.Task[T]):
    """A task whose hash does not depend on where it lies in memory."""

    def __init__(self, number: int, coro: Coroutine[Any, Any, T], loop: "VirtualLoop", context: Context | None) -> None:
        self._number = number
        super().__init__(coro, loop=loop, context=context)

    def __hash__(self) -> int:
        return self._number


class VirtualLoop(asyncio.BaseEventLoop):
    """An event loop whose time is a number: when nothing is ready, it becomes that of the next timer."""

    _ready: deque[asyncio.Handle]

    def __init__(self) -> None:
        super().__init__()
        self.elapsed_s = 0.0
        self._timers: list[tuple[float, int, asyncio.TimerHandle]] = []
        self._numbers = itertools.count(1)
        self.set_task_factory(self._new_task)  # type: ignore[arg-type]

    def time(self) -> float:
        """Seconds since the simulation began."""
        return self.elapsed_s

    def now(self) -> datetime:
        """The time of day that the services are given."""
        return EPOCH + timedelta(seconds=self.elapsed_s)

    def _new_task(
        self, loop: asyncio.AbstractEventLoop, coro: Coroutine[Any, Any, T], context: Context | None = None
    ) -> asyncio.Task[T]:
        return NumberedTask(next(self._numbers), coro, self, context)

    def call_at(
        self,
        when: float,
        callback: Callable[[*Args], object],
        *args: *Args,
        context: Context | None = None,
    ) -> asyncio.TimerHandle:
        """As asyncio's, but of two timers for the same moment the older one goes first."""
        handle = asyncio.TimerHandle(when, callback, args, self, context)
        heapq.heappush(self._timers, (when, next(self._numbers), handle))
        return handle

    def _timer_handle_cancelled(self, handle: asyncio.TimerHandle) -> None:
        """It is passed over when its time comes."""

    def _run_once(self) -> None:
        ready = self._ready
        if not ready:
            self._jump()
        for _ in range(len(ready)):
            handle = ready.popleft()
            if not handle.cancelled():
                handle._run()

    def _jump(self) -> None:
        timers = self._timers
        while timers and timers[0][2].cancelled():
            heapq.heappop(timers)
        if not timers:
            raise Stuck("nothing is ready and nothing is scheduled")
        self.elapsed_s = now = max(self.elapsed_s, timers[0][0])
        while timers and timers[0][0] <= now:
            self._ready.append(heapq.heappop(timers)[2])

    def _write_to_self(self) -> None:
        """No other thread has to wake this loop."""


def run_virtual(life: Callable[[VirtualLoop], Coroutine[Any, Any, T]]) -> T:
    """Run what `life` makes of a new loop; then whatever it left running is cancelled.

    The collector rests meanwhile: it would close abandoned generators at moments of its own.
    """
    collecting = gc.isenabled()
    gc.disable()
    loop = VirtualLoop()
    try:
        return loop.run_until_complete(life(loop))
    finally:
        loop.run_until_complete(_end(loop))
        loop.close()
        if collecting:
            gc.enable()


async def _end(loop: VirtualLoop) -> None:
    current = asyncio.current_task()
    rest = [task for task in asyncio.all_tasks(loop) if task is not current]
    for task in rest:
        task.cancel()
    if rest:
        _, going_on = await asyncio.wait(rest, timeout=STOPS_WITHIN_S)
        if going_on:
            raise Stuck(f"cancelled, and still there: {going_on}")
        await asyncio.gather(*rest, return_exceptions=True)
    await loop.shutdown_asyncgens()


def at_once(coro: Coroutine[Any, Any, T]) -> T:
    """The result of a coroutine that has nothing to wait for."""
    try:
        coro.send(None)
    except StopIteration as done:
        result: T = done.value
        return result
    coro.close()
    raise RuntimeError(f"{coro!r} had to wait")
