"""Runs under way against servers on a cluster, one client each: what the tests do something terrible to."""

import uuid
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager

from tests.kafka.servers import Begun, Fleet, begin, bring_to_its_end
from tests.support.eventually import eventually
from tests.support.server import Json

RUNS = 40


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

    def some(self) -> None:
        """Return when one more has ended than had."""
        over = sum(run.done() for run in self._runs)
        eventually(lambda: sum(run.done() for run in self._runs) > over, "one more run is over")

    @property
    def under_way(self) -> int:
        """How many have not ended."""
        return sum(not run.done() for run in self._runs)

    def half_way(self) -> None:
        """Return in the middle of what was begun."""
        half = len(self._runs) // 2
        eventually(lambda: sum(run.done() for run in self._runs) >= half, f"{half} runs are over")

    def finished(self) -> list[str]:
        return [run.result() for run in self._runs]

    @property
    def shown(self) -> list[Json]:
        """What streams have shown to the clients, once all runs have ended."""
        return [event for begun in self._begun for event in begun.result().shown]


@contextmanager
def load(fleet: Fleet) -> Iterator[Load]:
    """Two workers, and as many clients as there are runs."""
    with fleet.shop.worker(), fleet.shop.worker(), ThreadPoolExecutor(4 * RUNS) as clients:
        yield Load(fleet, clients)
