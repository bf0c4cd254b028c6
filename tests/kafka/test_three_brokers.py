"""Three brokers, each topic on all of them: leaders of partitions are killed under load, again and again, and return.

Nothing that was answered is lost, doubled or out of order, and clients see progress again within seconds.
"""

import time
import uuid
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.kafka import chaos
from tests.kafka.frozen import settled
from tests.kafka.load import RUNS, Load, load
from tests.kafka.servers import PARTITIONS, Fleet, fleet
from tests.support.kafka.three import ThreeBrokers

AGAIN_WITHIN_S = 45.0
"""The most that a slow machine may take; what it took is printed. Brokers miss each other after 4 s here."""


@pytest.fixture
def three(tmp_path: Path) -> Iterator[ThreeBrokers]:
    (tmp_path / "kafka").mkdir()
    brokers = ThreeBrokers(tmp_path / "kafka")
    try:
        brokers.start()
        yield brokers
    finally:
        brokers.kill_all()


@pytest.fixture
def two(three: ThreeBrokers, tmp_path: Path) -> Iterator[Fleet]:
    prefix = f"test-{uuid.uuid4().hex[:12]}"
    with fleet(tmp_path, three.bootstrap, prefix, PARTITIONS, 3, a="server start", b="server start") as both:
        both.shop.register()
        yield both


def test_the_leaders_of_partitions_are_killed_under_load_and_nothing_is_lost(
    three: ThreeBrokers, two: Fleet, capsys: pytest.CaptureFixture[str]
) -> None:
    took: list[float] = []
    led: list[int] = []
    with load(two) as runs:
        for round_ in range(chaos.rounds(3)):
            three.await_copies()
            runs.more(RUNS)
            runs.some()
            leader = three.leader(two.topic("events"), round_ % PARTITIONS)
            led.append(len(three.led_by(leader, two.topic("events"))))
            leader.kill()
            took.append(progress(runs))
            leader.start()
        ids = runs.finished()
    three.await_copies()
    two.audit(ids)
    settled(two, runs.shown)
    with capsys.disabled():
        print(f"\nleaders of {led} partitions killed: progress on all after {[round(each, 1) for each in took]} s")
    assert max(took) < AGAIN_WITHIN_S


def progress(runs: Load) -> float:
    """How long it takes from now until what clients begin is answered on every partition."""
    killed_at = time.monotonic()
    runs.more(4 * PARTITIONS)
    runs.begun()
    return time.monotonic() - killed_at
