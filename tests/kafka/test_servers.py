"""Servers that share a cluster's log: killed, frozen and restarted under load, with clients that know one address.

Afterwards every run is there, whole and once, by what a plain consumer finds on the topic and by the shop's own books.
"""

import signal
import time
import uuid
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager

import pytest

from tests.kafka.servers import PARTITIONS, Begun, Fleet, begin, bring_to_its_end, fleet
from tests.support.kafka.broker import Broker
from tests.support.server import eventually

RUNS = 40
AGAIN_WITHIN_S = 10.0
"""Of a kill, clients see progress again on every partition."""


@pytest.fixture(scope="module")
def two(broker: Broker, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Fleet]:
    """Two whole servers, and an agent that both know. Who ends one, starts it again."""
    folder, prefix = tmp_path_factory.mktemp("two"), f"test-{uuid.uuid4().hex[:12]}"
    with fleet(folder, broker.bootstrap, prefix, a="server start", b="server start") as both:
        both.shop.register()
        yield both


class Load:
    """Runs under way, one client each."""

    def __init__(self, fleet: Fleet, clients: ThreadPoolExecutor) -> None:
        self._fleet = fleet
        self._clients = clients
        self._begun: list[Future[Begun]] = []
        self._runs: list[Future[str]] = []

    def more(self, count: int) -> None:
        """Begin more."""
        for _ in range(count):
            begun = self._clients.submit(begin, self._fleet.client, uuid.uuid4().hex)
            self._begun.append(begun)
            self._runs.append(self._clients.submit(self._rest_of, begun))

    def begun(self) -> None:
        """Return when all that was begun has its answer: with many, of every partition."""
        for begun in self._begun:
            begun.result()

    def _rest_of(self, begun: Future[Begun]) -> str:
        return bring_to_its_end(self._fleet.client, begun.result())

    def half_way(self) -> None:
        """Return in the middle of what was begun."""
        half = len(self._runs) // 2
        eventually(lambda: sum(run.done() for run in self._runs) >= half, f"{half} runs are over")

    def finished(self) -> list[str]:
        return [run.result() for run in self._runs]


@contextmanager
def load(fleet: Fleet) -> Iterator[Load]:
    """Two workers, and as many clients as there are runs."""
    with fleet.shop.worker(), fleet.shop.worker(), ThreadPoolExecutor(4 * RUNS) as clients:
        yield Load(fleet, clients)


def test_when_a_server_is_killed_the_other_goes_on_with_all_that_was_its(two: Fleet) -> None:
    with load(two) as runs:
        runs.more(RUNS)
        runs.half_way()
        two.processes[0].kill()
        killed_at = time.monotonic()
        runs.more(4 * PARTITIONS)
        runs.begun()
        took = time.monotonic() - killed_at
        ids = runs.finished()
    two.audit(ids)
    assert took < AGAIN_WITHIN_S
    two.processes[0].start()


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
