"""Topics of one test, on a broker that many share, and the processes that connect to it."""

import asyncio
import uuid
from dataclasses import replace
from types import TracebackType
from typing import Self

from confluent_kafka import Consumer

from agentspan.eventlog._kafka_admin import create_topics
from agentspan.eventlog._kafka_connection import Connection, TopicFacts
from agentspan.eventlog._kafka_topics import TopicChoices, planned
from agentspan.eventlog.kafka import KafkaConfig
from agentspan_schemas.topics import Topic, topic_name


class Cluster:
    """A prefix of its own. On leaving, all its connections are closed."""

    def __init__(self, bootstrap: str, config: KafkaConfig | None = None) -> None:
        self.prefix = f"test-{uuid.uuid4().hex[:12]}"
        self.config = replace(config or KafkaConfig(bootstrap=bootstrap), bootstrap=bootstrap, prefix=self.prefix)
        self._connections: list[Connection] = []

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await asyncio.gather(*[connection.close() for connection in self._connections])

    def choices(self, partitions: int) -> TopicChoices:
        return TopicChoices(
            prefix=self.prefix, partitions=partitions, other_partitions=partitions, replication=1, min_insync=1
        )

    async def create(self, topic: Topic, partitions: int) -> TopicFacts:
        """Make the topic, also one that has a single partition elsewhere with as many as are wanted here."""
        plan = replace(planned(topic, self.choices(partitions)), partitions=partitions)
        await create_topics(self.config, [plan])
        [facts] = await self.connect().facts([topic_name(topic, self.prefix)])
        return facts

    def connect(self) -> Connection:
        """Another process."""
        self._connections.append(Connection(self.config))
        return self._connections[-1]

    def consumer(self, group: str) -> Consumer:
        """A plain client, to look at what a group or a topic holds."""
        return Consumer(self.config.consumer(wait_ms=10, queued_kb=1024) | {"group.id": f"{self.prefix}.{group}"})
