"""The fleet of the crash matrix, and its load: one process with everything that survives, four orchestrators of which
three are told to end themselves, and clients that give up on nothing.

Apart from the tests, which say at which moment they end.
"""

import random
import re
import shutil
import signal
import sys
import threading
import uuid
from collections.abc import Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from dataclasses import replace
from pathlib import Path

from tests.e2e.conftest import Shop
from tests.kafka import audit, victim
from tests.kafka.evidence import Evidence, gathered
from tests.kafka.failpoints import Order
from tests.kafka.findings import Finding
from tests.kafka.ingress import Ingress
from tests.kafka.servers import Begun, Process, begin, create_topics, followed
from tests.support.clickhouse import ClickHouse
from tests.support.eventually import eventually
from tests.support.server import TERMINAL, Json, Server, insisted

PARTITIONS = 6
VICTIMS = 3
CLIENTS = 4
LEASE_S = "10"
"""No worker is killed here, and none shall be taken for lost on a busy machine."""

ROUNDS = ("snapshots", "checkpoints")
"""What is written once a second, and all else for each run."""

REJECT_EVERY = 5
"""So many runs, somebody says no."""

SERVED = re.compile(r"partition (\d+) is served in epoch")
"""What an orchestrator says."""

ENDS_WITHIN_S = 180.0
DIES_WITHIN_S = 180.0
SETTLES_WITHIN_S = 180.0


class Victim(Process):
    """An orchestrator and an approvals service in one process, which ends itself when told to."""

    def __init__(self, folder: Path, log: str) -> None:
        super().__init__(folder, log)
        self._orders = folder / victim.ORDERS
        self._flags = ["--log", log, "--roles", "orchestrator,approvals"]

    @property
    def command(self) -> list[str]:
        flags = ["--data", str(self.data), "--port", str(self.port), *self._flags]
        return [sys.executable, "-m", "tests.kafka.victim", *flags]

    def order(self, order: Order) -> None:
        """Tell it when to end or freeze."""
        order.give(self._orders)
        self.signal(signal.SIGUSR1)

    def race(self) -> None:
        """Tell it to take everything."""
        self.signal(signal.SIGUSR2)

    def killed(self) -> bool:
        """Whether it has ended itself, as ordered."""
        assert self._process is not None
        ended = self._process.poll()
        assert ended in (None, -signal.SIGKILL), self.log.read_text()[-3000:]
        return ended is not None

    def frozen(self) -> bool:
        """Whether it stands still."""
        stat = Path(f"/proc/{self.pid}/stat").read_text()
        return stat.rpartition(")")[2].split()[0] == "T"

    def served(self) -> list[int]:
        """The partitions of all its takeovers that came to something, in any of its lives."""
        return [int(number) for number in SERVED.findall(self.log.read_text())]

    def lines(self, words: str) -> int:
        """How often it said so."""
        return self.log.read_text().count(words)

    def wake(self) -> None:
        """Let it go on where it froze."""
        self.signal(signal.SIGCONT)

    def forget(self) -> None:
        """Lose the data folder, as another machine would start without it."""
        shutil.rmtree(self.data)


class Matrix:
    """All processes, the shop's books, ClickHouse, and the load."""

    def __init__(
        self, bootstrap: str, prefix: str, shop: Shop, effects: Path, clickhouse: ClickHouse, victims: Sequence[Victim]
    ) -> None:
        self.bootstrap = bootstrap
        self.prefix = prefix
        self.shop = shop
        self.effects = effects
        self.clickhouse = clickhouse
        self.runs: list[Begun] = []
        """All that were ever begun."""
        self.spared, *self.victims = victims
        self.all = victims

    def evidence(self) -> Evidence:
        """As it stands now."""
        found = gathered(self.bootstrap, self.prefix, self.effects, self.clickhouse.url)
        return replace(found, shown=[event for run in self.runs for event in run.shown])

    def findings(self) -> list[Finding]:
        """What an audit finds now."""
        return audit.judged(self.evidence())

    def settled(self) -> None:
        """Return when an audit finds nothing: ClickHouse and the last acknowledgements may be a moment late."""
        found: list[list[Finding]] = []

        def clean() -> bool:
            found.append(self.findings())
            return not found[-1]

        try:
            eventually(clean, "an audit finds nothing", within_s=SETTLES_WITHIN_S)
        except AssertionError:
            raise AssertionError("\n".join(map(str, found[-1][:40]))) from None


