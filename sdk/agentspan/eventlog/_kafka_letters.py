"""The dead letters of one topic on a cluster, for people who look after them.

Apart from what puts them aside: this reads, and writes to both topics.
"""

from collections.abc import AsyncIterator, Awaitable

from agentspan.eventlog._kafka_connection import Connection, TopicFacts
from agentspan.eventlog._kafka_live import Place
from agentspan.eventlog._kafka_messages import Encoded
from agentspan.eventlog._kafka_producer import ANY_PARTITION
from agentspan.eventlog._kafka_source import delivery_of
from agentspan.eventlog.intake import Delivery
from agentspan_schemas.cloudevents import Headers

READ_LIMIT = 100


class KafkaLetterbox:
    """Made by `Kafka.letterbox`."""

    def __init__(self, connection: Connection, name: str, source: TopicFacts, dead_letters: TopicFacts) -> None:
        self.name = name
        self._connection = connection
        self._source = source
        self._dead_letters = dead_letters

    async def read(self) -> AsyncIterator[Delivery]:
        for number in range(self._dead_letters.partitions):
            feed = self._connection.feed(Place(self._dead_letters.name, number), delivery_of)
            offset, end = await feed.begin(), await feed.end()
            while offset < end:
                piece = await feed.read(offset, READ_LIMIT)
                for at, delivery in piece.items:
                    if at < end:
                        yield delivery
                offset = piece.following

    def send(self, partition: int, key: bytes | None, value: bytes, headers: Headers) -> Awaitable[object]:
        there = partition if partition < self._source.partitions else ANY_PARTITION
        return self._write(self._source.name, there, Encoded(key, value, list(headers)))

    def note(self, partition: int, key: bytes, value: bytes, headers: Headers) -> Awaitable[object]:
        return self._write(self._dead_letters.name, partition, Encoded(key, value, list(headers)))

    def _write(self, topic: str, partition: int, record: Encoded) -> Awaitable[object]:
        return self._connection.producing.send(topic, partition, [record])
