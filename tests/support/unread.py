"""Records that stand where an event should: what nobody can read, and what a later release has written."""

import json
from typing import Any

from agentspan.eventlog import Record
from agentspan.eventlog.messages import log_record
from agentspan_schemas.events import Event
from tests.support.query_history import History


def damaged(event: Event, value: bytes = b"\xff\x00") -> Record:
    """The event's record with other bytes."""
    return log_record(event)._replace(value=value, message=None)


def later(event: Event) -> Record:
    """The event as a release with the next version of the contract writes it."""
    return damaged(event, _with(event, schema_version=2))


def of_a_new_type(event: Event, name: str = "budget_exceeded") -> Record:
    """An event of a type that a later release has added, with the event's envelope."""
    return damaged(event, _with(event, type=name, budget={"usd": 5}))._replace(type=name)


def last(history: History) -> Event:
    """Its newest event."""
    return history.events[-1]


def _with(event: Event, **fields: Any) -> bytes:
    return json.dumps({**json.loads(log_record(event).value), **fields}).encode()
