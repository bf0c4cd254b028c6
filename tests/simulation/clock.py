"""An event loop without I/O whose time jumps to the next timer, so that a minute of waiting costs nothing.

Everything in it is ordered by when it was scheduled: the same coroutines with the same random numbers run the same way
in every process. Tasks hash by their number, as asyncio keeps them in sets and those are ordered by hash.
"""

import asyncio
import gc
import itertools
from collections.abc import Callable, Coroutine
from contextvars import Context
from datetime import UTC, datetime, timedelta
from typing import Any, TypeVar

T = TypeVar("T")

EPOCH = datetime(2026, 3, 1, 9, 0, tzinfo=UTC)
"""When every simulation begins."""


class Stuck(RuntimeError):
    """Nothing is ready and nothing is scheduled: whoever is awaited will never come."""


class NumberedTask(asyncio.Task[T]):
    """A task whose hash does not depend on where it lies in memory."""

    def __init__(self, number: int, coro: Coroutine[Any, Any, T], loop: "VirtualLoop", context: Context | None) -> None:
        self._number = number
        super().__init__(coro, loop=loop, context=context)

    def __hash__(self) -> int:
        return self._number


class _Jump:
    """Stands where a loop has its selector: instead of waiting for I/O it moves the time."""

    def __init__(self, loop: "VirtualLoop") -> None:
        self._loop = loop

    def select(self, timeout: float | None) -> list[object]:
        if timeout is None:
            raise Stuck("nothing is ready and nothing is scheduled")
        self._loop.elapsed_s += timeout
        return []


class VirtualLoop(asyncio.BaseEventLoop):
    """An event loop whose time is a number."""

    def __init__(self) -> None:
        super().__init__()
        self.elapsed_s = 0.0
        self._selector = _Jump(self)
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

    def _process_events(self, event_list: list[object]) -> None:
        """There are none."""

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
