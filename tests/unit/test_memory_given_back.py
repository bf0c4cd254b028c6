"""Freed memory goes back to the system once after a burst, and nothing runs where nothing comes."""

import asyncio

from agentspan.eventlog import Record
from agentspan.eventlog.memory import MemoryLog
from agentspan_standalone.memory import give_back, give_back_when_quiet, share_one_heap


class Clock:
    """Time passes when it is told to."""

    def __init__(self) -> None:
        self.slept = 0
        self.asleep = asyncio.Event()
        self._ticks = asyncio.Semaphore(0)

    async def sleep(self, seconds: float) -> None:
        self.slept += 1
        self.asleep.set()
        await self._ticks.acquire()

    async def pass_on(self) -> None:
        """End its sleep."""
        await self.asleep.wait()
        self.asleep.clear()
        self._ticks.release()


async def test_memory_is_given_back_once_when_a_burst_is_over() -> None:
    log, clock, given = MemoryLog(1), Clock(), asyncio.Queue[int]()
    owner = await log.partition(0).take_over("a")
    running = asyncio.create_task(give_back_when_quiet(log, sleep=clock.sleep, give=lambda: given.put_nowait(1)))
    for _ in range(10):  # it looks where the log ends
        await asyncio.sleep(0)
    for _ in range(2):
        await owner.append([Record("x", "k", b"{}")])
        for _ in range(2):
            await clock.asleep.wait()
            await owner.append([Record("x", "k", b"{}")])
            await clock.pass_on()
        await clock.asleep.wait()
        assert given.empty()
        await clock.pass_on()
        async with asyncio.timeout(10):
            await given.get()
    slept = clock.slept
    for _ in range(100):
        await asyncio.sleep(0)
    assert (clock.slept, given.empty()) == (slept, True)
    running.cancel()
    await asyncio.wait([running])


async def test_memory_is_given_back_once_for_a_burst_on_many_partitions() -> None:
    log, clock, given = MemoryLog(8), Clock(), asyncio.Queue[int]()
    owners = [await log.partition(number).take_over("a") for number in range(8)]
    running = asyncio.create_task(give_back_when_quiet(log, sleep=clock.sleep, give=lambda: given.put_nowait(1)))
    for _ in range(50):  # it looks where the log ends
        await asyncio.sleep(0)
    for owner in owners[:4]:
        await owner.append([Record("x", "k", b"{}")])
    await clock.asleep.wait()
    for owner in owners[4:]:
        await owner.append([Record("x", "k", b"{}")])
    for _ in range(2):
        assert given.empty()
        await clock.pass_on()
    async with asyncio.timeout(10):
        await given.get()
    for _ in range(100):
        await asyncio.sleep(0)
    assert given.empty()
    running.cancel()
    await asyncio.wait([running])


def test_asking_the_c_library_does_no_harm_whatever_it_is() -> None:
    share_one_heap()
    give_back()
