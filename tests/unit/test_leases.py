"""When a task's holder counts as gone, to the moment: a gateway that dies says nothing of it."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress

from agentspan.eventlog import Record
from agentspan.eventlog.memory import MemoryTable
from agentspan_orchestrator.leases import Leases, Watch
from agentspan_schemas.codec import encode
from agentspan_schemas.tasks import WorkerSession
from tests.support.eventually import until
from tests.support.orchestration import Clock

LEASE_S = 10.0
TASK = "exec-a/1-0/1"


class Gateway:
    """One that announces a session with the task in hand, and then dies: no tombstone, no other word."""

    def __init__(self, clock: Clock) -> None:
        self.clock = clock
        self.table = MemoryTable()
        self.leases = Leases(self.table, now=clock.now, lease_s=LEASE_S)
        self.watch = Watch(self.leases)

    async def announce(self) -> None:
        at = self.clock.now()
        session = WorkerSession(session_id="s", gateway_id="g", worker="w", tools={}, holds=(TASK,), at=at)
        await self.table.put("s", Record("worker", "s", encode(session)))
        await until(lambda: TASK in self.leases.held())

    def lost(self) -> list[str]:
        return self.watch.lost({TASK})


@asynccontextmanager
async def gateway() -> AsyncIterator[Gateway]:
    one = Gateway(Clock())
    following = asyncio.create_task(one.leases.run())
    try:
        yield one
    finally:
        following.cancel()
        with suppress(asyncio.CancelledError):
            await following


async def test_a_session_holds_its_tasks_for_a_lease_after_its_last_word_and_no_longer() -> None:
    async with gateway() as one:
        await one.announce()
        one.clock.advance(LEASE_S)
        assert one.leases.held() == {TASK}
        one.clock.advance(0.001)
        assert one.leases.held() == set()


async def test_a_task_whose_gateway_died_without_a_word_is_lost_a_lease_after_it_was_last_held() -> None:
    async with gateway() as one:
        await one.announce()
        assert one.lost() == []
        one.clock.advance(LEASE_S + 0.001)
        assert one.lost() == [TASK]


async def test_a_granted_call_that_nobody_ever_held_has_a_whole_lease() -> None:
    async with gateway() as one:
        one.watch.granted(TASK)
        one.clock.advance(LEASE_S)
        assert one.lost() == []
        one.clock.advance(0.001)
        assert one.lost() == [TASK]
