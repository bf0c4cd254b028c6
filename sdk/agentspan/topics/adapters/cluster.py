"""The topics on Apache Kafka: the log's own adapters for what is read, a plain idempotent producer for what is sent."""

import asyncio
from collections.abc import Mapping
from datetime import datetime

try:
    from confluent_kafka import KafkaException, TopicPartition
except ModuleNotFoundError as error:
    raise ModuleNotFoundError(
        "the cluster's client is missing: pip install 'agentspan[kafka]'", name=error.name
    ) from error

from confluent_kafka.admin import AdminClient
from confluent_kafka.admin._listoffsets import OffsetSpec  # its package doesn't say in types that it gives this

from agentspan.eventlog import Log, LogError, Table, partition_for
from agentspan.eventlog._kafka_connection import Connection, TopicFacts
from agentspan.eventlog._kafka_errors import kafka_error, read_error
from agentspan.eventlog._kafka_messages import Encoded
from agentspan.eventlog._kafka_threads import result
from agentspan.eventlog.kafka import ClusterUnreachable, KafkaConfig, KafkaLog, KafkaTable
from agentspan.topics._ports import Sent
from agentspan_schemas.topics import APPROVALS, EVENTS, Topic, topic_name


class ClusterTransport:
    """Its threads begin with the first use, in the event loop that uses it."""

    def __init__(self, bootstrap: str, *, prefix: str, security: Mapping[str, str]) -> None:
        config = KafkaConfig(bootstrap=bootstrap, prefix=prefix, client_id=f"{prefix}-topics", security=security)
        self._config = config
        self._connection = Connection(config)
        self._admin = AdminClient(config.admin())
        self._known: dict[str, TopicFacts] = {}
        self._log: KafkaLog | None = None

    async def log(self) -> Log:
        if self._log is None:
            self._log = KafkaLog(self._connection, await self._facts(EVENTS))
        return self._log

    async def approvals(self) -> Table:
        return KafkaTable(self._connection, await self._facts(APPROVALS))

    async def send(self, message: Sent) -> None:
        facts = await self._facts(message.topic)
        encoded = Encoded(message.key, message.value, list(message.headers))
        partition = partition_for(message.key, facts.partitions)
        await self._connection.producing.send(facts.name, partition, [encoded], lambda index, offset: None)

    async def offset_at(self, partition: int, moment: datetime) -> int:
        place = TopicPartition((await self._facts(EVENTS)).name, partition)
        spec = OffsetSpec.for_timestamp(int(moment.timestamp() * 1000))
        asked = self._admin.list_offsets({place: spec}, request_timeout=self._config.request_timeout_s)
        try:
            offset = (await result(next(iter(asked.values())))).offset
        except KafkaException as exception:
            raise _named(self._config, place.topic, exception) from exception
        return offset if offset >= 0 else await (await self.log()).partition(partition).end()

    async def close(self) -> None:
        await self._connection.close()
        await asyncio.to_thread(self._admin.__exit__, None, None, None)  # as the connection's own

    async def _facts(self, topic: Topic) -> TopicFacts:
        name = topic_name(topic, self._config.prefix)
        if name not in self._known:
            [self._known[name]] = await self._connection.facts([name])
        return self._known[name]


def _named(config: KafkaConfig, topic: str, exception: KafkaException) -> LogError:
    error = kafka_error(exception)
    return read_error(error, topic) or ClusterUnreachable(f"{config.bootstrap!r} does not answer: {error.str()}")
