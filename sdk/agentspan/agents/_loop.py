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


CLOSED_MEANWHILE = "the runtime was closed meanwhile; make another AgentRuntime"


class LoopThread:
    """Runs coroutines for callers in any thread."""

    def __init__(self) -> None:
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name="agentspan", daemon=True)
        self._thread.start()

    @property
    def closed(self) -> bool:
        """Whether nothing runs here any more."""
        return self._loop.is_closed()

    def call(self, work: Coroutine[Any, Any, T], timeout_s: float | None = None) -> T:
        """What the coroutine returns or raises. TimeoutError after `timeout_s`: then, and at Ctrl-C, it ends."""
        if threading.current_thread() is self._thread or self.closed:
            work.close()
            raise AgentspanError(
                "the runtime is closed; make another AgentRuntime"
                if self.closed
                else "this blocks, and was called from an async tool on the worker's own loop: "
                "use `await asyncio.to_thread(...)`, or make the tool synchronous"
            )
        try:
            future = asyncio.run_coroutine_threadsafe(work, self._loop)
        except RuntimeError:  # the loop was closed since it was looked at
            work.close()
            raise AgentspanError(CLOSED_MEANWHILE) from None
        try:
            return future.result(timeout_s)
        except concurrent.futures.CancelledError:
            raise AgentspanError(CLOSED_MEANWHILE) from None
        except BaseException:
            future.cancel()
            raise

    def iterate(self, items: AsyncGenerator[T, None]) -> Iterator[T]:
        """The generator's items, one call into the loop each; it is closed when the caller leaves."""
        end = object()

        async def following() -> Any:
            return await anext(items, end)

        try:
            while (item := self.call(following())) is not end:
                yield item
        finally:
            if not self.closed:
                self.call(items.aclose())

    def close(self) -> None:
        """Cancel what runs, and end the thread; one that a tool blocks is left to end with the program."""
        if self.closed:
            return
        with suppress(TimeoutError):
            self.call(_cancel_others(), JOIN_S)
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(JOIN_S)
        if not self._thread.is_alive():
            self._loop.close()


async def _cancel_others() -> None:
    others = [task for task in asyncio.all_tasks() if task is not asyncio.current_task()]
    for task in others:
        task.cancel()
    await asyncio.gather(*others, return_exceptions=True)
    await asyncio.get_running_loop().shutdown_asyncgens()
