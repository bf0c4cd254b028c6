"""One run: the world of one seed, its trouble, the calm after it, and what the auditor says in the end."""

import asyncio
import hashlib
import random
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any
from unittest.mock import patch

from agentspan.eventlog import Record, Stored
from agentspan_approvals.service import Approvals
from agentspan_orchestrator import owned
from agentspan_orchestrator.states import STATES_PARKED, States
from agentspan_schemas.codec import encode
from tests.simulation.agents import AGENT, VERSION, Script
from tests.simulation.auditor import Auditor
from tests.simulation.clock import VirtualLoop, at_once, run_virtual
from tests.simulation.effects import LEDGER, Ledger
from tests.simulation.final import audit_end
from tests.simulation.laws import LawBroken, law
from tests.simulation.owners import Assigner, Broker, Owner
from tests.simulation.people import Person, Piece
from tests.simulation.ports import Inbox
from tests.simulation.process import Network, Process
from tests.simulation.toolside import Hand, Runner, Wire, commands_of
from tests.simulation.trouble import Trouble

PARTITIONS = 3
PATIENCE_S = 300.0
"""How long everything may take to come to rest after the trouble."""

QUIET_S = 5.0
QUIET_TRIALS = 8
"""It is quiet when nothing is written for QUIET_S, longer than a lease; and so it must be after that many trials."""


@dataclass(frozen=True, slots=True)
class Report:
    """What came of a run."""

    seed: int
    broken: LawBroken | None
    log_hash: str
    """SHA-256 of all records of all partitions."""
    virtual_s: float
    executions: int
    events: int
    records: int
    uncounted: int
    """Ghosts, holes, torn outcomes and takeovers."""
    takeovers: int
    effects: int
    statuses: dict[str, int]


class World:
    """Everything that exists in one run. Made inside the loop that runs it."""

    def __init__(self, seed: int, loop: VirtualLoop) -> None:
        self.seed = seed
        self.loop = loop
        self.chances = random.Random(f"{seed}/world")
        self.network = Network(loop, str(seed), self._faults())
        self.broker = Broker(PARTITIONS, renew_after=self.chances.choice((20, 60, 10_000)))
        self.auditor = Auditor(self.broker.log)
        self.ledger = Ledger(self.auditor.ran)
        LEDGER.set(self.ledger)
        self.broker.agents.put(f"{AGENT.name}@{VERSION}", Record("agent", AGENT.name, encode(AGENT.definition)))
        self.script = Script(random.Random(f"{seed}/model"))
        self.owners = [Owner(f"owner{n}", self.broker, self.auditor, self.process) for n in range(3)]
        self.assigner = Assigner(self.owners, PARTITIONS)
        self.runners = [self.runner(n) for n in range(2)]
        self.hands = [self.hand() for _ in range(2)]
        self.people = self._people()
        self.pieces: list[Piece] = []

    def process(self, name: str) -> Process:
        """A new process."""
        return Process(name, self.network, self.auditor.crashed)

    def runner(self, number: int) -> Runner:
        """A new tool-runner."""
        return Runner(self.process(f"runner{number}"), self.broker, self.auditor, self.script)

    def hand(self) -> Hand:
        """A new worker."""
        process = self.process(self.network.new_id("worker"))
        return Hand(process, Wire(process, self._runners_up, self.chances))

    def _runners_up(self) -> list[Runner]:
        return [runner for runner in self.runners if runner.process.alive]

    def _people(self) -> list[Person]:
        """Two, each with a way of their own to send commands, before the page of one approvals service."""
        office = [self.process("ann"), self.process("bob")]
        doors = [commands_of(process, self.broker, self.auditor) for process in office]
        page = Approvals(log=self.broker.log.over(office[0].link), commands=doors[0], store=Inbox())
        office[0].start(page.run())
        return [
            Person(process, door, page, self.auditor, self.ledger, random.Random(f"{self.seed}/{process.name}"))
            for process, door in zip(office, doors, strict=True)
        ]

    def _faults(self) -> dict[str, float]:
        chances = self.chances
        return {
            "lose": chances.choice((0.0, 0.005, 0.02)),
            "tear": chances.choice((0.0, 0.005, 0.01)),
            "forget": chances.choice((0.0, 0.005, 0.02)),
            "twice": chances.choice((0.0, 0.1)),
            "repeat": chances.choice((0.0, 0.005, 0.02)),
            "delay_s": chances.choice((0.0, 0.02, 0.3)),
            "stall": chances.choice((0.0, 0.01, 0.05)),
            "stall_s": 4.0,
        }

    def ended(self, piece: Piece) -> bool:
        """Whether the execution of that piece of work has ended."""
        story = self.auditor.story(piece.execution_id)
        return story is not None and story.state is not None and story.state.terminal


