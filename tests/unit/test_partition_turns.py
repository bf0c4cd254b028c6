"""Whose turn it is in a partition: timers that fell due while nobody served go first, and what is decided waits for the
log, not the other way round.

Apart from the loop's other tests because here the time is a number, and the log's connection stands still when told.
"""

import asyncio
import random

import pytest

from agentspan.eventlog.memory import Faults, Link, MemoryInbox, MemoryLog, MemoryTable
from agentspan.eventlog.messages import command_record
from agentspan_orchestrator import owned
from agentspan_orchestrator.adapters.memory_cache import MemoryStateCache
from agentspan_orchestrator.definitions import Definitions
from agentspan_orchestrator.ports import OnRelease, Unobserved
from agentspan_orchestrator.service import Orchestrator
from agentspan_schemas import commands as c
from tests.simulation.clock import VirtualLoop, run_virtual
from tests.support.orchestration import AGENT, approve, ask, outcomes, start
from tests.support.orchestration import World as Logged

HOUR_S = 3600.0
MOST = 3


class Counting(Unobserved):
    """Counts what is on its way to the log."""

    def __init__(self) -> None:
        self.decided = 0
        self.under_way = 0
        self.most = 0

    def appending(self, command: str, answer: str) -> OnRelease:
        self.decided += 1
        self.under_way += 1
        self.most = max(self.most, self.under_way)
        return self._landed

    def _landed(self) -> None:
        self.under_way -= 1


class World:
    """A partition, its inbox, and whoever serves it, on a virtual clock."""

    def __init__(self, loop: VirtualLoop) -> None:
        self.loop = loop
        self.link = Link(Faults(random.Random(1), asyncio.sleep))
        self.log, self.inbox = MemoryLog(1), MemoryInbox(1, id="commands")
        self.agents, self.workers, self.tasks, self.cache = (
            MemoryTable(),
            MemoryTable(),
            MemoryTable(),
            MemoryStateCache(),
        )
        self.counting = Counting()

    async def serve(self, seconds: float) -> None:
        """Serve for so long, and end as a crash would."""
        running = await self.begin()
        await asyncio.sleep(seconds)
        for task in running:
            task.cancel()
        await asyncio.wait(running)

    async def begin(self) -> list[asyncio.Task[None]]:
        """Serve from now on."""
        definitions = Definitions(self.agents)
        orchestrator = Orchestrator(
            log=self.log.over(self.link),
            inbox=self.inbox,
            tasks=self.tasks,
            workers=self.workers,
            definitions=definitions,
            cache=lambda number: self.cache,
            owner_id="tests",
            now=self.loop.now,
            sleep=asyncio.sleep,
            observer=self.counting,
        )
        running = [self.loop.create_task(work) for work in (definitions.run(), orchestrator.run())]
        await definitions.register(AGENT)
        return running

    async def send(self, *commands: c.Command) -> None:
        """Put commands into the inbox, whether somebody serves or not."""
        for command in commands:
            await self.inbox.send(0, command_record(command))

    async def types(self) -> list[str]:
        """The types of the log's records."""
        return [stored.record.type for outcome in await outcomes(Logged(self.log)) for stored in outcome.records]


def test_what_fell_due_while_nobody_served_comes_before_what_was_asked_meanwhile() -> None:
    async def scenario(loop: VirtualLoop) -> list[str]:
        world = World(loop)
        await world.send(start(), ask("credit"))
        await world.serve(5)
        before = await world.types()
        await asyncio.sleep(HOUR_S)
        await world.send(approve("1-0"))
        await world.serve(5)
        return (await world.types())[len(before) :]

    types = run_virtual(scenario)
    assert types[0] == "expired"
    assert "approved" not in types
    assert "refused" in types


def commands(number: int) -> list[c.Command]:
    return [start(f"exec-{n:016}") for n in range(number)]


def test_no_more_than_so_many_outcomes_are_on_their_way_to_the_log(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(owned, "MOST_UNDER_WAY", MOST)

    async def scenario(loop: VirtualLoop) -> tuple[int, int, int]:
        world = World(loop)
        await world.begin()
        await asyncio.sleep(1)
        world.link.freeze()
        await world.send(*commands(5 * MOST))
        await asyncio.sleep(1)
        frozen = world.counting.decided
        world.link.thaw()
        await asyncio.sleep(5)
        return frozen, world.counting.decided, world.counting.most

    assert run_virtual(scenario) == (MOST, 5 * MOST, MOST)


def test_timers_that_are_due_at_once_wait_for_the_log_too(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(owned, "MOST_UNDER_WAY", MOST)
    monkeypatch.setattr(owned, "FIRED_AT_ONCE", 1)

    async def scenario(loop: VirtualLoop) -> tuple[int, int]:
        world = World(loop)
        started = [command.model_copy(update={"timeout_s": HOUR_S}) for command in commands(5 * MOST)]
        await world.send(*started)
        await world.begin()
        await asyncio.sleep(HOUR_S - 10)
        world.link.freeze()
        before = world.counting.decided
        await asyncio.sleep(20)
        frozen = world.counting.decided - before
        world.link.thaw()
        await asyncio.sleep(20)
        return frozen, (await world.types()).count("failed")

    assert run_virtual(scenario) == (MOST, 5 * MOST)
