"""The crash matrix: owners are killed at each moment at which they write or answer, under load, and an audit of the
topics, the effects and ClickHouse finds nothing afterwards.

`make chaos-kafka` does the same many times more.
"""

import random
from collections.abc import Iterator

import pytest

from tests.kafka.chaos import rounds
from tests.kafka.matrix import VICTIMS, Matrix, die, load, matrix
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


@pytest.fixture(scope="module")
def killed(broker: Broker, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Matrix]:
    """One fleet for all moments: its topics hold all that went before."""
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
