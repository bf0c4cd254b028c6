"""Members of a group whose instance of librdkafka is of no more use, without a broker: another one joins."""

import asyncio
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import pytest
from confluent_kafka import KafkaError, KafkaException, Message, TopicPartition

from agentspan.eventlog import _kafka_assignments, _kafka_pulse, _kafka_source
from agentspan.eventlog._kafka_assignments import Assignments
from agentspan.eventlog._kafka_config import KafkaConfig
from agentspan.eventlog._kafka_source import KafkaSource
from agentspan_schemas.topics import TICKETS
from tests.support.eventually import until

Heard = Callable[[Any, list[TopicPartition]], None]

CONFIG = KafkaConfig(bootstrap="localhost:1")
TOPIC = "agentspan.tickets"


class StubConsumer:
    """Is given partition 0, and one message of it, if it reaches the coordinator."""

    made: "list[StubConsumer]" = []
    reaches = True

    def __init__(self, settings: dict[str, Any], logger: object) -> None:
        self.asked = 0
        self.closed = False
        self._todo: list[Callable[[], Message | None]] = []
        self.made.append(self)

    def subscribe(self, topics: Sequence[str], *, on_assign: Heard, on_revoke: Heard, on_lost: Heard) -> None:
        self._todo = [lambda: on_assign(self, [TopicPartition(topics[0], 0)]), lambda: self._message(topics[0])]

    def poll(self, timeout: float) -> Message | None:
        return self._todo.pop(0)() if self._todo and self.reaches else None

    def committed(self, places: Sequence[TopicPartition], timeout: float) -> Sequence[TopicPartition]:
        self.asked += 1
        if not self.reaches:
            raise KafkaException(KafkaError(KafkaError._TIMED_OUT))
        return places

    def incremental_assign(self, places: Sequence[TopicPartition]) -> None: ...

    def pause(self, places: Sequence[TopicPartition]) -> None: ...

    def close(self) -> None:
        self.closed = True

    def _message(self, topic: str) -> Message:
        return Message(topic=topic, partition=0, offset=len(self.made), value=b"1")


class Heeding:
    """A listener that notes what it hears."""

    def __init__(self) -> None:
        self.heard: list[tuple[str, frozenset[int]]] = []

    def assigned(self, partitions: frozenset[int]) -> None:
        self.heard.append(("assigned", partitions))

    async def revoked(self, partitions: frozenset[int]) -> None:
        self.heard.append(("revoked", partitions))

    def lost(self, partitions: frozenset[int]) -> None:
        self.heard.append(("lost", partitions))


@pytest.fixture(autouse=True)
def consumers(monkeypatch: pytest.MonkeyPatch) -> Iterator[type[StubConsumer]]:
    monkeypatch.setattr(StubConsumer, "made", [])
    monkeypatch.setattr(_kafka_pulse, "SILENT_S", 0.02)
    for module in (_kafka_assignments, _kafka_source):
        monkeypatch.setattr(module, "Consumer", StubConsumer)
        monkeypatch.setattr(module, "MEMBER_S", 0.05)
        monkeypatch.setattr(module, "POLL_S", 0.001)
    yield StubConsumer
    assert all(each.closed for each in StubConsumer.made)


async def ended(task: "asyncio.Task[Any]") -> None:
    task.cancel()
    await asyncio.wait([task])


async def test_a_member_that_reaches_nobody_joins_anew_and_what_it_had_is_lost(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(_kafka_assignments, "DOUBTED_S", 0.0)
    listener = Heeding()
    running = asyncio.create_task(Assignments(CONFIG, topic=TICKETS).run(listener))
    await until(lambda: listener.heard == [("assigned", frozenset({0}))])
    monkeypatch.setattr(StubConsumer, "reaches", False)
    await until(lambda: ("lost", frozenset({0})) in listener.heard)
    assert StubConsumer.made[0].closed
    monkeypatch.setattr(StubConsumer, "reaches", True)
    await until(lambda: listener.heard[-1][0] == "assigned" and len(listener.heard) > 2)
    assert listener.heard.count(("lost", frozenset({0}))) == 1
    await ended(running)


async def test_what_a_member_has_back_from_the_group_in_time_was_its_own_all_along(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    listener = Heeding()
    running = asyncio.create_task(Assignments(CONFIG, topic=TICKETS).run(listener))
    await until(lambda: listener.heard == [("assigned", frozenset({0}))])
    monkeypatch.setattr(StubConsumer, "reaches", False)
    await until(lambda: len(StubConsumer.made) > 1)
    monkeypatch.setattr(StubConsumer, "reaches", True)
    await until(lambda: len(listener.heard) > 1)
    assert listener.heard[1:] == [("assigned", frozenset())]
    await ended(running)


async def test_a_member_that_is_idle_and_well_stays() -> None:
    listener = Heeding()
    running = asyncio.create_task(Assignments(CONFIG, topic=TICKETS).run(listener))
    await until(lambda: bool(StubConsumer.made) and StubConsumer.made[0].asked > 3)
    assert len(StubConsumer.made) == 1
    await ended(running)


async def test_a_source_that_reaches_nobody_joins_anew_and_goes_on(monkeypatch: pytest.MonkeyPatch) -> None:
    source = KafkaSource(CONFIG, TICKETS, "ingest")
    receiving = source.receive()
    assert (await anext(receiving)).offset == 1
    monkeypatch.setattr(StubConsumer, "reaches", False)
    await until(lambda: StubConsumer.made[0].closed and not source.assigned())
    monkeypatch.setattr(StubConsumer, "reaches", True)
    assert (await anext(receiving)).topic == TOPIC
    assert source.assigned() == {0}
    await receiving.aclose()
