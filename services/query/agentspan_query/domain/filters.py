"""Which executions a list shows, and where its next page begins.

A cursor is the last row's place in the order (started_at, execution_id), and a hash of the filters and the order it
belongs to: a page is the same whether rows came in before it or not, and a cursor cannot be carried to another list.
"""

import base64
import hashlib
import json
import re
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Literal

from pydantic_core import from_json

from agentspan_query.errors import BadCursor
from agentspan_schemas.events import Status

Order = Literal["newest", "oldest"]
"""Which executions stand first, by their starts."""

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_SPACED_ZONE = re.compile(r"(:\d\d(?:\.\d+)?) (\d\d:?\d\d)$")


def with_plus(text: str) -> str:
    """A moment with the `+` before its zone, which stands in a URL for a space where nobody escaped it."""
    return _SPACED_ZONE.sub(r"\1+\2", text)


@dataclass(frozen=True, slots=True, kw_only=True)
class ExecutionFilter:
    """Executions of `agent` (None: all), in one of `statuses` (empty: any), started in [`since`, `until`), that called
    `tool` (None: any, or none); newest first, or oldest."""

    agent: str | None = None
    statuses: tuple[Status, ...] = ()
    since: datetime | None = None
    until: datetime | None = None
    tool: str | None = None
    oldest_first: bool = False

    def fingerprint(self) -> str:
        """The same for filters that mean the same."""
        parts = [
            self.agent,
            sorted(set(self.statuses)),
            None if self.since is None else micros(self.since),
            None if self.until is None else micros(self.until),
            *(() if self.tool is None else (self.tool,)),  # without these, cursors of earlier releases go on
            *(() if not self.oldest_first else (True,)),
        ]
        return hashlib.sha256(json.dumps(parts).encode()).hexdigest()[:12]


@dataclass(frozen=True, slots=True)
class Place:
    """A row's place in the order of a list."""

    started_at: datetime
    execution_id: str


def encode_cursor(place: Place, chosen: ExecutionFilter) -> str:
    """An opaque text that continues the list of `chosen` after `place`."""
    fields = [chosen.fingerprint(), micros(place.started_at), place.execution_id]
    return base64.urlsafe_b64encode(json.dumps(fields).encode()).rstrip(b"=").decode()


def decode_cursor(cursor: str, chosen: ExecutionFilter) -> Place:
    """The place that a cursor names. Raises BadCursor when it is not one, or of other filters."""
    try:
        fingerprint, started_us, execution_id = from_json(base64.urlsafe_b64decode(cursor + "=" * (-len(cursor) % 4)))
        place = Place(_EPOCH + timedelta(microseconds=started_us), str(execution_id))
    except (ValueError, TypeError, OverflowError) as error:
        raise BadCursor(f"cursor {cursor[:80]!r} is not one of this server's; ask again without it") from error
    if fingerprint != chosen.fingerprint():
        raise BadCursor(f"cursor {cursor[:80]!r} belongs to a list with other filters; ask again without it")
    return place


def micros(moment: datetime) -> int:
    """Microseconds since 1970: exact, where a float is not."""
    return (moment - _EPOCH) // timedelta(microseconds=1)
