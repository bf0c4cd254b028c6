"""Memory that was freed goes back to the system: what a burst has taken is not kept by a server that has nothing to do.

Apart because it is the C library's matter: glibc keeps a heap for each thread, and what is free between what is used.
Where it is another one, nothing is done.
"""

import asyncio
import ctypes
import gc
from collections.abc import Awaitable, Callable
from typing import Final

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
    """Once after each burst on any partition, until cancelled; in between nothing runs."""
    async with asyncio.TaskGroup() as group:
        for number in range(log.partitions):
            group.create_task(_after_bursts(log, number, sleep, give))


async def _after_bursts(
    log: Log, number: int, sleep: Callable[[float], Awaitable[None]], give: Callable[[], None]
) -> None:
    partition = log.partition(number)
    end = await partition.end()
    while True:
        await partition.wait(end)
        while (reached := await partition.end()) != end:
            end = reached
            await sleep(QUIET_S)
        give()
