"""The end of a growing sequence, and waiting for it to grow: what every adapter in one process needs."""

import asyncio


class Watermark:
    """Grows in one event loop; any number of tasks wait for it there."""

    def __init__(self, end: int = 0) -> None:
        self.end = end
        self._grown = asyncio.Event()

    def grow(self, end: int) -> None:
        """Move the end up and wake who waits."""
        self.end = end
        self._grown.set()
        self._grown.clear()

    async def passed(self, offset: int) -> None:
        """Return when the end is above the offset."""
        while self.end <= offset:
            await self._grown.wait()
