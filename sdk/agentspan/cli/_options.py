"""The options that several commands share, and the words that they take.

The words are the contract's, repeated because importing it would make `--help` slow; a test holds the two together.
"""

import re
from datetime import UTC, datetime, timedelta
from enum import StrEnum
from typing import Annotated

import typer

_SINCE = re.compile(r"(\d{1,6})([smhdw])")
_UNITS = {"s": "seconds", "m": "minutes", "h": "hours", "d": "days", "w": "weeks"}
_ID = re.compile(r"(exec-[A-Za-z0-9_-]+)(?:\.([A-Za-z0-9_-]+))?")


class ListFormat(StrEnum):
    """How a list is written."""

    TABLE = "table"
    JSON = "json"
    JSONL = "jsonl"


class Format(StrEnum):
    """How one thing is written."""

    TEXT = "text"
    JSON = "json"


class StreamFormat(StrEnum):
    """How things that come one by one are written."""

    TEXT = "text"
    JSONL = "jsonl"


class Status(StrEnum):
    """What a run can be."""

    RUNNING = "running"
    WAITING = "waiting"
    PAUSED = "paused"
    COMPLETED = "completed"
    FAILED = "failed"
    CANCELLED = "cancelled"


class State(StrEnum):
    """What a request for a decision can be."""

    PENDING = "pending"
    APPROVED = "approved"
    REJECTED = "rejected"
    EXPIRED = "expired"
    IN_DOUBT = "in_doubt"
    RESOLVED = "resolved"
    CANCELLED = "cancelled"


ListOutput = Annotated[ListFormat, typer.Option("--output", "-o", help="How the list is written.")]
Output = Annotated[Format, typer.Option("--output", "-o", help="How the answer is written.")]
StreamOutput = Annotated[StreamFormat, typer.Option("--output", "-o", help="How each event is written.")]
Limit = Annotated[int, typer.Option(min=1, max=1000, help="At most so many.")]
RunId = Annotated[str, typer.Argument(metavar="ID", help="The execution's id.")]


def run_id(text: str) -> str:
    """An execution id; of an approval id, the execution's."""
    return split_id(text)[0]


def split_id(text: str) -> tuple[str, str | None]:
    """`(execution_id, call_id)` of an execution id (then None) or an approval id."""
    found = _ID.fullmatch(text)
    if found is None:
        raise typer.BadParameter(
            f"{text!r} is no id: an execution's looks like 'exec-a1b2c3', an approval's like 'exec-a1b2c3.2-0'; "
            "`agentspan agent list` shows what there is"
        )
    return found[1], found[2]


def read_moment(text: str, now: datetime, *, end: bool = False) -> datetime:
    """A moment: `2026-05-01`, `2026-05-01T10:00` (local unless it has a zone), or an age: `90m`, `24h`, `7d`.

    A date alone is its first moment; as the `end` of a range, its last.
    """
    if age := _SINCE.fullmatch(text):
        return now - timedelta(**{_UNITS[age[2]]: int(age[1])})
    try:
        at = datetime.fromisoformat(text)
        whole_day = end and len(text) <= len("2026-05-01")
        return (at + timedelta(days=1) if whole_day else at).astimezone(UTC)
    except (ValueError, OverflowError):
        raise typer.BadParameter(
            f"{text!r} is no moment: write 2026-05-01, 2026-05-01T10:00, or an age such as 90m, 24h or 7d"
        ) from None
