"""Readings of what is old, without a broker: by a consumer that reaches nobody, and by one that is new to a topic."""

import asyncio
import threading
from collections.abc import Sequence
from typing import Any

import pytest
from confluent_kafka import KafkaError, KafkaException, Message, TopicPartition

from agentspan.eventlog import _kafka_history, _kafka_pulse
from agentspan.eventlog._kafka_config import KafkaConfig
from agentspan.eventlog._kafka_history import History
from agentspan.eventlog._kafka_live import Place
from tests.support.eventually import WITHIN_S, until


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


class Gated(StubConsumer):
    """Brings nothing until the gate is open."""

    gate = threading.Event()
    polled = threading.Event()

    def poll(self, timeout: float) -> Message | None:
        self.polled.set()
        assert self.gate.wait(WITHIN_S)
        return Message(topic="t", partition=0, offset=self._at, value=b"found")


async def test_a_cursor_is_of_use_again_however_often_its_reader_was_cancelled(monkeypatch: pytest.MonkeyPatch) -> None:
    """As whoever restores a partition that is taken away, and again before its thread has heard of it."""
    monkeypatch.setattr(_kafka_history, "Consumer", Gated)
    history = History(KafkaConfig(bootstrap="localhost:1"), cursors=1)
    reading = asyncio.create_task(history.read(Place("t", 0), 5, 10, 9, lambda message: message.value()))
    await until(Gated.polled.is_set)
    for _ in range(2):
        reading.cancel()
        await asyncio.sleep(0)
    with pytest.raises(asyncio.CancelledError):
        await reading
    another = asyncio.create_task(history.read(Place("t", 0), 7, 10, 9, lambda message: message.value()))
    await asyncio.sleep(0)
    Gated.gate.set()
    assert await another == [(7, b"found")]
    await history.close()


class Ended(StubConsumer):
    """Comes to an end, and to what is written there meanwhile, in one batch."""

    moved: "list[int]" = []

    def __init__(self, settings: dict[str, Any], logger: object) -> None:
        super().__init__(settings, logger)
        self._reaches = True

    def assign(self, places: Sequence[TopicPartition]) -> None:
        super().assign(places)
        self.moved.append(self._at)

    def consume(self, count: int, timeout: float) -> Sequence[Message]:
        end = Message(topic="t", partition=0, offset=self._at + 1, error=KafkaError(KafkaError._PARTITION_EOF))
        return [end, Message(topic="t", partition=0, offset=self._at + 2, value=b"later")]


async def test_what_came_behind_an_end_is_not_passed_over(monkeypatch: pytest.MonkeyPatch) -> None:
    """As behind the marker of a transaction, where nothing else stands."""
    monkeypatch.setattr(Ended, "moved", [])
    monkeypatch.setattr(_kafka_history, "Consumer", Ended)
    history = History(KafkaConfig(bootstrap="localhost:1"), cursors=1)
    for offset in (5, 6):
        found = await history.read(Place("t", 0), offset, 10, 9, lambda message: message.value())
        assert found == [(offset, b"found")]
    await history.close()
    assert Ended.moved == [5, 6]


class Moved(StubConsumer):
    """Writes down what it is asked, and where it is put."""

    said: "list[tuple[str, str, int]]" = []

    def __init__(self, settings: dict[str, Any], logger: object) -> None:
        super().__init__(settings, logger)
        self._reaches = True

    def assign(self, places: Sequence[TopicPartition]) -> None:
        super().assign(places)
        self.said += [("assign", place.topic, place.partition) for place in places]

    def get_watermark_offsets(self, place: TopicPartition, timeout: float) -> tuple[int, int]:
        self.said.append(("ask", place.topic, place.partition))
        return super().get_watermark_offsets(place, timeout)


async def test_a_consumer_asks_where_a_topic_is_before_it_is_moved_there(monkeypatch: pytest.MonkeyPatch) -> None:
    """Unasked it would wait for librdkafka's next look round, up to a second."""
    monkeypatch.setattr(Moved, "said", [])
    monkeypatch.setattr(_kafka_history, "Consumer", Moved)
    history = History(KafkaConfig(bootstrap="localhost:1"), cursors=1)
    for place in (Place("a", 0), Place("a", 1), Place("b", 1)):
        await history.read(place, 5, 10, 9, lambda message: message.value())
    await history.close()
    assert Moved.said == [
        ("ask", "a", 0), ("assign", "a", 0), ("assign", "a", 1), ("ask", "b", 1), ("assign", "b", 1),
    ]  # fmt: skip
