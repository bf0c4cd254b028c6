"""CloudEvents on a topic: what other teams may send, and the headers of what is sent to them.

Three forms mean the same: binary mode (attributes are `ce_` headers, the value is the data), structured mode (the value
is an envelope with `data`), and plain JSON without any envelope. (CloudEvents 1.0, Kafka protocol binding)
"""

import json
from base64 import b64decode
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime

from agentspan_schemas.errors import NameRepeated, Unreadable
from agentspan_schemas.names import each_once

Headers = Sequence[tuple[str, bytes]]
"""As a topic has them: names may repeat; the last one counts."""

STRUCTURED = "application/cloudevents"
"""What the content type of a structured event begins with."""


@dataclass(frozen=True, slots=True)
class CloudEvent:
    """The data of one message, and what its envelope says about it; a plain message has no attributes."""

    data: bytes
    attributes: Mapping[str, str] = field(default_factory=dict)


def read(headers: Headers, value: bytes) -> CloudEvent:
    """The event in any of the three forms. Raises Unreadable for a structured one that is none, NameRepeated for one
    that no two readers would take alike."""
    texts = {name: raw.decode("utf-8", "replace") for name, raw in headers}
    if texts.get("content-type", "").startswith(STRUCTURED):
        return _structured(value)
    attributes = {name.removeprefix("ce_"): text for name, text in texts.items() if name.startswith("ce_")}
    return CloudEvent(value, attributes)


def binary_headers(
    *, id: str, type: str, source: str, subject: str, time: datetime, **extensions: str
) -> tuple[tuple[str, bytes], ...]:
    """The headers of an event in binary mode, whose value is JSON. `time` in UTC."""
    attributes = {
        "specversion": "1.0",
        "id": id,
        "type": type,
        "source": source,
        "subject": subject,
        "time": moment(time),
        **extensions,
    }
    envelope = tuple((f"ce_{name}", text.encode()) for name, text in attributes.items())
    return (*envelope, ("content-type", b"application/json"))


def moment(at: datetime) -> str:
    """A moment in UTC as an attribute."""
    return at.isoformat().replace("+00:00", "Z")


def _structured(value: bytes) -> CloudEvent:
    try:
        fields = json.loads(value, object_pairs_hook=each_once)
    except NameRepeated:
        raise
    except (ValueError, RecursionError) as error:
        raise Unreadable(f"a structured CloudEvent is expected here, not JSON: {error}", value) from error
    if not isinstance(fields, dict):
        raise Unreadable(f"a structured CloudEvent is a JSON object, not {fields.__class__.__name__}", value)
    attributes = {name: text for name, text in fields.items() if isinstance(text, str) and name not in _DATA}
    return CloudEvent(_data(fields, value), attributes)


_DATA = frozenset({"data", "data_base64"})


def _data(fields: Mapping[str, object], value: bytes) -> bytes:
    if "data_base64" not in fields:
        return json.dumps(fields.get("data")).encode()
    try:
        return b64decode(str(fields["data_base64"]), validate=True)
    except ValueError as error:
        raise Unreadable(f"data_base64 of a structured CloudEvent: {error}", value) from error
