"""A reading of what is old by a consumer that reaches nobody, without a broker: another one reads it."""

from collections.abc import Sequence
from typing import Any

import pytest
from confluent_kafka import KafkaError, KafkaException, Message, TopicPartition

from agentspan.eventlog import _kafka_history, _kafka_pulse
from agentspan.eventlog._kafka_config import KafkaConfig
from agentspan.eventlog._kafka_history import History
from agentspan.eventlog._kafka_live import Place
from tests.support.eventually import until


class StubConsumer:
    """Only the second one that is made reaches the brokers."""

    made: "list[StubConsumer]" = []

    def __init__(self, settings: dict[str, Any], logger: object) -> None:
        self.made.append(self)
        self.closed = False
        self._reaches = len(self.made) > 1
        self._at = -1

    def assign(self, places: Sequence[TopicPartition]) -> None:
        [place] = places
        self._at = place.offset

    def unassign(self) -> None: ...

    def poll(self, timeout: float) -> Message | None:
        return Message(topic="t", partition=0, offset=self._at, value=b"found") if self._reaches else None

    def consume(self, count: int, timeout: float) -> Sequence[Message]:
        return []

    def get_watermark_offsets(self, place: TopicPartition, timeout: float) -> tuple[int, int]:
        raise KafkaException(KafkaError(KafkaError._TIMED_OUT))

    def close(self) -> None:
        self.closed = True


async def test_another_consumer_reads_what_one_does_not_bring(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(StubConsumer, "made", [])
    monkeypatch.setattr(_kafka_history, "Consumer", StubConsumer)
    monkeypatch.setattr(_kafka_pulse, "SILENT_S", 0.02)
    history = History(KafkaConfig(bootstrap="localhost:1"))
    found = await history.read(Place("t", 0), 5, 10, 9, lambda message: message.value())
    assert found == [(5, b"found")]
    first, second = StubConsumer.made
    await until(lambda: first.closed)
    await history.close()
    assert second.closed
