"""Threads for synchronous tools: reused, never joined.

Apart from `concurrent.futures` because an executor's threads are waited for at exit: a tool that never returns would
keep its program from ending. How many run at once is the worker's business.
"""

import contextvars
import queue
import threading
from collections.abc import Callable
from concurrent.futures import Future
from typing import TypeVar

T = TypeVar("T")

_Work = Callable[[], None]


class ToolThreads:
    """Daemon threads; an idle one takes the next call, and there is a new one when none is idle."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._idle: list[queue.SimpleQueue[_Work | None]] = []
        self._closed = False

    def submit(self, call: Callable[[], T]) -> Future[T]:
        """Run `call` in a thread, in a copy of the caller's context."""
        future: Future[T] = Future()
        context = contextvars.copy_context()

        def work() -> None:
            if not future.set_running_or_notify_cancel():
                return
            try:
                future.set_result(context.run(call))
            except BaseException as error:
                future.set_exception(error)

        with self._lock:
            inbox = self._idle.pop() if self._idle else None
        if inbox is None:
            inbox = queue.SimpleQueue()
            threading.Thread(target=self._serve, args=(inbox,), name="agentspan-tool", daemon=True).start()
        inbox.put(work)
        return future

    def close(self) -> None:
        """Let idle threads end, and busy ones when their call returns."""
        with self._lock:
            self._closed = True
            idle, self._idle = self._idle, []
        for inbox in idle:
            inbox.put(None)

    def _serve(self, inbox: "queue.SimpleQueue[_Work | None]") -> None:
        while work := inbox.get():
            work()
            del work  # or the last result would live until the next call
            with self._lock:
                if self._closed:
                    return
                self._idle.append(inbox)
