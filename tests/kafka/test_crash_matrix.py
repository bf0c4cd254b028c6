"""The crash matrix: owners are killed at each moment at which they write or answer, under load, and an audit of the
topics, the effects and ClickHouse finds nothing afterwards.

`make chaos-kafka` does the same many times more.
"""

import random
import time
from collections.abc import Iterator, Sequence
from typing import Literal

import pytest

from tests.kafka import chaos
from tests.kafka.chaos import rounds
from tests.kafka.evidence import Raw, records_of
from tests.kafka.failpoints import Order
from tests.kafka.late_snapshots import Snapshots, of, outdated
from tests.kafka.matrix import PARTITIONS, VICTIMS, Load, Matrix, die, load, matrix, start
from tests.kafka.servers import Begun
from tests.kafka.stories import told
from tests.kafka.victim import DELIVERY_TIMEOUT_S
from tests.support.eventually import eventually
from tests.support.kafka.broker import Broker

MOMENTS = (
    ("before", "events"),
    ("between", "events"),
    ("after", "events"),
    ("before", "tasks"),
    ("after", "tasks"),
    ("before", "snapshots"),
    ("after", "snapshots"),
    ("before", "checkpoints"),
    ("after", "checkpoints"),
    ("before", "approvals"),
    ("after", "approvals"),
    ("before", "replies"),
    ("after", "replies"),
)
"""Between what was decided and the log, inside an outcome, between the acknowledgement and the release, and around all
that follows from what was released."""


def scope(fixture_name: str, config: pytest.Config) -> Literal["module", "function"]:
    """One fleet for all moments, whose topics hold all that went before; in chaos those would hold too much."""
    return "function" if chaos.ROUNDS else "module"


@pytest.fixture(scope=scope)
def killed(broker: Broker, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Matrix]:
    with matrix(tmp_path_factory.mktemp("matrix"), broker.bootstrap) as fleet:
        yield fleet


def waves() -> int:
    """So many times all victims are killed."""
    return -(-rounds(VICTIMS) // VICTIMS)


@pytest.mark.parametrize(("moment", "of"), MOMENTS)
def test_owners_that_are_killed(killed: Matrix, moment: str, of: str) -> None:
    chance = random.Random(f"{moment} {of}")
    with load(killed) as runs:
        for _ in range(waves()):
            die(killed, moment, of, chance)
            runs.goes_on()
    if moment == "between":
        assert told(records_of(killed.bootstrap, f"{killed.prefix}.events")).ghosts >= VICTIMS, "halves are there"


def test_writes_that_nobody_acknowledges_in_time(killed: Matrix, broker: Broker) -> None:
    """Their fate is unknown: they land when the broker wakes, or never."""
    with load(killed) as runs:
        given_up = 0
        while given_up < rounds(VICTIMS):
            given_up += outage(killed, broker)
            runs.goes_on()


def outage(matrix: Matrix, broker: Broker) -> int:
    """How many ownerships ended, as the broker answered nobody for longer than an owner waits."""
    before = gave_up(matrix)
    with broker.frozen():
        patience = time.monotonic() + 2 * DELIVERY_TIMEOUT_S
        eventually(lambda: gave_up(matrix) > before or time.monotonic() > patience, "a delivery takes too long")
    return gave_up(matrix) - before


def gave_up(matrix: Matrix) -> int:
    return sum(each.lines("the partition is changing hands") for each in matrix.all)


def test_three_owners_that_race_for_every_partition(killed: Matrix) -> None:
    with load(killed) as runs:
        for _ in range(waves()):
            race(killed)
            runs.goes_on()


def race(matrix: Matrix) -> None:
    """All victims take everything, again and again, until three partitions were each served by all of them."""
    before = [len(each.served()) for each in matrix.victims]

    def raced() -> bool:
        for each in matrix.victims:
            each.race()  # until it is so: a slow machine takes longer than one race lasts
        return contested(matrix, before)

    eventually(raced, "three owners have had one and the same partition")


def contested(matrix: Matrix, before: list[int]) -> bool:
    """Whether there are three partitions that each of the victims has served since."""
    lately = [set(each.served()[seen:]) for each, seen in zip(matrix.victims, before, strict=True)]
    return len(set.intersection(*lately)) >= VICTIMS


def test_stale_snapshots_that_win_compaction(killed: Matrix) -> None:
    """Written late by owners that were frozen in the middle of a round, and again when all that knew better is lost."""
    topic = Snapshots(killed.bootstrap, f"{killed.prefix}.snapshots")
    topic.compact_at_once()
    for _ in range(waves()):
        with load(killed) as runs:
            early, parked = runs.park(PARTITIONS), runs.park(PARTITIONS)
            old = written_late(killed, topic, runs, early)
            runs.goes_on()
        for each in killed.all:
            each.kill()
            each.forget()
        stale = outdated(old, topic.standing().values())
        assert {run.execution_id for run in early} & {of(raw) for raw in stale}, "others have known better since"
        topic.write_again(stale)
        topic.await_compaction(PARTITIONS)
        assert {raw.key for raw in stale} <= {raw.key for raw in topic.all()}, "compaction keeps what came last"
        start(killed.all)
        with load(killed) as runs:
            runs.end(parked)
            for run in early:
                assert runs.decide_again(run) == 409, "it stays as it ended"


def written_late(matrix: Matrix, topic: Snapshots, runs: Load, early: Sequence[Begun]) -> list[Raw]:
    """Freeze all victims in the middle of a round, end those runs elsewhere, and wake them; what stood before that."""
    ids = [run.execution_id for run in early]
    eventually(lambda: topic.has(ids), "there are snapshots of all of them")
    old = list(topic.standing().values())
    freeze(matrix, Order("before", "snapshots", 1, "freeze"))
    runs.end(early)  # by the one who is left: it takes their partitions over
    await_checkpoints(topic, old)
    for each in matrix.victims:
        each.wake()
    return old


def freeze(matrix: Matrix, order: Order) -> None:
    """All victims, wherever the order says."""
    for each in matrix.victims:
        each.order(order)
    for each in matrix.victims:
        eventually(each.frozen, f"a process stands still before {order.of}")


def await_checkpoints(topic: Snapshots, old: list[Raw]) -> None:
    """Return when others have written rounds for what the frozen ones had: for half of the partitions at least."""

    def written() -> bool:
        new = outdated([raw for raw in old if of(raw) == "checkpoint"], topic.standing().values())
        return len({raw.partition for raw in new}) >= VICTIMS

    eventually(written, "others have written checkpoints above theirs")
