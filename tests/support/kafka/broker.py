"""A real Apache Kafka broker in KRaft mode, on loopback and free ports, that a test can kill, freeze and restart.

From its published jars; `docker.py` has the same from its image, where Docker runs.
"""

import os
import signal
import socket
import subprocess
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

from confluent_kafka import KafkaException
from confluent_kafka.admin import AdminClient

from tests.support.kafka.jars import classpath

READY_S = 240.0
HEAP = ("-Xms128m", "-Xmx384m", "-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1")
"""Small and soon warm: tests are short."""

LOG = ("-Dorg.slf4j.simpleLogger.defaultLogLevel=error", "-Dorg.slf4j.simpleLogger.showDateTime=true")
"""What is wrong with a broker stands in `broker.log`."""

PROPERTIES = """
process.roles=broker,controller
node.id={node}
controller.quorum.voters={voters}
listeners=PLAINTEXT://127.0.0.1:{port},CONTROLLER://127.0.0.1:{controller}
advertised.listeners=PLAINTEXT://127.0.0.1:{port}
controller.listener.names=CONTROLLER
listener.security.protocol.map=PLAINTEXT:PLAINTEXT,CONTROLLER:PLAINTEXT
log.dirs={data}
offsets.topic.num.partitions=4
transaction.state.log.num.partitions=4
offsets.topic.replication.factor={replication}
transaction.state.log.replication.factor={replication}
transaction.state.log.min.isr=1
group.initial.rebalance.delay.ms=0
auto.create.topics.enable=false
log.cleaner.backoff.ms=200
# what a real cluster is told by `log.segment.delete.delay.ms`: a topic's files go at once
file.delete.delay.ms=100
# what retention ends is gone within a second, not minutes
log.retention.check.interval.ms=500
log.initial.task.delay.ms=500
# KIP-848: or no group may wait less than 45 s for a silent member
group.consumer.min.session.timeout.ms=6000
group.consumer.min.heartbeat.interval.ms=2000
"""


@dataclass(frozen=True, slots=True)
class Node:
    """One of the brokers of a cluster, and where it listens."""

    number: int
    port: int
    controller: int


def properties(node: Node, nodes: Sequence[Node], data: Path) -> str:
    """What `server.properties` says for one of the nodes."""
    return PROPERTIES.format(
        node=node.number,
        voters=",".join(f"{each.number}@127.0.0.1:{each.controller}" for each in nodes),
        port=node.port,
        controller=node.controller,
        data=data,
        replication=len(nodes),
    )


def nodes(count: int) -> tuple[Node, ...]:
    """So many, on free ports."""
    ports = free_ports(2 * count)
    return tuple(Node(number + 1, *ports[2 * number : 2 * number + 2]) for number in range(count))


class Broker:
    """One broker. Its address and its data stay the same when it is stopped and started again."""

    bootstrap: str
    _folder: Path
    _process: subprocess.Popen[bytes] | None = None

    def __init__(self, folder: Path) -> None:
        [node] = nodes(1)
        self._prepare(folder, node, [node], new_cluster_id())

    def start(self) -> None:
        """Return when it answers."""
        self.launch()
        self.await_ready()

    def launch(self) -> None:
        """Begin to start: with others that it needs."""
        with (self._folder / "broker.log").open("ab") as output:
            self._process = subprocess.Popen(
                ["java", *HEAP, *LOG, "-cp", classpath(), "kafka.Kafka", str(self._folder / "server.properties")],
                stdout=output,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )

    def await_ready(self) -> None:
        """Return when it answers."""
        process = self._process
        if process is None or not wait_until_ready(self.bootstrap, lambda: process.poll() is None):
            self.kill()
            raise RuntimeError("the broker did not come up:\n" + (self._folder / "broker.log").read_text()[-4000:])

    def stop(self) -> None:
        """As an administrator does."""
        self._end(signal.SIGTERM)

    def kill(self) -> None:
        """As a machine does."""
        self._end(signal.SIGKILL)

    @contextmanager
    def frozen(self) -> Iterator[None]:
        """It answers nobody meanwhile, with its connections open. Whatever happens it wakes: others need it too."""
        self.freeze()
        try:
            yield
        finally:
            self.thaw()

    def freeze(self) -> None:
        """Let it answer nobody, with its connections open, until `thaw`."""
        self._signal(signal.SIGSTOP)

    def thaw(self) -> None:
        self._signal(signal.SIGCONT)

    def _prepare(self, folder: Path, node: Node, nodes: Sequence[Node], cluster_id: str) -> None:
        self._folder = folder
        self.bootstrap = f"127.0.0.1:{node.port}"
        (folder / "server.properties").write_text(properties(node, nodes, folder / "data"), encoding="utf-8")
        _tool("format", "-t", cluster_id, "-c", str(folder / "server.properties"))

    def _signal(self, number: signal.Signals) -> None:
        if self._process is not None and self._process.poll() is None:
            os.kill(self._process.pid, number)

    def _end(self, number: signal.Signals) -> None:
        self._signal(signal.SIGCONT)
        self._signal(number)
        if self._process is not None:
            self._process.wait(60)


def new_cluster_id() -> str:
    """As every node of a cluster is formatted with."""
    return _tool("random-uuid").strip().splitlines()[-1]


def _tool(*arguments: str) -> str:
    command = ["java", "-Xmx128m", "-cp", classpath(), "kafka.tools.StorageTool", *arguments]
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout


def wait_until_ready(bootstrap: str, alive: Callable[[], bool]) -> bool:
    """Whether it answered in time."""
    admin = AdminClient({"bootstrap.servers": bootstrap, "log_level": 0, "reconnect.backoff.max.ms": 200})
    deadline = time.monotonic() + READY_S
    while time.monotonic() < deadline and alive():
        with suppress(KafkaException):
            if admin.list_topics(timeout=2).brokers:
                return True
    return False


def free_ports(count: int) -> list[int]:
    """Ports that nobody listened on a moment ago."""
    sockets = [socket.socket() for _ in range(count)]
    for each in sockets:
        each.bind(("127.0.0.1", 0))
    ports = [int(each.getsockname()[1]) for each in sockets]
    for each in sockets:
        each.close()
    return ports
