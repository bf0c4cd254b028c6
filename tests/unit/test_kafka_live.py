"""The live consumer without a broker: its sign of life, as librdkafka's own failure cannot be brought about, what it
asks before it reads, and when it rests."""

import queue
from collections.abc import Callable, Sequence
from typing import Any

import pytest
from confluent_kafka import KafkaError, KafkaException, Message, TopicPartition

from agentspan.eventlog import _kafka_live, _kafka_pulse
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
        self.said: list[str] = []
        self.closed = False
        self.coming: queue.SimpleQueue[Message] = queue.SimpleQueue()
        self.made.append(self)

    def incremental_assign(self, places: Sequence[TopicPartition]) -> None:
        self.assigned += [(place.topic, place.partition, place.offset) for place in places]
        self.said += [f"assign {place.topic} {place.partition}" for place in places]

    def incremental_unassign(self, places: Sequence[TopicPartition]) -> None:
        self.said += [f"unassign {place.topic} {place.partition}" for place in places]

    def list_topics(self, topic: str, timeout: float) -> None:
        self.said.append(f"ask {topic}")
        if not self.reaches:
            raise KafkaException(KafkaError(KafkaError._TRANSPORT))

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
    """A sink that has everything below `known`; what it is given is this process's own, or `others'`."""

    def __init__(self, known: int, *, others: bool = False) -> None:
        self.known = known
        self.foreign = 0
        self._others = others

    def keep(self, messages: Sequence[Message]) -> Callable[[], None] | None:
        self.known += len(messages)
        self.foreign += len(messages) if self._others else 0
        return None

    def ended(self, offset: int) -> None: ...

    def fail(self, error: LogError) -> None: ...


@pytest.fixture(autouse=True)
def consumers(monkeypatch: pytest.MonkeyPatch) -> type[StubConsumer]:
    monkeypatch.setattr(StubConsumer, "made", [])
    monkeypatch.setattr(_kafka_live, "Consumer", StubConsumer)
    monkeypatch.setattr(_kafka_pulse, "SILENT_S", 0.02)
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


@pytest.mark.parametrize("reaches", [True, False])
async def test_a_consumer_asks_where_a_topic_is_before_it_reads_the_first_partition_of_it(
    monkeypatch: pytest.MonkeyPatch, reaches: bool
) -> None:
    """Unasked it would wait for librdkafka's next look round, up to a second. Without an answer it does."""
    monkeypatch.setattr(StubConsumer, "reaches", reaches)
    monkeypatch.setattr(_kafka_pulse, "SILENT_S", 3600.0)
    live, sink = Live(KafkaConfig(bootstrap="localhost:1")), Kept(0)
    for place in (PLACE, Place("t", 1), Place("other", 0)):
        live.attach(place, 0, sink)
    live.detach(Place("other", 0), sink)
    live.attach(Place("other", 1), 0, sink)
    await until(lambda: bool(StubConsumer.made) and StubConsumer.made[0].said[-1:] == ["assign other 1"])
    assert StubConsumer.made[0].said == [
        "ask t", "assign t 0", "assign t 1",
        "ask other", "assign other 0", "unassign other 0",
        "ask other", "assign other 1",
    ]  # fmt: skip
    await live.close()


def message(offset: int) -> Message:
    return Message(topic="t", partition=0, offset=offset, value=b"1")


async def test_nothing_is_fetched_for_a_while_after_what_this_process_wrote(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(_kafka_live, "REST_S", 3600.0)
    live, sink = Live(KafkaConfig(bootstrap="localhost:1")), Kept(0)
    live.attach(PLACE, 0, sink)
    await until(lambda: bool(StubConsumer.made))
    StubConsumer.made[0].coming.put(message(0))
    await until(lambda: sink.known == 1)
    StubConsumer.made[0].coming.put(message(1))
    await live.close()  # which wakes it
    assert sink.known == 1


async def test_nobody_rests_while_others_write(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(_kafka_live, "REST_S", 3600.0)
    monkeypatch.setattr(_kafka_live, "SHARED_S", 3600.0)
    live, others, ours = Live(KafkaConfig(bootstrap="localhost:1")), Kept(0, others=True), Kept(0)
    live.attach(PLACE, 0, others)
    live.attach(Place("ours", 0), 0, ours)
    await until(lambda: bool(StubConsumer.made))
    coming = StubConsumer.made[0].coming
    coming.put(message(0))
    for offset in range(3):
        coming.put(Message(topic="ours", partition=0, offset=offset, value=b"1"))
    await until(lambda: ours.known == 3)
    await live.close()
