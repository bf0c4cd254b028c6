"""What a plain consumer of another team makes of the events topic: headers, JSON, and the documented rule, written here
without a line of the product's."""

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from confluent_kafka import Consumer, Message, TopicPartition

Json = dict[str, Any]

READ_WITHIN_S = 60.0


@dataclass(frozen=True, slots=True)
class Found:
    """The topic as a whole."""

    events: dict[str, list[Json]]
    """Those that count, of each execution, in the order of the log."""
    notes: list[Json]
    """What counts and is no event: refusals and repetitions."""
    epochs: int
    """Takeovers that were valid."""
    ghosts: int
    """Records that do not count, but for takeovers."""


def read(bootstrap: str, topic: str) -> Found:
    """All that stands on the topic now."""
    found = Found({}, [], 0, 0)
    epochs = ghosts = 0
    for partition in range(_partitions(bootstrap, topic)):
        messages = list(_messages(bootstrap, TopicPartition(topic, partition, 0)))
        counting, valid = _counting(messages)
        epochs += valid
        ghosts += sum(_header(each, "ce_n") != "0" for each in messages) - len(counting)
        for message in counting:
            value = json.loads(message.value() or b"")
            if _header(message, "ce_seq"):
                assert value["seq"] == int(_header(message, "ce_seq"))
                found.events.setdefault(_text(message.key()), []).append(value)
            else:
                found.notes.append(value)
    return Found(found.events, found.notes, epochs, ghosts)


def _counting(messages: Sequence[Message]) -> tuple[list[Message], int]:
    """A record counts if it carries the epoch of the last valid takeover before it, and the next number; an outcome
    only as a whole, up to its marked last record. And how many takeovers were valid."""
    counting: list[Message] = []
    outcome: list[Message] = []
    epoch = expected = valid = 0
    for message in messages:
        of, n = int(_header(message, "ce_epoch")), int(_header(message, "ce_n"))
        if n == 0 and of > epoch:
            epoch, expected, outcome, valid = of, 1, [], valid + 1
        elif n > 0 and of == epoch and n == expected:
            expected += 1
            outcome.append(message)
            if _header(message, "ce_last") == "true":
                counting += outcome
                outcome = []
        elif n > 0 and of == epoch:
            expected = -1
    return counting, valid


def _messages(bootstrap: str, place: TopicPartition) -> Iterator[Message]:
    consumer = _consumer(bootstrap)
    try:
        _, end = consumer.get_watermark_offsets(place, timeout=READ_WITHIN_S)
        consumer.assign([place])
        at = 0
        while at < end:
            message = consumer.poll(READ_WITHIN_S)
            assert message is not None, "the topic can be read to its end"
            assert message.error() is None, message.error()
            at = (message.offset() or 0) + 1
            yield message
    finally:
        consumer.close()


def _partitions(bootstrap: str, topic: str) -> int:
    consumer = _consumer(bootstrap)
    try:
        return len(consumer.list_topics(topic, timeout=READ_WITHIN_S).topics[topic].partitions)
    finally:
        consumer.close()


def _consumer(bootstrap: str) -> Consumer:
    return Consumer({"bootstrap.servers": bootstrap, "group.id": "another-team", "enable.auto.commit": False})


def _header(message: Message, name: str) -> str:
    headers = message.headers() or []
    return _text(dict(headers).get(name))


def _text(value: str | bytes | None) -> str:
    return value.decode() if isinstance(value, bytes) else value or ""
