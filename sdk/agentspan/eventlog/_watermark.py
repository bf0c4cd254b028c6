"""The end of a growing sequence, and waiting for it to grow: what every adapter in one process needs, and every view
that is read while it follows the log.
"""

import asyncio
from contextlib import suppress


class Watermark:
    """Grows in one event loop; any number of tasks wait for it there. Growing costs next to nothing while none does."""

    def __init__(self, end: int = 0) -> None:
        self.end = end
        self._waiting: list[asyncio.Future[None]] = []

    def grow(self, end: int) -> None:
        """Move the end up and wake who waits. What begins anew moves it back: who waits goes on waiting."""
        self.end = end
        if self._waiting:
            woken, self._waiting = self._waiting, []
            for waiting in woken:
                if not waiting.done():
                    waiting.set_result(None)

    async def passed(self, offset: int) -> None:
        """Return when the end is above the offset."""
        while self.end <= offset:
            waiting: asyncio.Future[None] = asyncio.get_running_loop().create_future()
            self._waiting.append(waiting)
            try:
                await waiting
            except asyncio.CancelledError:  # what never grows again does not keep all that gave up
                with suppress(ValueError):
                    self._waiting.remove(waiting)
                raise
