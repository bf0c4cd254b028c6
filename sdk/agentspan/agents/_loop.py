"""An event loop on a daemon thread, and the way into it from synchronous code.

Apart from the runtime because the rules of threads stand here: it never keeps a program from ending.
"""

import asyncio
import concurrent.futures
import threading
from collections.abc import AsyncGenerator, Coroutine, Iterator
from contextlib import suppress
from typing import Any, TypeVar

from agentspan.agents._errors import AgentspanError

T = TypeVar("T")

JOIN_S = 1.0


CLOSED = "the runtime is closed; make another AgentRuntime"
CLOSED_MEANWHILE = "the runtime was closed meanwhile; make another AgentRuntime"


class LoopThread:
    """Runs coroutines for callers in any thread."""

    def __init__(self) -> None:
        self._loop = asyncio.new_event_loop()
        self._lock = threading.Lock()
        self._closing = False
        self._thread = threading.Thread(target=self._loop.run_forever, name="agentspan", daemon=True)
        self._thread.start()

    @property
    def closed(self) -> bool:
        """Whether nothing can be begun here any more."""
        return self._closing

    def call(self, work: Coroutine[Any, Any, T], timeout_s: float | None = None) -> T:
        """What the coroutine returns or raises. TimeoutError after `timeout_s`: then, and at Ctrl-C, it ends."""
        if self.is_current:
            work.close()
            raise AgentspanError(
                "this blocks, and was called from an async tool on the worker's own loop: await its _async twin, "
                "use `await asyncio.to_thread(...)`, or make the tool synchronous"
            )
        future = self._begin(work)
        try:
            return future.result(timeout_s)
        except concurrent.futures.CancelledError:
            raise AgentspanError(CLOSED_MEANWHILE) from None
        except BaseException:
            future.cancel()
            raise

    async def wait_for(self, work: Coroutine[Any, Any, T], timeout_s: float | None = None) -> T:
        """The same, awaited on any loop."""
        future = self._begin(work)
        try:
            async with asyncio.timeout(timeout_s):
                return await asyncio.wrap_future(future)
        except asyncio.CancelledError:
            if self._closing and not _is_being_cancelled():
                raise AgentspanError(CLOSED_MEANWHILE) from None
            raise

    def iterate(self, batches: AsyncGenerator[list[T], None]) -> Iterator[T]:
        """The generator's items, one call into the loop for each batch; it is closed when the caller leaves."""
        try:
            while batch := self.call(_next(batches)):
                yield from batch
        finally:
            if not self.closed:
                self.call(batches.aclose())

    async def aiterate(self, batches: AsyncGenerator[list[T], None]) -> AsyncGenerator[T, None]:
        """The same, on any loop."""
        try:
            while batch := await self.wait_for(_next(batches)):
                for item in batch:
                    yield item
        finally:
            if not self.closed:
                await self.wait_for(batches.aclose())

    @property
    def is_current(self) -> bool:
        """Whether the caller runs on this loop."""
        return threading.current_thread() is self._thread

    def _begin(self, work: Coroutine[Any, Any, T]) -> "concurrent.futures.Future[T]":
        with self._lock:  # what is begun before the end is cancelled by it; what comes later is not begun
            if self._closing:
                work.close()
                raise AgentspanError(CLOSED)
            return asyncio.run_coroutine_threadsafe(work, self._loop)

    def close(self) -> None:
        """Cancel what runs, and end the thread; one that a tool blocks is left to end with the program."""
        with self._lock:
            if self._closing:
                return
            self._closing = True
            cancelled = asyncio.run_coroutine_threadsafe(_cancel_others(), self._loop)
        with suppress(TimeoutError):
            cancelled.result(JOIN_S)
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(JOIN_S)
        if not self._thread.is_alive():
            self._loop.close()


async def _next(batches: AsyncGenerator[list[T], None]) -> list[T]:
    """The next batch; an empty one at the end."""
    return await anext(batches, [])


def _is_being_cancelled() -> bool:
    task = asyncio.current_task()
    return task is not None and task.cancelling() > 0


async def _cancel_others() -> None:
    others = [task for task in asyncio.all_tasks() if task is not asyncio.current_task()]
    for task in others:
        task.cancel()
    await asyncio.gather(*others, return_exceptions=True)
    await asyncio.get_running_loop().shutdown_asyncgens()
