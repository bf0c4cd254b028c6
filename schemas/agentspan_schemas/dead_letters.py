"""Dead letters: a record that could not be taken, as it came, with headers that say why; and the notes behind them that
say which were handled.

Key, value and the record's own headers stay untouched, so that the same bytes can be sent again once it is clear what
was wrong; what was added is taken off before.
"""

from dataclasses import dataclass
from datetime import datetime
from typing import Literal

from agentspan_schemas._base import SCHEMA_VERSION, Moment, Wire
from agentspan_schemas.cloudevents import Headers

PREFIX = "dlq."
"""Begins the names of the headers that are added. A record's own of such a name is dropped: it could be mistaken."""

OMITTED = f"{PREFIX}omitted"
"""The header of a dead letter that has nothing of the record: says how large it was."""

HANDLED = f"{PREFIX}handled"
"""The header of a note: `<partition>:<offset>` of the letter that it is about."""

NOT_IN_HISTORY = "not_in_history"
"""The code of an event whose row ClickHouse will never take."""

UNREADABLE_EVENT = "unreadable_event"
"""The code of a record that stands for an event and that nobody can read."""

_NAMES = ("error", "message", "at", "topic", "partition", "offset", "service")


@dataclass(frozen=True, slots=True)
class Reason:
    """A code of `dlq.error`."""

    code: str
    on: str
    """The topic on which it can be, or `both` of those that other teams write."""
    what_to_do: str


REASONS = (
    Reason("unreadable", "both", "it is neither JSON nor a CloudEvent: mend the sender, then discard"),
    Reason("invalid", "both", "a field is missing or wrong, and the message names it: mend the sender, then discard"),
    Reason("invalid_request", "both", "a field does not fit, and the message names it: mend the sender, then discard"),
    Reason(
        "field_repeated",
        "both",
        "a name stands twice in one object, so that readers would differ about it: mend the sender, then discard",
    ),
    Reason("newer_version", "both", "upgrade the server, then replay"),
    Reason("too_large", "both", "one message is at most 1 MiB: have a reference sent instead, then discard"),
    Reason(
        "unknown_agent", "tickets", "serve the agent, then replay; a name that is wrong: mend the sender, then discard"
    ),
    Reason("model_unavailable", "tickets", "give the server what the agent's model needs, then replay"),
    Reason("no_mapping", "tickets", "set a ticket mapping, then replay"),
    Reason(
        "ticket_id_reused",
        "tickets",
        "other content under an id that was started before: have it sent under a new id, then discard",
    ),
    Reason("unknown_execution", "decisions", "there is no such run: mend the sender, then discard"),
    Reason("unknown_call", "decisions", "the run has no such call: mend the sender, then discard"),
    Reason("not_gated", "decisions", "the call needs nobody's decision: discard"),
    Reason(
        NOT_IN_HISTORY,
        "events",
        "ClickHouse refuses its row, and the message says why: mend that (a constraint, a view, a column that somebody"
        " changed), then `agentspan query rebuild`, which reads it from the log, and discard",
    ),
    Reason(
        UNREADABLE_EVENT,
        "events",
        "nobody can read it: history goes on without it, and its run stands still (docs/log.md says what to do); report"
        " its bytes (`agentspan dlq show ID --raw`); where a"
        " later release reads them, `agentspan query rebuild` has it, then discard",
    ),
    Reason("failed", "both", "the server's logs have the error: mend it, then replay"),
)
"""Every code; more may come."""


def what_to_do(code: str) -> str:
    """About a letter of this code."""
    known = {reason.code: reason.what_to_do for reason in REASONS}
    return known.get(code, "the message says what is wrong; replay when that is mended, or discard")


class Handled(Wire):
    """A note among the dead letters that one of them needs nobody any more.

    It stands behind its letter in the same partition, and so is kept at least as long.
    """

    partition: int
    offset: int
    action: Literal["replayed", "discarded"]
    by: str
    at: Moment
    reason: str | None = None
    schema_version: int = SCHEMA_VERSION

    @property
    def place(self) -> str:
        """Of the letter, as in the header."""
        return f"{self.partition}:{self.offset}"


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
