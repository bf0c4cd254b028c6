"""Records as CloudEvents in Kafka's binary mode, and back: attributes are headers `ce_<name>`, the value is the data.

Decoding never fails: what somebody else wrote beside the rule becomes a record that counts for nobody.
"""

from collections.abc import Set
from datetime import UTC, datetime
from functools import cache
from typing import NamedTuple

from confluent_kafka import Message
from pydantic import BaseModel

from agentspan.eventlog._records import Record, Stamp
from agentspan_schemas.cloudevents import moment

Headers = list[tuple[str, str | bytes | None]]

_ENVELOPE = frozenset(
    {"specversion", "id", "type", "source", "subject", "time", "traceparent", "epoch", "n", "last", "takeover"}
)
_UNREAD = frozenset({f"ce_{name}" for name in _ENVELOPE} | {"content-type"})
"""The headers that make no attributes."""

NOBODYS = Stamp(-1, -1, last=False, takeover=0)
"""Of what counts for nobody. No fresh reader finds a takeover in it: it begins at the beginning."""


class Encoded(NamedTuple):
    """What a producer is given; no value is a tombstone."""

    key: str | bytes | None
    value: bytes | None
    headers: Headers


def encode(topic: str, id_: str, record: Record, *, key: str | None = None) -> Encoded:
    """A record of an inbox; of a table under its `key`."""
    if not _ENVELOPE.isdisjoint(record.attributes):
        raise ValueError(
            f"{sorted(_ENVELOPE & record.attributes.keys())!r} belong to the envelope: name them otherwise"
        )
    headers: Headers = [
        ("ce_specversion", "1.0"),
        ("ce_id", id_),
        ("ce_type", record.type),
        ("ce_source", f"/{topic}"),
        ("ce_subject", record.key),
        ("ce_time", _moment(record.message)),
        ("content-type", "application/json"),
    ]
    if isinstance(traceparent := _said(record.message, "traceparent"), str):
        headers.append(("ce_traceparent", traceparent))
    headers += [(f"ce_{name}", value) for name, value in record.attributes.items()]
    return Encoded(record.key if key is None else key, record.value, headers)


def encode_stamped(topic: str, partition: int, stamp: Stamp, record: Record) -> Encoded:
    """A record of a log. Its id names its place in the partition's epochs; owners who race for one differ by key."""
    encoded = encode(topic, f"{partition}/{stamp.epoch}.{stamp.n}/{record.key}", record)
    encoded.headers.extend(
        (
            ("ce_epoch", str(stamp.epoch)),
            ("ce_n", str(stamp.n)),
            ("ce_last", "true" if stamp.last else "false"),
            ("ce_takeover", str(stamp.takeover)),
        )
    )
    return encoded


def decode(message: Message) -> Record:
    """The record of a message."""
    return _record(message, dict(headers_of(message)))


def decode_stamped(message: Message) -> tuple[Stamp, Record]:
    """The record and its place; a stamp that counts for nobody where there is none."""
    said = dict(headers_of(message))
    return _stamp(said), _record(message, said)


def decode_entry(message: Message) -> tuple[str, Record | None]:
    """The key and the record of a table's entry; None for a tombstone."""
    return _text(message.key()), None if message.value() is None else decode(message)


@cache
def _fields(kind: type[BaseModel]) -> Set[str]:
    return frozenset(kind.model_fields)


def _said(message: object, name: str) -> object:
    """What a message says, if it does. To ask one of ours for a field that it lacks is slow."""
    if isinstance(message, BaseModel) and name not in _fields(type(message)):
        return None
    return getattr(message, name, None)


def _moment(message: object) -> str:
    """When it was said: by its own word, as a late write of an owner says nothing new; else now."""
    for name in ("at", "opened_at"):
        if isinstance(at := _said(message, name), datetime):
            return moment(at)
    return moment(datetime.now(UTC))


def headers_of(message: Message) -> list[tuple[str, str | bytes | None]]:
    """All of them, in their order."""
    headers = message.headers() or []
    return list(headers.items()) if isinstance(headers, dict) else headers


def _record(message: Message, said: dict[str, str | bytes | None]) -> Record:
    type_, subject = said.get("ce_type"), said.get("ce_subject")
    attributes = {
        name[3:]: value.decode("utf-8", "replace") if type(value) is bytes else _text(value)
        for name, value in said.items()
        if name not in _UNREAD and name[:3] == "ce_"
    }
    key = message.key() if subject is None else subject
    return Record(_text(type_), _text(key), message.value() or b"", attributes)


def _stamp(said: dict[str, str | bytes | None]) -> Stamp:
    try:
        epoch, n, takeover = int(said["ce_epoch"]), int(said["ce_n"]), int(said["ce_takeover"])  # type: ignore[arg-type]
    except (KeyError, TypeError, ValueError):
        return NOBODYS
    return Stamp(epoch, n, _text(said.get("ce_last")) == "true", takeover)


def _text(value: str | bytes | None) -> str:
    return value.decode("utf-8", "replace") if isinstance(value, bytes) else value or ""
