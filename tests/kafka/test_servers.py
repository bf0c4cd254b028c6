"""Servers that share a cluster's log: killed, frozen and restarted under load, with clients that know one address.

Afterwards every run is there, whole and once, by what a plain consumer finds on the topic and by the shop's own books.
"""

import signal
import time
import uuid
from collections.abc import Iterator

import pytest

from tests.kafka.load import RUNS, load
from tests.kafka.servers import PARTITIONS, Fleet, fleet
from tests.support.kafka.broker import Broker

AGAIN_WITHIN_S = 45.0
"""Of a kill, clients see progress again on every partition: the most that a slow machine may take, of which the group
misses the dead one for 6 s. What it took is printed."""


@pytest.fixture(scope="module")
def two(broker: Broker, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Fleet]:
    """Two whole servers, and an agent that both know. Who ends one, starts it again."""
    folder, prefix = tmp_path_factory.mktemp("two"), f"test-{uuid.uuid4().hex[:12]}"
    with fleet(folder, broker.bootstrap, prefix, a="server start", b="server start") as both:
        both.shop.register()
        yield both


def test_when_a_server_is_killed_the_other_goes_on_with_all_that_was_its(
    two: Fleet, capsys: pytest.CaptureFixture[str]
) -> None:
    with load(two) as runs:
        runs.more(RUNS)
        runs.half_way()
        two.processes[0].kill()
        killed_at = time.monotonic()
        runs.more(4 * PARTITIONS)
        runs.begun()
        took = time.monotonic() - killed_at
        ids = runs.finished()
    two.processes[0].start()
    two.audit(ids)
    with capsys.disabled():
        print(f"\na server killed: progress on all partitions after {took:.1f} s")
    assert took < AGAIN_WITHIN_S


def test_what_a_frozen_server_does_when_it_wakes_counts_for_nothing(two: Fleet) -> None:
    with load(two) as runs:
        runs.more(RUNS)
        runs.half_way()
        two.processes[0].signal(signal.SIGSTOP)
        runs.more(4 * PARTITIONS)
        runs.finished()
        two.processes[0].signal(signal.SIGCONT)
        runs.more(RUNS)
        ids = runs.finished()
    two.audit(ids)


def test_servers_restarted_in_turn_under_load_lose_nothing_and_do_nothing_twice(two: Fleet) -> None:
    with load(two) as runs:
        for process in two.processes:
            runs.more(RUNS)
            runs.half_way()
            process.terminate()
            process.start()
        ids = runs.finished()
    two.audit(ids)
