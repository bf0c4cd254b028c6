"""Three orchestrators on a bad network pass one partition on, by seed; each restore is compared with the fold of all.

Mutants of the protocol prove that it would be seen. Apart from `tests/simulation`, because one partition with rounds in
quick succession finds in seconds what whole runs rarely come to.
"""

import asyncio
import random
import sys
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any

import pytest

from agentspan_orchestrator import partition, snapshot_records, snapshots
from agentspan_orchestrator.adapters.memory_cache import MemoryStateCache
from agentspan_orchestrator.domain import evolve
from agentspan_orchestrator.snapshot_records import Checkpoint
from agentspan_orchestrator.snapshots import Snapshots
from agentspan_schemas import commands as c
from tests.simulation.clock import VirtualLoop, run_virtual
from tests.support.orchestration import ask, say, start
from tests.support.snapshots import ComparedCache, Ground, Member

SEEDS = 60
EXECUTIONS = [f"exec-{name * 16}" for name in "abcde"]


@pytest.fixture(autouse=True)
def in_quick_succession(monkeypatch: pytest.MonkeyPatch) -> None:
    """Short rounds of small batches, and executions that forget soon which commands they had."""
    monkeypatch.setattr(snapshots, "ROUND_EVERY_S", 1.5)
    monkeypatch.setattr(snapshots, "PUT_AT_ONCE", 2)
    monkeypatch.setattr(snapshots, "FILLED_AT_ONCE", 2)
    monkeypatch.setattr(sys.modules[evolve.__module__], "REMEMBERED_COMMANDS", 3)


@dataclass(frozen=True)
class Report:
    crashes: list[str]
    restored: int
    from_checkpoints: int
    read_at_the_end: int


class Run:
    """The world of one seed."""

    def __init__(self, seed: int, loop: VirtualLoop) -> None:
        self.chances = chances = random.Random(seed)
        self.ground = Ground(loop)
        faults = {"lose": 0.01, "tear": 0.005, "forget": 0.02, "delay_s": 0.2, "stall": 0.03, "stall_s": 6.0}
        self.network = self.ground.network(str(seed), **faults)
        renew_after = chances.choice((8, 40, 10_000))
        self.members = [Member(self.ground, f"m{n}", self.network, renew_after=renew_after) for n in range(3)]
        self.assigned = self.members[0]
        self.restored = self.from_checkpoints = 0

    async def play(self) -> Report:
        for _ in range(self.chances.choice((30, 80))):
            await self.ground.send(*(self.command() for _ in range(self.chances.randrange(4))))
            if self.chances.random() < 0.35:
                self.chances.choice(self.troubles())()
            self.tell()
            await asyncio.sleep(self.chances.random() * 1.5)
        return await self.end()

    async def end(self) -> Report:
        """Calm: everybody wakes, a newcomer goes on from the table, and another one after it reads nothing."""
        self.network.calm()
        for member in self.members:
            member.process.thaw()
            member.leave()
        for name in ("newcomer", "another"):
            member = Member(self.ground, name)
            await member.served()
            await member.caught_up()
            await asyncio.sleep(10)
            self.count(member)
            member.process.kill()
        return Report(self.ground.crashes, self.restored, self.from_checkpoints, member.read)

    def command(self) -> c.Command:
        chances, execution_id = self.chances, self.chances.choice(EXECUTIONS)
        command_id = f"c{chances.randrange(60)}"
        said = {"execution_id": execution_id, "by": "user:ana", "channel": "cli", "command_id": command_id}
        kinds: list[Callable[[], c.Command]] = [
            lambda: start(execution_id),
            lambda: start(execution_id),
            lambda: ask("refund", execution_id=execution_id),
            lambda: c.SendMessage.model_validate(said | {"text": command_id}),
            lambda: c.Pause.model_validate(said),
            lambda: c.Resume.model_validate(said),
            lambda: say("Done.", turn=1, execution_id=execution_id),
        ]
        return chances.choice(kinds)()

    def troubles(self) -> list[Callable[[], None]]:
        process = self.chances.choice(self.members).process
        return [process.freeze, process.cut_off, process.thaw, process.thaw, self.move, self.move, self.kill, self.copy]

    def tell(self) -> None:
        for member in self.members:
            if not member.process.frozen:
                if member is self.assigned:
                    member.serve()
                else:
                    member.leave()

    def move(self) -> None:
        self.assigned = self.chances.choice(self.members)

    def copy(self) -> None:
        self.chances.choice(self.members).cache.copy()

    def kill(self) -> None:
        member = self.chances.choice(self.members)
        self.count(member)
        match self.chances.randrange(3):
            case 0:
                member.crash(ComparedCache(self.ground))
            case 1:
                member.cache.set_back()
                member.crash()
            case _:
                member.crash()

    def count(self, member: Member) -> None:
        self.restored += member.cache.restored
        self.from_checkpoints += member.cache.filled
        member.cache.restored = member.cache.filled = 0


