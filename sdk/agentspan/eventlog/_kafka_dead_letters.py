"""Where records of other teams go that could not be taken: with key, value and headers as they came.

Apart from the source because the write is the connection's, and because anything at all has to fit.
"""

from collections.abc import Awaitable

from agentspan.eventlog._kafka_connection import Connection
from agentspan.eventlog._kafka_messages import Encoded
from agentspan.eventlog._kafka_producer import ANY_PARTITION
from agentspan.eventlog._kafka_topics import MAX_LETTER_BYTES
from agentspan_schemas.cloudevents import Headers
from agentspan_schemas.dead_letters import OMITTED, PREFIX
from agentspan_schemas.topics import Topic, dlq_name

HEADER_BYTES = 16
"""At most so many around the bytes of one header, its key or its value."""

BATCH_BYTES = 256


class KafkaDeadLetters:
    """Made by `Kafka.dead_letters`."""

    def __init__(self, connection: Connection, topic: Topic) -> None:
        self._topic = dlq_name(topic, connection.config.prefix)
        self._producing = connection.producing

    def put(self, key: bytes | None, value: bytes, headers: Headers) -> Awaitable[object]:
        """A record that was compressed may be larger than any message may be here: of it, the letter says where it
        stands."""
        letter = _letter(key, value, headers)
        return self._producing.send(self._topic, ANY_PARTITION, [letter])


def _letter(key: bytes | None, value: bytes, headers: Headers) -> Encoded:
    size = len(key or b"") + len(value) + sum(len(name) + len(raw) + HEADER_BYTES for name, raw in headers)
    if size + BATCH_BYTES <= MAX_LETTER_BYTES:
        return Encoded(key, value, list(headers))
    added = [(name, raw) for name, raw in headers if name.startswith(PREFIX)]
    return Encoded(None, b"", [*added, (OMITTED, f"{size} bytes".encode())])