def simulate(seed: int, hot: int | None = None) -> Report:
    """Run one seed. `hot`: how many states an owner keeps in memory; else chance says, few in most worlds, as so few
    executions would never be forgotten by an owner as it is.
    """
    if hot is None:
        hot = random.Random(f"{seed}/hot").choice((0, 1, STATES_PARKED))
    with patch.object(owned, "States", partial(States, parked=hot, at_work=hot)):
        return run_virtual(lambda loop: _run(seed, loop))


async def _run(seed: int, loop: VirtualLoop) -> Report:
    world = World(seed, loop)
    loop.set_exception_handler(lambda loop, context: world.auditor.crashed("a task", _error(context)))
    life = loop.create_task(_live(world))
    await asyncio.wait((life, world.auditor.broken), return_when=asyncio.FIRST_COMPLETED)
    if not world.auditor.broken.done():
        try:
            await life
        except LawBroken as broken:
            world.auditor.judge(broken)
    return _report(world)


def _error(context: dict[str, Any]) -> BaseException:
    error = context.get("exception")
    return error if isinstance(error, BaseException) else RuntimeError(context["message"])


async def _live(world: World) -> None:
    """The whole story of a world: trouble, calm, rest."""
    trouble = Trouble(world)
    await trouble.run()
    await trouble.end()
    await _rest(world)
    await _quiet(world)
    audit_end(world.auditor, world.ledger)


async def _rest(world: World) -> None:
    """Wait until every execution has ended."""
    until = world.loop.time() + PATIENCE_S
    while not all(world.ended(piece) for piece in world.pieces):
        await asyncio.sleep(1.0)
        world.auditor.catch_up()
        if world.loop.time() >= until:
            law("comes-to-rest", False, *_unfinished(world))


async def _quiet(world: World) -> None:
    """Wait for what was still under way, until nothing is written any more."""
    read: list[int] = []
    for _ in range(QUIET_TRIALS):
        before, read = read, [account.read for account in world.auditor.accounts]
        if before == read:
            return
        await asyncio.sleep(QUIET_S)
        world.auditor.catch_up()
    law("quiet-at-rest", False, *_newest(world, before))


def _unfinished(world: World) -> Iterator[str]:
    for piece in world.pieces:
        story = world.auditor.story(piece.execution_id)
        if story is None or story.state is None:
            yield f"{piece.execution_id} never began"
        elif not story.state.terminal:
            s = story.state
            yield f"{piece.execution_id} is {s.status} with {s.model_step}, {s.calls}, {s.ending}"


def _newest(world: World, read: list[int]) -> list[str]:
    """What was written since."""
    new = [_raw(world, number)[offset:] for number, offset in enumerate(read)]
    return [repr(stored.record.value) for records in new for stored in records]


def _raw(world: World, number: int) -> Sequence[Stored]:
    return at_once(world.broker.log.partition(number).raw.read(0, 1_000_000))


def _report(world: World) -> Report:
    auditor = world.auditor
    auditor.catch_up()
    digest, records = hashlib.sha256(), 0
    for number in range(PARTITIONS):
        for stored in _raw(world, number):
            digest.update(repr((number, stored.offset, stored.stamp, stored.record)).encode())
            records += 1
    states = [story.state for story in auditor.stories() if story.state is not None]
    return Report(
        seed=world.seed,
        broken=auditor.broken.result() if auditor.broken.done() else None,
        log_hash=digest.hexdigest(),
        virtual_s=world.loop.time(),
        executions=len(states),
        events=sum(state.seq for state in states),
        records=records,
        uncounted=records - sum(account.counted for account in auditor.accounts),
        takeovers=sum(account.takeovers for account in auditor.accounts),
        effects=len(world.ledger.effects),
        statuses=dict(sorted(Counter(state.status for state in states).items())),
    )
