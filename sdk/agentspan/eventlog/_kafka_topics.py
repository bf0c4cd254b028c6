"""The topics of a cluster as they should be, from the catalogue in the contract and an operator's few choices. Pure."""

from collections.abc import Mapping
from dataclasses import dataclass

from agentspan_schemas.topics import DLQ_RETENTION_MS, TOPICS, WITH_DEAD_LETTERS, Topic, dlq_name, topic_name

MAX_MESSAGE_BYTES = 2 * 1024 * 1024
"""A value of 1 MiB and its headers."""

MAX_LETTER_BYTES = 3 * 1024 * 1024
"""Of a dead letter: the largest message that another team can send, and the headers that say why."""

HOUR_MS = 3600 * 1000


@dataclass(frozen=True, slots=True, kw_only=True)
class TopicChoices:
    """What an operator chooses before the topics are made."""

    prefix: str = "agentspan"
    partitions: int = 12
    """Of events, and of all that are partitioned like them. Fixed for ever: it says where an execution is."""
    other_partitions: int = 3
    """Of tickets and decisions, which other teams write."""
    replication: int = 3
    min_insync: int = 2


@dataclass(frozen=True, slots=True)
class PlannedTopic:
    """A topic as it should be."""

    name: str
    partitions: int
    replication: int
    config: Mapping[str, str]


def planned_topics(choices: TopicChoices) -> tuple[PlannedTopic, ...]:
    """All topics, and where goes what could not be taken of some."""
    dlqs = [_dlq(topic, choices) for topic in WITH_DEAD_LETTERS]
    return (*(planned(topic, choices) for topic in TOPICS), *dlqs)


def planned(topic: Topic, choices: TopicChoices) -> PlannedTopic:
    """One topic of the catalogue."""
    config = _config(choices, topic.cleanup, topic.retention_ms)
    return PlannedTopic(topic_name(topic, choices.prefix), _partitions(topic, choices), choices.replication, config)


def others_write(topic: Topic) -> bool:
    """Whether anything at all may stand there."""
    return topic.writer == "other teams"


def _dlq(topic: Topic, choices: TopicChoices) -> PlannedTopic:
    config = _config(choices, "delete", DLQ_RETENTION_MS) | {"max.message.bytes": str(MAX_LETTER_BYTES)}
    return PlannedTopic(dlq_name(topic, choices.prefix), 1, choices.replication, config)


def _partitions(topic: Topic, choices: TopicChoices) -> int:
    if topic.partitioned_like_events:
        return choices.partitions
    return choices.other_partitions if others_write(topic) else 1


def _config(choices: TopicChoices, cleanup: str, retention_ms: int) -> dict[str, str]:
    config = {
        "cleanup.policy": cleanup,
        "min.insync.replicas": str(choices.min_insync),
        # a leader that lacks acknowledged records would cut the log short
        "unclean.leader.election.enable": "false",
        "max.message.bytes": str(MAX_MESSAGE_BYTES),
    }
    if cleanup == "delete":
        return config | {"retention.ms": str(retention_ms), "retention.bytes": "-1"}
    # what is read whole at every start stays small; the newest segment is never compacted
    return config | {"segment.ms": str(HOUR_MS), "min.cleanable.dirty.ratio": "0.2"}
