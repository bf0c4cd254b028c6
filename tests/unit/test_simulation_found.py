"""What the simulation found, each cut down to the few steps that show it.

Apart from the tests of the parts because each of these was true of all parts and false of the whole.
"""

import asyncio
import random
from datetime import datetime

import pytest

from agentspan.eventlog import CaughtUp
from agentspan.eventlog.memory import Faults, Link, MemoryInbox, MemoryLog, MemoryTable
from agentspan.eventlog.messages import command_record
from agentspan_orchestrator.adapters.memory_cache import MemoryStateCache
from agentspan_orchestrator.definitions import Definitions
from agentspan_orchestrator.domain import decide, evolve_note
from agentspan_orchestrator.leases import Leases, Watch
from agentspan_orchestrator.owned import OwnedPartition
from agentspan_orchestrator.service import Orchestrator
from agentspan_orchestrator.taskbook import TaskBook
from agentspan_schemas import Failure
from agentspan_schemas import commands as c
from agentspan_schemas.canonical import args_hash
from tests.simulation.clock import VirtualLoop, run_virtual
from tests.unit.core_agents import ARGS, SUPPORT
from tests.unit.core_run import EXECUTION, Run

START = c.Start(
    command_id="start",
    execution_id=EXECUTION,
    agent=SUPPORT.name,
    agent_version=SUPPORT.version,
    prompt="Help.",
    requested_by="tests",
    source="tests",
    key="ticket-1",
    content_hash="the content",
)


def asks_for(*tools: str) -> c.ModelReply:
    """The first turn asks for these."""
    calls = tuple(c.AskedCall(model_call_id="m", tool=tool, args=ARGS[tool]) for tool in tools)
    return c.ModelReply(command_id="model", execution_id=EXECUTION, turn=1, attempt=1, model="tests", tool_calls=calls)


def result(call_id: str, **fields: object) -> c.ReturnResult:
    """A worker's result of a call's first attempt."""
    about = {"command_id": f"{call_id}/result", "execution_id": EXECUTION, "call_id": call_id, "attempt": 1}
    return c.ReturnResult.model_validate(about | fields)


def test_a_second_start_under_its_own_id_gets_the_same_answer_however_often_it_is_sent() -> None:
    run = Run()
    run.give(START)
    again = START.model_copy(update={"command_id": "another start"})
    first = run.give(again).answer
    run.give(asks_for("lookup"))
    assert run.give(again).answer.seq == first.seq
    assert len(run.events) == run.living.seq


def test_a_restart_remembers_what_a_second_start_was_answered() -> None:
    run = Run()
    run.give(START)
    before, again = run.state, START.model_copy(update={"command_id": "another start"})
    outcome = run.give(again)
    assert outcome.note is not None
    assert evolve_note(before, outcome.note) == outcome.state
    assert decide(evolve_note(before, outcome.note), again, run.now, SUPPORT).answer.repeated


class Partition:
    """One owned partition on a log in memory, its link, and a virtual clock."""

    def __init__(self, loop: VirtualLoop) -> None:
        self.loop = loop
        self.link = Link(Faults(random.Random(1), asyncio.sleep))
        self.log = MemoryLog(1).over(self.link)
        self.tasks = MemoryTable()
        self.agents, self.workers = MemoryTable(), MemoryTable()

    async def begin(self) -> OwnedPartition:
        """Take it over and act on what is released."""
        definitions = Definitions(self.agents)
        await definitions.register(SUPPORT)
        watch = Watch(Leases(self.workers, now=self.now, lease_s=10))
        ownership = await self.log.partition(0).take_over("tests")
        self.book = TaskBook(self.tasks, 0, watch, self.now, confirm=ownership.confirm)
        cache = MemoryStateCache()
        owned = OwnedPartition(ownership, cache, self.book, definitions, now=self.now, command_offset=None)
        self.loop.create_task(owned.release())
        return owned

    def now(self) -> datetime:
        return self.loop.now()

    async def open_keys(self) -> list[str]:
        """The steps whose tasks stand on the table."""
        keys = []
        async for change in self.tasks.follow():
            if isinstance(change, CaughtUp):
                break
            keys.append(change.key.removeprefix(f"{EXECUTION}/"))
        return sorted(keys)


