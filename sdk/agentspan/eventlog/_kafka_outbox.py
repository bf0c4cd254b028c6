"""A topic that somebody else's service reads: this process only writes to it.

Apart from the inbox, whose records are the log's own: here key, value and headers go out as they are.
"""

from collections.abc import Awaitable

from agentspan.eventlog._kafka_connection import Connection, TopicFacts
from agentspan.eventlog._kafka_messages import Encoded
from agentspan.eventlog._murmur2 import partition_for
from agentspan_schemas.cloudevents import Headers


class KafkaOutbox:
    """Made by `Kafka.outbox`."""

    def __init__(self, connection: Connection, topic: TopicFacts) -> None:
        self._producing = connection.producing
        self._topic = topic

    def send(self, key: str, value: bytes, headers: Headers) -> Awaitable[object]:
        """Queue a message; awaiting returns when it is acknowledged, or raises a WriteError."""
        partition = partition_for(key, self._topic.partitions)
        return self._producing.send(self._topic.name, partition, [Encoded(key, value, list(headers))])
