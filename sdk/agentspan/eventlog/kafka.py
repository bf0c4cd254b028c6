"""The log of a cluster: events, commands and tables on Apache Kafka, for services that are processes of their own.

    kafka = Kafka(KafkaConfig(bootstrap="localhost:9092"))
    log, inbox, tasks = await kafka.log(), await kafka.inbox(), await kafka.table(TASKS)
    ...
    await kafka.close()

Kafka takes any epoch: the rule of the log alone says what counts. Nothing here makes a topic but `create_topics`.
"""

from agentspan.eventlog._kafka_acls import DECISIONS, INGEST, ORCHESTRATORS, PUBLISHERS, Acl, acls
from agentspan.eventlog._kafka_admin import (
    DescribedTopic,
    Difference,
    check_group,
    check_topics,
    create_topics,
    describe_topics,
)
from agentspan.eventlog._kafka_assignments import Assignments, Listener, Serving
from agentspan.eventlog._kafka_config import KafkaConfig
from agentspan.eventlog._kafka_connection import Connection, TopicFacts
from agentspan.eventlog._kafka_dead_letters import KafkaDeadLetters
from agentspan.eventlog._kafka_errors import AccessDenied, ClusterUnreachable, TopicMissing, WriteRefused
from agentspan.eventlog._kafka_inbox import KafkaInbox
from agentspan.eventlog._kafka_letters import KafkaLetterbox
from agentspan.eventlog._kafka_log import RENEW_AFTER, KafkaLog
from agentspan.eventlog._kafka_offsets import KafkaOffsets
from agentspan.eventlog._kafka_outbox import KafkaOutbox
from agentspan.eventlog._kafka_source import KafkaSource
from agentspan.eventlog._kafka_table import KafkaTable
from agentspan.eventlog._kafka_topics import PlannedTopic, TopicChoices, planned_topics
from agentspan_schemas.topics import COMMANDS, EVENTS, Topic, dlq_name, topic_name

__all__ = [
    "DECISIONS",
    "INGEST",
    "ORCHESTRATORS",
    "PUBLISHERS",
    "AccessDenied",
    "Acl",
    "Assignments",
    "ClusterUnreachable",
    "DescribedTopic",
    "Difference",
    "Kafka",
    "KafkaConfig",
    "KafkaDeadLetters",
    "KafkaInbox",
    "KafkaLetterbox",
    "KafkaLog",
    "KafkaOffsets",
    "KafkaOutbox",
    "KafkaSource",
    "KafkaTable",
    "Listener",
    "PlannedTopic",
    "Serving",
    "TopicChoices",
    "TopicMissing",
    "WriteRefused",
    "acls",
    "check_group",
    "check_topics",
    "create_topics",
    "describe_topics",
    "planned_topics",
]


class Kafka:
    """This process's connection to a cluster. It begins with the first use, and ends with `close`."""

    def __init__(self, config: KafkaConfig) -> None:
        self._connection = Connection(config)
        self._sources: list[KafkaSource] = []

    async def log(self, *, renew_after: int = RENEW_AFTER) -> KafkaLog:
        """The events. Raises LogMismatch without the topic, ClusterUnreachable or AccessDenied."""
        return KafkaLog(self._connection, await self._facts(EVENTS), renew_after=renew_after)

    async def inbox(self) -> KafkaInbox:
        """The commands. Raises as `log`."""
        return KafkaInbox(self._connection, await self._facts(COMMANDS))

    async def table(self, topic: Topic) -> KafkaTable:
        """A compacted topic. Raises as `log`."""
        if topic.cleanup != "compact":
            raise ValueError(f"{topic.name!r} is not compacted: it is no table")
        return KafkaTable(self._connection, await self._facts(topic))

    async def outbox(self, topic: Topic) -> KafkaOutbox:
        """A topic that another service reads, to write to. Raises as `log`."""
        return KafkaOutbox(self._connection, await self._facts(topic))

    async def source(self, topic: Topic, group: str) -> KafkaSource:
        """A topic that the members of a group share. Raises as `log`."""
        await self._facts(topic)
        self._sources.append(KafkaSource(self._connection.config, topic, group))
        return self._sources[-1]

    async def dead_letters(self, topic: Topic) -> KafkaDeadLetters:
        """Where records of the topic go that could not be taken. Raises as `log`."""
        await self._connection.facts([dlq_name(topic, self._connection.config.prefix)])
        return KafkaDeadLetters(self._connection, topic)

    async def letterbox(self, topic: Topic) -> KafkaLetterbox:
        """What was put aside of a topic, for people. Raises as `log`."""
        prefix = self._connection.config.prefix
        facts = await self._connection.facts([topic_name(topic, prefix), dlq_name(topic, prefix)])
        return KafkaLetterbox(self._connection, topic.name, *facts)

    async def close(self) -> None:
        """Every write before this is acknowledged or fails; every write after it raises LogClosed."""
        for source in self._sources:
            await source.close()
        await self._connection.close()

    async def _facts(self, topic: Topic) -> TopicFacts:
        [facts] = await self._connection.facts([topic_name(topic, self._connection.config.prefix)])
        return facts
