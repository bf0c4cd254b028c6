"""A cluster of three brokers, each a controller too, where every topic has a copy on each: what a machine that dies
leaves of it goes on."""

from collections.abc import Sequence
from pathlib import Path

from confluent_kafka.admin import AdminClient
from confluent_kafka.admin._metadata import TopicMetadata

from tests.support.eventually import eventually
from tests.support.kafka.broker import Broker, Node, new_cluster_id, nodes

FAST = """
# a leader that died is missed after 4 s, not 9
broker.session.timeout.ms=4000
broker.heartbeat.interval.ms=500
min.insync.replicas=2
"""


class _One(Broker):
    def __init__(self, folder: Path, node: Node, all_: Sequence[Node], cluster_id: str) -> None:
        folder.mkdir()
        self._prepare(folder, node, all_, cluster_id)
        with (folder / "server.properties").open("a", encoding="utf-8") as properties:
            properties.write(FAST)


class ThreeBrokers:
    """Started together; each can be killed and started again, one at a time."""

    def __init__(self, folder: Path) -> None:
        all_, cluster_id = nodes(3), new_cluster_id()
        self._brokers = {node.number: _One(folder / str(node.number), node, all_, cluster_id) for node in all_}
        self.bootstrap = ",".join(broker.bootstrap for broker in self._brokers.values())

    def start(self) -> None:
        """Return when all of them answer."""
        for broker in self._brokers.values():
            broker.launch()
        for broker in self._brokers.values():
            broker.await_ready()

    def kill_all(self) -> None:
        for broker in self._brokers.values():
            broker.kill()

    def leader(self, topic: str, partition: int) -> Broker:
        """Who leads the partition now."""
        return self._brokers[self._metadata(topic)[topic].partitions[partition].leader]

    def led_by(self, broker: Broker, topic: str) -> list[int]:
        """The partitions of the topic that the broker leads now."""
        found = self._metadata(topic)[topic].partitions
        return [number for number, each in found.items() if self._brokers.get(each.leader) is broker]

    def await_copies(self) -> None:
        """Return when every broker has all of every topic again: another one may die now."""
        eventually(lambda: not self._behind(), "every broker has all of every topic")

    def _behind(self) -> list[str]:
        return [
            f"{name}/{number}"
            for name, topic in self._metadata().items()
            for number, each in topic.partitions.items()
            if len(each.isrs) < len(self._brokers)
        ]

    def _metadata(self, topic: str | None = None) -> dict[str, TopicMetadata]:
        admin = AdminClient({"bootstrap.servers": self.bootstrap, "log_level": 0})
        found: dict[str, TopicMetadata] = admin.list_topics(topic, timeout=20).topics
        return found
