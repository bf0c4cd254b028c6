"""The tasks on their way to one worker, between the gateway and whatever carries them there."""

import asyncio
from collections import deque


class TaskStream:
    """`async for batch in stream`: the JSON of what has come, at least one; None is a sign of life. Ends with `end`."""

    def __init__(self) -> None:
        self._pending: deque[bytes | None] = deque()
        self._news = asyncio.Event()
        self._ended = False

    def put(self, task: bytes | None) -> None:
        """Add a task, or a sign of life."""
        self._pending.append(task)
        self._news.set()

    def end(self) -> None:
        """Nothing comes any more; what was put before is still given."""
        self._ended = True
        self._news.set()

    def __aiter__(self) -> "TaskStream":
        return self

    async def __anext__(self) -> tuple[bytes | None, ...]:
        await self._news.wait()
        if not self._pending:
            raise StopAsyncIteration
        batch = tuple(self._pending)
        self._pending.clear()
        if not self._ended:
            self._news.clear()
        return batch