class Load:
    """Clients, each with one run after another, until told to stop; and runs that are parked."""

    def __init__(self, matrix: Matrix, clients: ThreadPoolExecutor) -> None:
        self._client = matrix.shop.server
        self._runs = matrix.runs
        self._clients = clients
        self._stopping = threading.Event()
        self.finished = 0
        self._working = [clients.submit(self._work) for _ in range(CLIENTS)]

    def goes_on(self) -> None:
        """Return when twice as many runs as there are clients have ended from now, on whatever partition."""
        wanted = self.finished + 2 * CLIENTS
        eventually(lambda: self.finished >= wanted or any(self._failed()), "runs end", ENDS_WITHIN_S)
        self.check()

    def stop(self) -> None:
        """Return when every run that was begun has ended; raise what any of them met."""
        self._stopping.set()
        for each in self._working:
            each.result()

    def check(self) -> None:
        """Raise what any client met."""
        for each in self._failed():
            each.result()

    def park(self, count: int) -> list[Begun]:
        """Runs that wait for a person."""
        begun = [self._begin() for _ in range(count)]
        for run in begun:
            followed(self._client, run, "waiting")
        return begun

    def end(self, runs: Sequence[Begun]) -> None:
        """Decide what was parked, and follow it to its end."""
        for ended in [self._clients.submit(self._decide, run, "approve") for run in runs]:
            ended.result()

    def _work(self) -> None:
        while not self._stopping.is_set():
            run = self._begin()
            self._decide(run, "reject" if self.finished % REJECT_EVERY == 0 else "approve")
            self.finished += 1

    def _begin(self) -> Begun:
        run = begin(self._client, uuid.uuid4().hex)
        self._runs.append(run)
        return run

    def decide_again(self, run: Begun) -> int:
        """Somebody else says no to what is over; the status of the answer."""
        path, body = self._decision(run, "reject")
        answers = [self._client.http.post(path, json=body)]
        while answers[-1].status_code in (503, 504):
            answers.append(self._client.http.post(path, json=body))
        return answers[-1].status_code

    def _decide(self, run: Begun, decision: str) -> None:
        path, body = self._decision(run, decision)
        insisted(lambda: self._client.http.post(path, json=body, headers={"Idempotency-Key": run.key}))
        last = followed(self._client, run, *TERMINAL)
        assert last["type"] == "done", last

    def _decision(self, run: Begun, decision: str) -> tuple[str, Json]:
        waiting = followed(self._client, run, "waiting")
        path = f"/approvals/{waiting['approval_id']}/decision"
        return path, {"decision": decision, "args_hash": waiting["args_hash"]}

    def _failed(self) -> list[Future[None]]:
        return [each for each in self._working if each.done() and each.exception() is not None]


@contextmanager
def matrix(folder: Path, bootstrap: str, orchestrators: int = VICTIMS + 1) -> Iterator[Matrix]:
    """Everything, started, with two workers; the topics and the books empty."""
    prefix = f"test-{uuid.uuid4().hex[:12]}"
    log = f"kafka://{bootstrap}?prefix={prefix}"
    create_topics(log, partitions=PARTITIONS)
    with ExitStack() as stack:
        clickhouse = stack.enter_context(ClickHouse(_made(folder / "clickhouse")))
        words = ("server", "start", "--roles", "tool-runner,approvals,query", "--clickhouse", clickhouse.address)
        rest = Process(_made(folder / "rest"), log, *words)
        rest.environment["AGENTSPAN_CLICKHOUSE_PASSWORD"] = clickhouse.password
        rest.environment["AGENTSPAN_CLICKHOUSE_MIGRATE"] = "true"
        victims = [Victim(_made(folder / f"victim-{number}"), log) for number in range(orchestrators)]
        for process in (rest, *victims):
            process.environment["AGENTSPAN_LEASE_S"] = LEASE_S
            stack.push(process)
        start((rest, *victims))
        urls = [each.url for each in victims]
        routes = {"orchestrator": urls, "approvals": [*urls, rest.url]}
        client = Server(_made(folder / "client"))
        stack.callback(client.http.close)
        stack.enter_context(Ingress(client.port, routes | {"tool-runner": [rest.url], "query": [rest.url]}))
        shop = Shop(client, folder)
        shop.register()
        stack.enter_context(shop.worker())
        stack.enter_context(shop.worker())
        yield Matrix(bootstrap, prefix, shop, folder / "shop.sqlite3", clickhouse, victims)


@contextmanager
def load(matrix: Matrix) -> Iterator[Load]:
    """Runs begin and end inside; afterwards all have ended, and an audit finds nothing."""
    with ThreadPoolExecutor(4 * CLIENTS) as clients:
        running = Load(matrix, clients)
        try:
            running.goes_on()
            yield running
        finally:
            running.stop()
    matrix.settled()


def die(matrix: Matrix, moment: str, of: str, chance: random.Random) -> None:
    """All victims end themselves there, each at a time of its own, and come back; one of them has lost its folder."""
    for each in matrix.victims:
        nth = chance.randint(1, 3 if of in ROUNDS else 12)
        each.order(Order(moment, of, nth))  # type: ignore[arg-type]
    for each in matrix.victims:
        eventually(each.killed, f"a process ends {moment} {of}", within_s=DIES_WITHIN_S)
    chance.choice(matrix.victims).forget()
    start(matrix.victims)


def start(processes: Sequence[Process]) -> None:
    """All at once; return when they take work."""
    with ThreadPoolExecutor() as starting:
        list(starting.map(lambda each: each.start(), processes))


def _made(folder: Path) -> Path:
    folder.mkdir()
    return folder
