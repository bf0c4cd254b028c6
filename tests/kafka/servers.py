"""Servers that share a cluster's log, as processes, and the shop whose program runs against them through one address.

Apart from the tests, which kill, freeze and restart them.
"""

import json
import os
import signal
import sys
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import httpx

from tests.e2e.conftest import Shop, refund_turns
from tests.kafka import history
from tests.kafka.ingress import Ingress
from tests.support.server import ENDS_WITHIN_S, TERMINAL, Json, Server, insisted, run

PARTITIONS = 4
LEASE_S = 3.0
PATIENCE_S = 180.0
"""Of a client that gives up on nothing, on a slow machine where servers come and go."""

STARTING_AT_ONCE = 2
"""More would only take each other's time."""

SERVICES = ("orchestrator", "tool-runner", "approvals", "query")

AGENTSPAN = str(Path(sys.executable).with_name("agentspan"))


class Process(Server):
    """`agentspan …` on a cluster's log: a whole server, or whatever service the words name. A word `NAME=value` is a
    setting in its environment."""

    def __init__(self, folder: Path, log: str, *words: str) -> None:
        settings = dict(word.split("=", 1) for word in words if "=" in word)
        super().__init__(folder, lease_s=LEASE_S, environment={"AGENTSPAN_HISTORY_MEMORY_MB": "512", **settings})
        self._words = [word for word in words if "=" not in word]
        self._log_url = log
        self.record("refund", *refund_turns())

    @property
    def command(self) -> list[str]:
        flags = ["--log", self._log_url, "--data", str(self.data), "--port", str(self.port)]
        return [AGENTSPAN, *self._words, *flags]

    def signal(self, number: signal.Signals) -> None:
        os.kill(self.pid, number)

    def terminate(self) -> None:
        """As a supervisor does in a rolling restart: SIGTERM, and wait for its end."""
        assert self._process is not None
        self.signal(signal.SIGTERM)
        assert self._process.wait(ENDS_WITHIN_S) == 0, self.log.read_text()[-3000:]
        self._process = None


class Fleet:
    """Processes on one log, behind one address; `client` speaks to that, `shop` has the programs that do."""

    def __init__(self, folder: Path, bootstrap: str, prefix: str, client: Server, processes: Sequence[Process]) -> None:
        self.bootstrap = bootstrap
        self.prefix = prefix
        self.client = client
        self.processes = processes
        self.shop = Shop(client, folder)

    def topic(self, name: str) -> str:
        """Its name on the cluster."""
        return f"{self.prefix}.{name}"

    def audit(self, ids: Sequence[str]) -> history.Found:
        """Each run is there, whole, in order, and over; each effect was made once. By what stands on the topic."""
        found = history.read(self.bootstrap, f"{self.prefix}.events")
        for execution_id in ids:
            events = found.events[execution_id]
            types = Counter(event["type"] for event in events)
            assert [event["seq"] for event in events] == list(range(1, len(events) + 1)), execution_id
            assert events[-1]["type"] == "done", execution_id
            assert {types[kind] for kind in ("started", "waiting", "approved", "done")} == {1}, types
            results = [event["call_id"] for event in events if event["type"] == "tool_result"]
            assert sorted(results) == ["1-0", "2-0"], execution_id
        refunds = Counter(key for key, _ in self.shop.effects("issue_refund"))
        assert refunds == Counter(f"{execution_id}.2-0" for execution_id in found.events), "each was made once"
        looked_up = {key for key, _ in self.shop.effects("lookup_customer")}
        assert looked_up == {f"{execution_id}.1-0" for execution_id in found.events}
        return found


@contextmanager
def fleet(
    folder: Path, bootstrap: str, prefix: str, partitions: int = PARTITIONS, copies: int = 1, /, **commands: str
) -> Iterator[Fleet]:
    """Processes by name, each started with its words: `a="server start"`; or by service: `query="query"`. `copies`: of
    each topic, of which one may be missing."""
    log = f"kafka://{bootstrap}?prefix={prefix}"
    create_topics(log, partitions=partitions, copies=copies)
    with ExitStack() as stack:
        made = {name: Process(_folder(folder, name), log, *words.split()) for name, words in commands.items()}
        for process in made.values():
            stack.push(process)
        with ThreadPoolExecutor(STARTING_AT_ONCE) as starting:
            list(starting.map(Process.start, made.values()))
        processes = list(made.values())
        routes = {
            service: [each.url for name, each in made.items() if _has(commands[name], service)] for service in SERVICES
        }
        client = Server(_folder(folder, "client"))
        stack.callback(client.http.close)
        stack.enter_context(Ingress(client.port, routes))
        yield Fleet(folder, bootstrap, prefix, client, processes)


def create_topics(log: str, *, partitions: int = PARTITIONS, copies: int = 1) -> None:
    """As an operator does."""
    in_sync = max(1, copies - 1)
    counts = ["--partitions", str(partitions), "--replication", str(copies), "--min-insync", str(in_sync)]
    done = run([AGENTSPAN, "topics", "create", "--log", log, *counts], os.environ)
    assert done.returncode == 0, done.stderr


@dataclass(frozen=True, slots=True)
class Begun:
    """A run that was started, and where on the log."""

    key: str
    execution_id: str
    position: str
    shown: list[Json] = field(default_factory=list)
    """Every event that a stream has shown of it."""


def begin(server: Server, key: str) -> Begun:
    """Start a run, by a client that gives up on nothing: under a key."""
    body = {"agent": "shop", "prompt": "a ticket", "metadata": {"recording": "refund"}}
    started = insisted(lambda: server.http.post("/executions", json=body, headers={"Idempotency-Key": key}))
    return Begun(key, started.json()["execution_id"], started.headers["Agentspan-Position"])


def bring_to_its_end(server: Server, run: Begun) -> str:
    """Follow it, approve what waits under a key, follow it to its end; its id."""
    waiting = followed(server, run, "waiting")
    path = f"/approvals/{waiting['approval_id']}/decision"
    decision = {"decision": "approve", "args_hash": waiting["args_hash"]}
    insisted(lambda: server.http.post(path, json=decision, headers={"Idempotency-Key": run.key}))
    followed(server, run, *TERMINAL)
    return run.execution_id


def followed(server: Server, run: Begun, *types: str) -> Json:
    """The first event of these types, over as many connections to whatever process as it takes."""
    path = f"/executions/{run.execution_id}/stream"
    deadline = time.monotonic() + PATIENCE_S
    after = 0
    while time.monotonic() < deadline:
        try:
            with server.http.stream("GET", path, params={"after": after, "min_position": run.position}) as response:
                assert response.status_code in (200, 503), response.read()
                for event in _events(response):
                    assert event["seq"] == after + 1
                    after = event["seq"]
                    run.shown.append(event)
                    if event["type"] in types:
                        return event
        except httpx.TransportError:
            continue
    raise AssertionError(f"{run.execution_id} has none of {types} in {PATIENCE_S} s; it has {after} events")


def _events(response: httpx.Response) -> Iterator[Json]:
    if response.status_code == 503:
        return
    for line in response.iter_lines():
        name, _, value = line.partition(": ")
        if name == "data":
            said = json.loads(value)
            if "problem" in said:
                assert said["problem"]["status"] == 503, said
                return
            yield said


def _folder(folder: Path, name: str) -> Path:
    (folder / name).mkdir()
    return folder / name


def _has(words: str, service: str) -> bool:
    _, _, roles = words.partition("--roles ")
    return words.endswith((service, "server start")) or service in roles.split(",")
