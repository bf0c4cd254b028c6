"""Memory that was freed goes back to the system: what a burst has taken is not kept by a server that has nothing to do.

Apart because it is the C library's matter: glibc keeps a heap for each thread, and what is free between what is used.
Where it is another one, nothing is done.
"""

import asyncio
import ctypes
import gc
from collections.abc import Awaitable, Callable, Coroutine, Iterable
from typing import Any, Final

from agentspan.eventlog import Log

QUIET_S: Final = 5.0
"""So long nothing came to a log before memory is given back, in some ten milliseconds."""

_M_ARENA_MAX: Final = -8
"""glibc's number for it (malloc.h)."""


def share_one_heap() -> None:
    """All threads from now on use one heap: they seldom allocate at the same time, as Python lets one run."""
    if tell := getattr(ctypes.CDLL(None), "mallopt", None):
        tell(_M_ARENA_MAX, 1)


def give_back() -> None:
    """Hand what is free to the system, also what only the collector finds: under load it seldom looks at all."""
    gc.collect()
    if trim := getattr(ctypes.CDLL(None), "malloc_trim", None):
        trim(0)


async def give_back_when_quiet(
    log: Log, *, sleep: Callable[[float], Awaitable[None]], give: Callable[[], None] = give_back
) -> None:
    """Once after each burst, whatever partitions it came to, until cancelled; in between nothing runs."""
    partitions = [log.partition(number) for number in range(log.partitions)]
    ends = [await partition.end() for partition in partitions]
    while True:
        await _first([partition.wait(end) for partition, end in zip(partitions, ends, strict=True)])
        while (reached := [await partition.end() for partition in partitions]) != ends:
            ends = reached
            await sleep(QUIET_S)
        give()


async def _first(waits: Iterable[Coroutine[Any, Any, None]]) -> None:
    """Return when one of them has."""
    tasks = [asyncio.ensure_future(wait) for wait in waits]
    try:
        done, _ = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
        done.pop().result()
    finally:
        for task in tasks:
            task.cancel()
