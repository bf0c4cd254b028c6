"""A rebalance storm: orchestrators and tool-runners end, by SIGTERM and by SIGKILL, and come back every few seconds,
under load, and every run still ends as it should."""

import random
import signal
import time
import uuid
from collections import Counter
from collections.abc import Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path

import pytest

from tests.kafka import chaos
from tests.kafka.frozen import settled
from tests.kafka.load import load
from tests.kafka.servers import Fleet, Process, fleet
from tests.support.kafka.broker import Broker

UNDER_WAY = 24
"""So many runs at any time."""
GUST_S = 3.0
"""This often, on average, one more process ends."""
EACH = 3
"""So often at least by each signal."""


@pytest.fixture
def many(broker: Broker, tmp_path: Path) -> Iterator[Fleet]:
    """Three orchestrators and two tool-runners, which come and go, and one process with the rest."""
    processes = dict.fromkeys("abc", "orchestrator") | dict.fromkeys("tu", "tool-runner")
    processes["rest"] = "server start --roles approvals,query"
    with fleet(tmp_path, broker.bootstrap, f"test-{uuid.uuid4().hex[:12]}", **processes) as all_:
        all_.shop.register()
        yield all_


class Storm:
    """Ends one process after the other, and starts each again while others end. One of a kind is always there."""

    def __init__(self, kinds: Sequence[Sequence[Process]], starting: ThreadPoolExecutor) -> None:
        self._kinds = kinds
        self._starting = starting
        self._away: dict[Process, Future[None]] = {}
        self._chances = random.Random(7)
        self.ended = Counter({signal.SIGTERM.name: 0, signal.SIGKILL.name: 0})

    def gust(self) -> None:
        """End one, if another of its kind is there; then a lull, by chance. It waits for nothing: so storms blow."""
        there = [process for process in self._chances.choice(self._kinds) if not self._is_away(process)]
        if len(there) > 1:
            kind = self._chances.choice((signal.SIGTERM, signal.SIGKILL))
            process = self._chances.choice(there)
            self._away[process] = self._starting.submit(self._again, process, kind)
            self.ended[kind.name] += 1
        time.sleep(self._chances.uniform(0, 2 * GUST_S))

    @property
    def blew(self) -> bool:
        """Whether each kind of end came often enough, also where a start takes long."""
        return min(self.ended.values()) >= EACH

    def over(self) -> None:
        """Return when all are there."""
        for away in self._away.values():
            away.result()

    def _is_away(self, process: Process) -> bool:
        away = self._away.get(process)
        if away is None or not away.done():
            return away is not None
        away.result()
        return False

    def _again(self, process: Process, kind: signal.Signals) -> None:
        process.terminate() if kind is signal.SIGTERM else process.kill()
        process.start()


def test_a_storm_of_rebalances_loses_nothing_and_does_nothing_twice(
    many: Fleet, capsys: pytest.CaptureFixture[str]
) -> None:
    until = time.monotonic() + 60 * chaos.minutes()
    with ThreadPoolExecutor() as starting, load(many) as runs:
        storm = Storm([many.processes[:3], many.processes[3:5]], starting)
        while time.monotonic() < until or not storm.blew:
            runs.more(UNDER_WAY - runs.under_way)
            storm.gust()
        storm.over()
        ids = runs.finished()
    found = many.audit(ids)
    settled(many, runs.shown)
    assert min(storm.ended.values()) >= EACH
    with capsys.disabled():
        print(f"\n{len(ids)} runs through {dict(storm.ended)}: {found.epochs} takeovers, {found.ghosts} ghosts")
