"""Waiting for what sends no event: another process that comes up, or goes, or has read what was written; here too, a
property that is nobody's event.

Apart so that all tests that have to look again and again do it here; whatever can be awaited is awaited.
"""

import asyncio
import time
from collections.abc import Callable

WITHIN_S = 240.0
"""Far above what it takes: it ends a test that would wait for ever, and judges no machine by its speed."""

LOOK_S = 0.02
HERE_S = 0.002


def eventually(condition: Callable[[], bool], what: str, within_s: float = WITHIN_S) -> None:
    """Return when it holds; `what` says what was waited for, where it never does."""
    deadline = time.monotonic() + within_s
    while not condition():
        assert time.monotonic() < deadline, f"not within {within_s} s: {what}"
        time.sleep(LOOK_S)


async def until(reached: Callable[[], object], within_s: float = WITHIN_S) -> None:
    """Let everything on this loop run until it is so."""
    async with asyncio.timeout(within_s):
        while not reached():  # noqa: ASYNC110
            await asyncio.sleep(HERE_S)
