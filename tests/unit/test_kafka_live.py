"""The live consumer's sign of life, without a broker: librdkafka's own failure cannot be brought about."""

import queue
from collections.abc import Callable, Sequence
from typing import Any

import pytest
from confluent_kafka import KafkaError, KafkaException, Message, TopicPartition

from agentspan.eventlog import _kafka_live
from agentspan.eventlog._errors import LogError
from agentspan.eventlog._kafka_config import KafkaConfig
from agentspan.eventlog._kafka_live import Live, Place
from tests.support.eventually import until

PLACE = Place("t", 0)


class StubConsumer:
    """Brings what is put into `coming`; `reaches` says whether it gets an answer of a broker."""

    made: "list[StubConsumer]" = []
    reaches = True

    def __init__(self, settings: dict[str, Any], logger: object) -> None:
        self.assigned: list[tuple[str, int, int]] = []
        self.asked = 0
        self.closed = False
        self.coming: queue.SimpleQueue[Message] = queue.SimpleQueue()
        self.made.append(self)

    def incremental_assign(self, places: Sequence[TopicPartition]) -> None:
        self.assigned += [(place.topic, place.partition, place.offset) for place in places]

    def poll(self, timeout: float) -> Message | None:
        try:
            return self.coming.get(timeout=0.001)
        except queue.Empty:
            return None

    def consume(self, count: int, timeout: float) -> Sequence[Message]:
        return []

    def get_watermark_offsets(self, place: TopicPartition, timeout: float) -> tuple[int, int]:
        self.asked += 1
        if not self.reaches:
            raise KafkaException(KafkaError(KafkaError._TRANSPORT))
        return 0, 0

    def close(self) -> None:
        self.closed = True


class Kept:
    """A sink that has everything below `known`."""

    def __init__(self, known: int) -> None:
        self.known = known

    def keep(self, messages: Sequence[Message]) -> Callable[[], None] | None:
        self.known += len(messages)
        return None

    def ended(self, offset: int) -> None: ...

    def fail(self, error: LogError) -> None: ...


@pytest.fixture(autouse=True)
def consumers(monkeypatch: pytest.MonkeyPatch) -> type[StubConsumer]:
    monkeypatch.setattr(StubConsumer, "made", [])
    monkeypatch.setattr(_kafka_live, "Consumer", StubConsumer)
    monkeypatch.setattr(_kafka_live, "SILENT_S", 0.02)
    return StubConsumer


async def test_a_consumer_that_reaches_nobody_is_replaced_by_one_that_goes_on_where_it_was(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    live, sink = Live(KafkaConfig(bootstrap="localhost:1")), Kept(7)
    live.attach(PLACE, 7, sink)
    await until(lambda: bool(StubConsumer.made) and StubConsumer.made[0].asked > 0)
    first = StubConsumer.made[0]
    first.coming.put(Message(topic="t", partition=0, offset=7, value=b"1"))
    await until(lambda: sink.known == 8)
    monkeypatch.setattr(StubConsumer, "reaches", False)
    await until(lambda: first.closed)
    assert StubConsumer.made[1].assigned == [("t", 0, 8)]
    await live.close()


async def test_a_consumer_that_is_quiet_and_well_stays() -> None:
    live = Live(KafkaConfig(bootstrap="localhost:1"))
    live.attach(PLACE, 0, Kept(0))
    await until(lambda: bool(StubConsumer.made) and StubConsumer.made[0].asked > 2)
    assert len(StubConsumer.made) == 1
    assert not StubConsumer.made[0].closed
    await live.close()