def test_a_timer_that_is_due_lets_nothing_out_that_is_not_released() -> None:
    async def scenario(loop: VirtualLoop) -> list[str]:
        world = Partition(loop)
        owned = await world.begin()
        for command in (START, asks_for("search", "refund")):
            owned.decide(command)
        owned.decide(result("1-0", ok=False, error=Failure(kind="exception", message="no")))
        await asyncio.sleep(5)
        world.link.freeze()
        approval = {"command_id": "approve", "execution_id": EXECUTION, "call_id": "1-1", "decision": "approve"}
        who = {"args_hash": args_hash(ARGS["refund"]), "by": "user:ann", "channel": "ui"}
        owned.decide(c.Decide.model_validate(approval | who))
        await owned.fire_due()
        await asyncio.sleep(1)
        return await world.open_keys()

    assert run_virtual(scenario) == ["1-0/2"]


def test_a_call_that_has_its_result_is_never_reported_lost() -> None:
    async def scenario(loop: VirtualLoop) -> list[str]:
        world = Partition(loop)
        owned = await world.begin()
        owned.decide(START)
        owned.decide(asks_for("mail", "refund"))
        claim = {"command_id": "claim-1", "execution_id": EXECUTION, "call_id": "1-0", "attempt": 1}
        owned.decide(c.Claim.model_validate(claim | {"claim_id": "claim-1", "worker": "w"}))
        await asyncio.sleep(1)
        owned.decide(result("1-0", claim_id="claim-1", ok=True, value="sent"))
        await asyncio.sleep(60)
        return world.book.lost()

    assert run_virtual(scenario) == []


def test_a_second_claim_of_a_granted_call_does_not_make_its_worker_immortal() -> None:
    async def scenario(loop: VirtualLoop) -> list[str]:
        world = Partition(loop)
        owned = await world.begin()
        owned.decide(START)
        owned.decide(asks_for("mail"))
        for claim_id in ("claim-1", "claim-2"):
            claim = {"command_id": claim_id, "execution_id": EXECUTION, "call_id": "1-0", "attempt": 1}
            owned.decide(c.Claim.model_validate(claim | {"claim_id": claim_id, "worker": "w"}))
        await asyncio.sleep(60)
        return world.book.lost()

    assert run_virtual(scenario) == [f"{EXECUTION}/1-0/1"]


@pytest.mark.parametrize("turns", range(12))
def test_a_partition_that_is_taken_away_while_an_append_fails_is_served_no_more(turns: int) -> None:
    async def scenario(loop: VirtualLoop) -> bool:
        link = Link(Faults(random.Random(1), asyncio.sleep))
        log, inbox, agents, workers = MemoryLog(1), MemoryInbox(1, id="commands"), MemoryTable(), MemoryTable()
        definitions = Definitions(agents)
        orchestrator = Orchestrator(
            log=log.over(link),
            inbox=inbox,
            tasks=MemoryTable(),
            workers=workers,
            definitions=definitions,
            cache=lambda number: MemoryStateCache(),
            owner_id="tests",
            now=loop.now,
            sleep=asyncio.sleep,
        )
        for work in (definitions.run(), orchestrator.watch()):
            loop.create_task(work)
        await definitions.register(SUPPORT)
        serving = loop.create_task(orchestrator.serve(0))
        await asyncio.sleep(1)
        link.faults = Faults(random.Random(1), asyncio.sleep, forget=1.0)
        await inbox.send(0, command_record(START))
        for _ in range(turns):
            await asyncio.sleep(0)
        serving.cancel()
        await asyncio.sleep(5)
        return serving.done()

    assert run_virtual(scenario)
