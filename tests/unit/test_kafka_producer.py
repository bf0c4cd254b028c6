"""A producer that is of no more use, without a broker: librdkafka's own failure cannot be brought about."""

import asyncio
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from confluent_kafka import KafkaError, Message

from agentspan.eventlog import _kafka_producer
from agentspan.eventlog._errors import FateUnknown
from agentspan.eventlog._kafka_config import KafkaConfig
from agentspan.eventlog._kafka_messages import Encoded
from agentspan.eventlog._kafka_producer import Producing
from tests.support.eventually import until

Report = Callable[[KafkaError | None, Message], None]


class StubProducer:
    """Reports on what it was given when the test says so, or when it is purged."""

    made: "list[StubProducer]" = []

    def __init__(self, settings: dict[str, Any], logger: object) -> None:
        self.given: list[tuple[bytes | None, Report]] = []
        self.outcomes: list[KafkaError | None] = []
        self.purged = self.closed = False
        self.made.append(self)

    def produce(self, topic: str, *, value: bytes | None, on_delivery: Report, **others: object) -> None:
        self.given.append((value, on_delivery))

    def poll(self, timeout: float) -> int:
        while self.given and self.outcomes:
            self._report(self.outcomes.pop(0))
        return 0

    def purge(self) -> None:
        self.purged = True

    def flush(self) -> int:
        while self.given:
            self._report(KafkaError(KafkaError._PURGE_INFLIGHT) if self.purged else None)
        return 0

    def close(self) -> None:
        self.closed = True

    def _report(self, error: KafkaError | None) -> None:
        value, report = self.given.pop(0)
        report(error, Message(topic="t", partition=0, offset=7, value=value))


@pytest.fixture(autouse=True)
def producers(monkeypatch: pytest.MonkeyPatch) -> Iterator[type[StubProducer]]:
    monkeypatch.setattr(StubProducer, "made", [])
    monkeypatch.setattr(_kafka_producer, "Producer", StubProducer)
    yield StubProducer
    assert all(each.closed for each in StubProducer.made)


async def sent(producing: Producing, value: bytes, partition: int = 0) -> "asyncio.Future[Any]":
    """A write that is on its way."""
    write = producing.send("t", partition, [Encoded(None, value, [])], lambda index, offset: None)
    await asyncio.sleep(0)
    return write


TIMED_OUT = KafkaError(KafkaError._MSG_TIMED_OUT)


async def test_a_producer_that_reaches_nobody_is_replaced_and_what_it_had_is_of_unknown_fate(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(_kafka_producer, "SILENT_S", 0.0)
    producing = Producing(KafkaConfig(bootstrap="localhost:1"))
    late, under_way = await sent(producing, b"late"), await sent(producing, b"under way", 1)
    first = StubProducer.made[0]
    assert [value for value, _ in first.given] == [b"late", b"under way"]
    first.outcomes.append(TIMED_OUT)
    for write in (late, under_way):
        with pytest.raises(FateUnknown):
            await asyncio.wait_for(write, 10)
    assert first.purged
    going_on = await sent(producing, b"going on")
    assert [value for value, _ in StubProducer.made[1].given] == [b"going on"], "and nothing of before"
    StubProducer.made[1].outcomes.append(None)
    assert await asyncio.wait_for(going_on, 10) == [7]
    await producing.close()


async def test_a_producer_that_was_heard_of_lately_stays_when_a_write_times_out() -> None:
    producing = Producing(KafkaConfig(bootstrap="localhost:1"))
    late, other = await sent(producing, b"late"), await sent(producing, b"other", 1)
    first = StubProducer.made[0]
    first.outcomes += [TIMED_OUT, None]
    with pytest.raises(FateUnknown):
        await asyncio.wait_for(late, 10)
    assert await asyncio.wait_for(other, 10) == [7]
    await sent(producing, b"going on")
    assert len(StubProducer.made) == 1
    await producing.close()


async def test_what_waits_for_the_turns_end_is_written_before_the_producer_is_closed() -> None:
    producing = Producing(KafkaConfig(bootstrap="localhost:1"))
    before, behind = await sent(producing, b"before"), await sent(producing, b"behind")
    last = producing.send("t", 0, [Encoded(None, b"last", [])], lambda index, offset: None)
    await producing.close()
    await until(lambda: last.done())
    assert [write.result() for write in (before, behind, last)] == [[7], [7], [7]]
