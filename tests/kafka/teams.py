"""What another team has of a cluster: a plain producer, and a plain consumer that reads a topic to its end.

Apart from the tests, and without a line of the product's.
"""

import json
from collections.abc import Iterator, Mapping
from contextlib import closing
from dataclasses import dataclass
from typing import Any

from confluent_kafka import Consumer, Producer, TopicPartition

Json = dict[str, Any]

WITHIN_S = 60.0


@dataclass(frozen=True, slots=True)
class Found:
    """A record as it stands."""

    key: bytes | None
    value: bytes
    headers: dict[str, bytes]

    @property
    def json(self) -> Json:
        """Its value."""
        found: Json = json.loads(self.value)
        return found


class Team:
    """Another team's client of the topics under a prefix."""

    def __init__(self, bootstrap: str, prefix: str, *, max_bytes: int = 2_000_000) -> None:
        self._bootstrap = bootstrap
        self._prefix = prefix
        self._producer = Producer({"bootstrap.servers": bootstrap, "message.max.bytes": max_bytes, "log_level": 0})

    def send(
        self,
        topic: str,
        value: bytes | Json,
        *,
        key: bytes | None = None,
        headers: Mapping[str, str] | None = None,
        partition: int = 0,
    ) -> None:
        """Return when it is stored."""
        self.queue(topic, value, key=key, headers=headers, partition=partition)
        self.flush()

    def queue(
        self,
        topic: str,
        value: bytes | Json,
        *,
        key: bytes | None = None,
        headers: Mapping[str, str] | None = None,
        partition: int = 0,
    ) -> None:
        """It is stored after `flush`."""
        raw = value if isinstance(value, bytes) else json.dumps(value).encode()
        found: list[tuple[str, str | bytes | None]] = list((headers or {}).items())
        self._producer.produce(f"{self._prefix}.{topic}", raw, key, partition=partition, headers=found)

    def flush(self) -> None:
        assert self._producer.flush(WITHIN_S) == 0, "the broker takes it"

    def read(self, topic: str) -> list[Found]:
        """All that stands on the topic now, partition by partition."""
        settings: dict[str, Any] = {
            "bootstrap.servers": self._bootstrap,
            "group.id": "another-team",
            "enable.auto.commit": False,
            "log_level": 0,
        }
        name = f"{self._prefix}.{topic}"
        with closing(Consumer(settings)) as consumer:
            partitions = consumer.list_topics(name, timeout=WITHIN_S).topics[name].partitions
            return [found for number in partitions for found in _all(consumer, TopicPartition(name, number, 0))]

    def latest(self, topic: str) -> dict[str, Json]:
        """The last record of each key."""
        return {(each.key or b"").decode(): each.json for each in self.read(topic) if each.value}


def _all(consumer: Consumer, place: TopicPartition) -> Iterator[Found]:
    _, end = consumer.get_watermark_offsets(place, timeout=WITHIN_S)
    consumer.assign([place])
    at = 0
    while at < end:
        message = consumer.poll(WITHIN_S)
        assert message is not None, "the topic can be read to its end"
        assert message.error() is None, message.error()
        at = (message.offset() or 0) + 1
        headers = {name: raw if isinstance(raw, bytes) else b"" for name, raw in dict(message.headers() or []).items()}
        key = message.key()
        yield Found(key if isinstance(key, bytes) else None, bytes(message.value() or b""), headers)
