"""The topics on Apache Kafka: the log's own adapters, for what is read and for what is sent."""

from collections.abc import Mapping
from datetime import datetime

from agentspan.eventlog import Log, Table

try:
    from agentspan.eventlog.kafka import Kafka, KafkaConfig, KafkaLog, KafkaOffsets, KafkaOutbox
except ModuleNotFoundError as error:
    raise ModuleNotFoundError(
        "the cluster's client is missing: pip install 'agentspan[kafka]'", name=error.name
    ) from error

from agentspan.topics._ports import Sent
from agentspan_schemas.topics import APPROVALS, EVENTS


class ClusterTransport:
    """Its threads begin with the first use, in the event loop that uses it."""

    def __init__(self, bootstrap: str, *, prefix: str, security: Mapping[str, str]) -> None:
        config = KafkaConfig(bootstrap=bootstrap, prefix=prefix, client_id=f"{prefix}-topics", security=security)
        self._kafka = Kafka(config)
        self._offsets = KafkaOffsets(config)
        self._log: KafkaLog | None = None
        self._outboxes: dict[str, KafkaOutbox] = {}

    async def log(self) -> Log:
        if self._log is None:
            self._log = await self._kafka.log()
        return self._log

    async def approvals(self) -> Table:
        return await self._kafka.table(APPROVALS)

    async def send(self, message: Sent) -> None:
        name = message.topic.name
        if name not in self._outboxes:
            self._outboxes[name] = await self._kafka.outbox(message.topic)
        await self._outboxes[name].send(message.key, message.value, message.headers)

    async def offset_at(self, partition: int, moment: datetime) -> int:
        offset = await self._offsets.written_since(EVENTS, partition, moment)
        return await (await self.log()).partition(partition).end() if offset is None else offset

    async def close(self) -> None:
        await self._kafka.close()
        await self._offsets.close()
