"""Orchestrators that are frozen while others take their partitions over, and wake up: by a rival that just takes them,
and through the group. Nothing that a frozen one does afterwards counts, and nobody acts on it.
"""

import signal
import uuid
from collections.abc import Iterator

import pytest

from tests.kafka import chaos
from tests.kafka.frozen import owned_by, settled, take_over
from tests.kafka.load import RUNS, load
from tests.kafka.servers import Fleet, Process, fleet
from tests.support.eventually import eventually
from tests.support.kafka.broker import Broker

PARTITIONS = 12
OWNERS = 20
"""So many owners are frozen, one for each partition that a frozen process had, while others take over by the group."""


@pytest.fixture(scope="module")
def three(broker: Broker, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Fleet]:
    """Three orchestrators that share the partitions, and one process with all else."""
    folder, prefix = tmp_path_factory.mktemp("three"), f"test-{uuid.uuid4().hex[:12]}"
    processes = {"a": "orchestrator", "b": "orchestrator", "c": "orchestrator"}
    processes["rest"] = "server start --roles tool-runner,approvals,query"
    with fleet(folder, broker.bootstrap, prefix, PARTITIONS, **processes) as all_:
        all_.shop.register()
        yield all_


def owning(fleet: Fleet, process: Process) -> frozenset[int]:
    """Its partitions, once it has some."""
    found: list[frozenset[int]] = []

    def owns() -> bool:
        found.append(owned_by(fleet, process))
        return bool(found[-1])

    eventually(owns, "the process owns partitions")
    return found[-1]


def taken_over(fleet: Fleet, process: Process) -> None:
    """Return when others have all that it had."""
    eventually(lambda: not owned_by(fleet, process), "others have taken all over")


def test_owners_frozen_while_a_rival_takes_over_do_nothing_that_counts(
    three: Fleet, capsys: pytest.CaptureFixture[str]
) -> None:
    frozen = 0
    with load(three) as runs:
        for round_ in range(chaos.rounds(3)):
            process = three.processes[round_ % 3]
            owned = owning(three, process)
            runs.more(RUNS)
            runs.some()
            process.signal(signal.SIGSTOP)
            take_over(three, owned)
            process.signal(signal.SIGCONT)
            frozen += len(owned)
        ids = runs.finished()
    found = three.audit(ids)
    settled(three, runs.shown)
    with capsys.disabled():
        print(f"\n{frozen} owners frozen while a rival took over: {found.ghosts} ghosts, {found.epochs} takeovers")


def test_owners_frozen_while_the_group_gives_their_partitions_to_others_do_nothing_that_counts(
    three: Fleet, capsys: pytest.CaptureFixture[str]
) -> None:
    frozen = rounds = 0
    with load(three) as runs:
        while frozen < OWNERS or rounds < chaos.rounds(1):
            process = three.processes[rounds % 3]
            owned = owning(three, process)
            runs.more(RUNS)
            runs.some()
            process.signal(signal.SIGSTOP)
            taken_over(three, process)
            runs.more(PARTITIONS)
            runs.begun()
            process.signal(signal.SIGCONT)
            frozen += len(owned)
            rounds += 1
        ids = runs.finished()
    found = three.audit(ids)
    settled(three, runs.shown)
    with capsys.disabled():
        print(f"\n{frozen} owners frozen in {rounds} rounds: {found.ghosts} ghosts, {found.epochs} takeovers")
