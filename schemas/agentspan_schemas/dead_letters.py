"""Dead letters: a record that could not be taken, as it came, with headers that say why.

Key, value and the record's own headers stay untouched, so that the same bytes can be sent again once it is clear what
was wrong; what was added is taken off before.
"""

from dataclasses import dataclass
from datetime import datetime

from agentspan_schemas.cloudevents import Headers

PREFIX = "dlq."
"""Begins the names of the headers that are added."""

_NAMES = ("error", "message", "at", "topic", "partition", "offset", "service")


@dataclass(frozen=True, slots=True)
class Why:
    """Why a record is a dead letter, and where it came from."""

    error: str
    """A stable code, to match on: `unreadable`, `ticket_id_reused` and the like (docs/topics.md)."""
    message: str
    """A sentence that says what to do next."""
    at: datetime
    topic: str
    partition: int
    offset: int
    service: str

    def headers(self) -> tuple[tuple[str, bytes], ...]:
        """What is added to the record's own."""
        texts = (self.error, self.message, self.at.isoformat(), self.topic, self.partition, self.offset, self.service)
        return tuple((PREFIX + name, str(text).encode()) for name, text in zip(_NAMES, texts, strict=True))


def why(headers: Headers) -> Why:
    """Why the record with these headers is a dead letter. Raises ValueError when it is none."""
    found = {name.removeprefix(PREFIX): raw.decode() for name, raw in headers if name.startswith(PREFIX)}
    missing = [PREFIX + name for name in _NAMES if name not in found]
    if missing:
        raise ValueError(f"no dead letter: the headers {missing!r} are missing")
    return Why(
        error=found["error"],
        message=found["message"],
        at=datetime.fromisoformat(found["at"]),
        topic=found["topic"],
        partition=int(found["partition"]),
        offset=int(found["offset"]),
        service=found["service"],
    )


def original(headers: Headers) -> tuple[tuple[str, bytes], ...]:
    """The record's own headers, as it came."""
    return tuple((name, raw) for name, raw in headers if not name.startswith(PREFIX))
