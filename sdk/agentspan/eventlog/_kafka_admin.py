"""Topics as code: making what is missing, describing what is there, and telling the differences as data."""

import asyncio
from collections.abc import Mapping, Sequence
from concurrent.futures import Future
from dataclasses import dataclass
from typing import Any, TypeVar

from confluent_kafka import KafkaError, KafkaException, TopicCollection
from confluent_kafka.admin import AdminClient
from confluent_kafka.admin._config import ConfigResource
from confluent_kafka.admin._resource import ResourceType
from confluent_kafka.cimpl import NewTopic

from agentspan.eventlog._errors import LogError
from agentspan.eventlog._kafka_config import KafkaConfig
from agentspan.eventlog._kafka_errors import kafka_error, read_error
from agentspan.eventlog._kafka_heard import unreachable
from agentspan.eventlog._kafka_threads import result
from agentspan.eventlog._kafka_topics import PlannedTopic

T = TypeVar("T")

MISSING = "missing"
SEEN_S = 0.05


@dataclass(frozen=True, slots=True)
class DescribedTopic:
    """A topic as it is."""

    name: str
    id: str
    partitions: int
    replication: int
    """Of the partition that has the fewest replicas."""
    config: Mapping[str, str]
    """Every setting in force, wherever it comes from."""


@dataclass(frozen=True, slots=True)
class Difference:
    """What is not as planned."""

    name: str
    """Of the topic, or of the group."""
    setting: str
    """`topic`, `partitions`, `replication`, or the name of a setting."""
    planned: str
    found: str
    """`missing` when there is none."""


async def create_topics(config: KafkaConfig, topics: Sequence[PlannedTopic]) -> tuple[str, ...]:
    """Make those that are missing; the names of those that were made. One that exists is left as it is.

    Raises LogError with the cluster's reason, as for more replicas than brokers.
    """
    admin = AdminClient(config.admin())
    new = [NewTopic(each.name, each.partitions, each.replication, config=dict(each.config)) for each in topics]
    asked = admin.create_topics(new, request_timeout=config.connect_timeout_s)
    made = tuple([name for name, answer in asked.items() if await _made(config, name, answer)])
    # the controller has them, the broker that we asked has not heard of all yet
    while len(await describe_topics(config, made)) < len(made):  # noqa: ASYNC110 - nobody tells when it has
        await asyncio.sleep(SEEN_S)
    return made


async def describe_topics(config: KafkaConfig, names: Sequence[str]) -> tuple[DescribedTopic, ...]:
    """Those of the topics that exist."""
    if not names:
        return ()
    admin = AdminClient(config.admin())
    asked = admin.describe_topics(TopicCollection(list(names)), request_timeout=config.connect_timeout_s)
    found = [topic for name, answer in asked.items() if (topic := await _found(config, name, answer)) is not None]
    if not found:
        return ()
    resources = [ConfigResource(ResourceType.TOPIC, topic.name) for topic in found]
    settings = await _settings(admin, config, resources)
    return tuple(_described(topic, settings[topic.name]) for topic in found)


async def check_topics(config: KafkaConfig, topics: Sequence[PlannedTopic]) -> tuple[Difference, ...]:
    """What is not as planned. Settings that no plan names are the operator's own."""
    described = {topic.name: topic for topic in await describe_topics(config, [topic.name for topic in topics])}
    return tuple(difference for topic in topics for difference in _differences(topic, described.get(topic.name)))


async def check_group(config: KafkaConfig, group: str) -> tuple[Difference, ...]:
    """The group's timeouts, where they are the cluster's to set: under `group_protocol="consumer"`."""
    if config.group_protocol == "classic":
        return ()
    name = f"{config.prefix}.{group}"
    wanted = {
        "consumer.session.timeout.ms": str(int(config.session_timeout_s * 1000)),
        "consumer.heartbeat.interval.ms": str(int(config.heartbeat_s * 1000)),
    }
    admin = AdminClient(config.admin())
    found = (await _settings(admin, config, [ConfigResource(ResourceType.GROUP, name)]))[name]
    return tuple(_differing(name, wanted, found))


def _differences(topic: PlannedTopic, found: DescribedTopic | None) -> list[Difference]:
    if found is None:
        return [Difference(topic.name, "topic", f"{topic.partitions} partitions", MISSING)]
    planned = {"partitions": str(topic.partitions), "replication": str(topic.replication), **topic.config}
    return _differing(
        topic.name,
        planned,
        {"partitions": str(found.partitions), "replication": str(found.replication), **found.config},
    )


def _differing(name: str, planned: Mapping[str, str], found: Mapping[str, str]) -> list[Difference]:
    return [
        Difference(name, setting, value, found.get(setting, MISSING))
        for setting, value in planned.items()
        if found.get(setting) != value
    ]


def _described(topic: Any, config: Mapping[str, str]) -> DescribedTopic:
    replication = min(len(partition.replicas) for partition in topic.partitions)
    return DescribedTopic(topic.name, url_safe(topic.topic_id), len(topic.partitions), replication, config)


async def _made(config: KafkaConfig, name: str, answer: "Future[None]") -> bool:
    try:
        await result(answer)
    except KafkaException as exception:
        if kafka_error(exception).code() == KafkaError.TOPIC_ALREADY_EXISTS:
            return False
        raise await _named(config, name, exception) from exception
    return True


async def _found(config: KafkaConfig, name: str, answer: "Future[Any]") -> Any | None:
    try:
        return await result(answer)
    except KafkaException as exception:
        if kafka_error(exception).code() == KafkaError.UNKNOWN_TOPIC_OR_PART:
            return None
        raise await _named(config, name, exception) from exception


async def _settings(
    admin: AdminClient, config: KafkaConfig, resources: list[ConfigResource]
) -> dict[str, dict[str, str]]:
    asked = admin.describe_configs(resources, request_timeout=config.connect_timeout_s)
    try:
        answers = await asyncio.gather(*[result(answer) for answer in asked.values()])
    except KafkaException as exception:
        raise await _named(config, "the settings", exception) from exception
    return {
        resource.name: {name: str(entry.value) for name, entry in answer.items()}
        for resource, answer in zip(asked, answers, strict=True)
    }


async def _named(config: KafkaConfig, name: str, exception: KafkaException) -> LogError:
    error = kafka_error(exception)
    if error.code() in (KafkaError._TIMED_OUT, KafkaError._TRANSPORT, KafkaError._ALL_BROKERS_DOWN):
        return await unreachable(config)
    return read_error(error, name) or LogError(f"{name!r}: {error.str()}")


def url_safe(id_: object) -> str:
    """A topic's id as Kafka's own tools print it."""
    return str(id_).replace("/", "_").replace("+", "-")