def run(seed: int) -> Report:
    async def life(loop: VirtualLoop) -> Report:
        return await Run(seed, loop).play()

    return run_virtual(life)


def test_whatever_happens_what_is_restored_is_the_fold_of_all() -> None:
    restored = from_checkpoints = 0
    for seed in range(SEEDS):
        report = run(seed)
        assert report.crashes == [], f"seed {seed}"
        assert report.read_at_the_end == 0, f"seed {seed}: the tail of a quiet partition is empty"
        restored += report.restored
        from_checkpoints += report.from_checkpoints
    assert restored > 3 * SEEDS
    assert from_checkpoints > 2 * SEEDS, "too few went on from a checkpoint to say anything"


def _without_epochs(real: Any) -> Any:
    return lambda execution_id, epoch: real(execution_id, epoch if execution_id == snapshot_records.CHECKPOINT else 0)


def _buries_nothing(real: Any) -> Any:
    async def bury(self: Snapshots) -> None:
        """Or it would bury what it has just written."""

    return bury


def _unacknowledged(real: Any) -> Any:
    async def acknowledged(self: Snapshots, puts: list[Awaitable[object]]) -> None:
        for put in puts:
            asyncio.ensure_future(put).add_done_callback(lambda done: done.cancelled() or done.exception())

    return acknowledged


def _as_of_later(real: Any) -> Any:
    async def put_checkpoint(self: Snapshots, reached: Checkpoint, epoch: int) -> None:
        await real(self, Checkpoint(self._position, self._command_offset), epoch)

    return put_checkpoint


def _tail_not_written(real: Any) -> Any:
    return lambda self, offset: []


def _last_wins(real: Any) -> Any:
    def fill(self: MemoryStateCache, snapshots: Any) -> None:
        self._rows |= {snapshot.execution_id: snapshot for snapshot in snapshots}

    return fill


def _by_seq_alone(real: Any) -> Any:
    """As the model does, which forgets no command."""
    return lambda before, event: before if before is not None and event.seq <= before.seq else real(before, event)


def _reflects_nothing(real: Any) -> Any:
    def find(self: MemoryStateCache, execution_id: str) -> Any:
        found = real(self, execution_id)
        return found and (found[0], 0)

    return find


MUTANTS: dict[str, list[tuple[Any, str, Callable[[Any], Any]]]] = {
    "keys without epochs": [(snapshots, "key_of", _without_epochs), (Snapshots, "_bury", _buries_nothing)],
    "a checkpoint before the acknowledgements": [(Snapshots, "_acknowledged", _unacknowledged)],
    "a checkpoint as of when it is written": [(Snapshots, "_put_checkpoint", _as_of_later)],
    "a tail that is not written again": [(MemoryStateCache, "changed_since", _tail_not_written)],
    "the last snapshot instead of the furthest": [(MemoryStateCache, "fill", _last_wins)],
    "folding what a snapshot has": [(MemoryStateCache, "find", _reflects_nothing)],
    "going by seq, which notes do not have": [
        (MemoryStateCache, "find", _reflects_nothing),
        (partition, "evolve", _by_seq_alone),
    ],
}


@pytest.mark.parametrize("name", MUTANTS)
def test_a_mutant_restores_something_else(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    for owner, function, make in MUTANTS[name]:
        monkeypatch.setattr(owner, function, make(getattr(owner, function)))
    assert any(run(seed).crashes for seed in range(1000, 1000 + 3 * SEEDS))
