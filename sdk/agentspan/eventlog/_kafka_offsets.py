"""What the brokers say of offsets: how far groups are behind their topics, and where a moment stands.

Apart from the connection, with a client of its own made at the first question: nobody who writes or reads waits for it.
"""

from collections.abc import Collection, Iterator, Mapping
from contextlib import contextmanager
from datetime import datetime
from typing import Any

from confluent_kafka import ConsumerGroupTopicPartitions, IsolationLevel, KafkaException, TopicPartition
from confluent_kafka.admin import AdminClient
from confluent_kafka.admin._listoffsets import OffsetSpec

from agentspan.eventlog._kafka_asking import Asking
from agentspan.eventlog._kafka_config import KafkaConfig
from agentspan.eventlog._kafka_errors import ClusterUnreachable, kafka_error, read_error
from agentspan.eventlog._kafka_threads import result
from agentspan_schemas.topics import Topic, topic_name

_EARLIEST: OffsetSpec = OffsetSpec.earliest()  # type: ignore[no-untyped-call]
_LATEST: OffsetSpec = OffsetSpec.latest()  # type: ignore[no-untyped-call]


class KafkaOffsets:
    """Every method raises LogError where the cluster does not say. `close` it after the last answer."""

    def __init__(self, config: KafkaConfig) -> None:
        self._config = config
        self._asking: Asking | None = None

    async def ends(self, topic: Topic, partitions: Collection[int]) -> Mapping[int, int]:
        """The offset that the next record of each partition will have."""
        return await self._offsets(topic, partitions, _LATEST)

    async def begins(self, topic: Topic, partitions: Collection[int]) -> Mapping[int, int]:
        """The offset below which nothing of each partition is kept."""
        return await self._offsets(topic, partitions, _EARLIEST)

    async def committed(self, topic: Topic, group: str, partitions: Collection[int]) -> Mapping[int, int]:
        """Up to where a group has committed; a partition of which it has committed nothing is not in it."""
        name = f"{self._config.prefix}.{group}"
        places = self._places(topic, partitions)
        if not places:
            return {}
        asked: list[Any] = [ConsumerGroupTopicPartitions(name, places)]
        with self._client(topic) as admin:
            found = await result(admin.list_consumer_group_offsets(asked, **self._within())[name])
        return {each.partition: each.offset for each in found.topic_partitions if each.offset >= 0}

    async def written_since(self, topic: Topic, partition: int, moment: datetime) -> int | None:
        """The offset of the first record that was written at the moment or later; None: there is none yet."""
        spec = OffsetSpec.for_timestamp(int(moment.timestamp() * 1000))
        found = (await self._offsets(topic, [partition], spec))[partition]
        return found if found >= 0 else None

    async def close(self) -> None:
        """Let go of the cluster."""
        if self._asking is not None:
            await self._asking.close()

    async def _offsets(self, topic: Topic, partitions: Collection[int], spec: OffsetSpec) -> Mapping[int, int]:
        asked = {place: spec for place in self._places(topic, partitions)}
        if not asked:
            return {}
        level = IsolationLevel.READ_UNCOMMITTED
        with self._client(topic) as admin:
            answers = admin.list_offsets(asked, isolation_level=level, **self._within())
            return {place.partition: (await result(answer)).offset for place, answer in answers.items()}

    def _places(self, topic: Topic, partitions: Collection[int]) -> list[TopicPartition]:
        name = topic_name(topic, self._config.prefix)
        return [TopicPartition(name, number) for number in sorted(partitions)]

    @contextmanager
    def _client(self, topic: Topic) -> Iterator[AdminClient]:
        if self._asking is None:
            self._asking = Asking(self._config)
        try:
            with self._asking.client() as admin:
                yield admin
        except KafkaException as exception:
            error = kafka_error(exception)
            named = read_error(error, topic_name(topic, self._config.prefix))
            raise named or ClusterUnreachable(
                f"{self._config.bootstrap!r} does not tell its offsets: {error.str()}"
            ) from exception

    def _within(self) -> dict[str, float]:
        return {"request_timeout": self._config.request_timeout_s}
