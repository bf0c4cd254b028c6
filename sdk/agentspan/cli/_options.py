"""The options that several commands share, and the words that they take.

The words are the contract's, repeated because importing it would make `--help` slow; a test holds the two together.
"""

import json
import re
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from enum import StrEnum
from typing import Annotated, Any

import typer

from agentspan.cli import _complete

_SINCE = re.compile(r"(\d{1,6})([smhdw])")
_UNITS = {"s": "seconds", "m": "minutes", "h": "hours", "d": "days", "w": "weeks"}
_ID = re.compile(r"(exec-[A-Za-z0-9_-]+)(?:\.([A-Za-z0-9_-]+))?")


class Format(StrEnum):
    """How data is written: for people, as one JSON document, or as one JSON document a line."""

    TABLE = "table"
    JSON = "json"
    JSONL = "jsonl"


class Level(StrEnum):
    """How bad a line is; each includes those behind it."""

    DEBUG = "debug"
    INFO = "info"
    WARNING = "warning"
    ERROR = "error"
    CRITICAL = "critical"


class Status(StrEnum):
    """What a run can be."""

    RUNNING = "running"
    WAITING = "waiting"
    PAUSED = "paused"
    COMPLETED = "completed"
    FAILED = "failed"
    CANCELLED = "cancelled"


class Order(StrEnum):
    """Which runs stand first."""

    NEWEST = "newest"
    OLDEST = "oldest"


class State(StrEnum):
    """What a request for a decision can be."""

    PENDING = "pending"
    APPROVED = "approved"
    REJECTED = "rejected"
    EXPIRED = "expired"
    IN_DOUBT = "in_doubt"
    RESOLVED = "resolved"
    CANCELLED = "cancelled"


Output = Annotated[Format, typer.Option("--output", "-o", help="How the answer is written.")]
Limit = Annotated[int, typer.Option("--limit", "-n", min=1, max=1000, help="At most this many.")]
RunId = Annotated[str, typer.Argument(metavar="ID", help="The execution's id.", autocompletion=_complete.executions)]
RunIds = Annotated[
    list[str],
    typer.Argument(
        metavar="ID...", help="Executions' ids; - reads them from standard input.", autocompletion=_complete.executions
    ),
]
DryRun = Annotated[bool, typer.Option("--dry-run", help="Say what would be done, and do nothing.")]
OfAgent = Annotated[str | None, typer.Option("--agent", help="Only those of this agent.")]
OfTool = Annotated[str | None, typer.Option("--tool", help="Only those of this tool.")]
Since = Annotated[
    str | None, typer.Option("--since", "--from", metavar="WHEN", help="At or after: 2026-05-01, or 7d ago.")
]
Until = Annotated[
    str | None, typer.Option("--until", "--to", metavar="WHEN", help="Before; a date alone includes its day.")
]
Reason = Annotated[str | None, typer.Option("--reason", help="Why, for the record.")]


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


@dataclass(frozen=True, slots=True)
class Range:
    """Moments from `since` on and before `until`; None is open."""

    since: datetime | None
    until: datetime | None

    def __contains__(self, at: datetime) -> bool:
        return (self.since is None or at >= self.since) and (self.until is None or at < self.until)


def read_range(since: str | None, until: str | None) -> Range:
    """What --since and --until mean now. Raises BadParameter for a range that nothing is in."""
    now = datetime.now(UTC)
    begin = None if since is None else read_moment(since, now)
    end = None if until is None else read_moment(until, now, end=True)
    if begin is not None and end is not None and begin >= end:
        raise typer.BadParameter(
            f"--since {since} is not before --until {until}: nothing is between them; turn them round"
        )
    return Range(begin, end)


def edited_args(text: str) -> dict[str, Any]:
    """The arguments of --args. Raises BadParameter for what is no JSON object."""
    from agentspan_schemas import NameRepeated
    from agentspan_schemas.names import each_once

    try:
        value = json.loads(text, object_pairs_hook=each_once)
    except NameRepeated as error:
        raise typer.BadParameter(f"--args: {error}") from None
    except ValueError as error:
        raise typer.BadParameter(f"--args is not JSON ({error}): write it as '{{\"amount_usd\": 20}}'") from None
    if not isinstance(value, dict):
        raise typer.BadParameter("--args is a JSON object, such as '{\"amount_usd\": 20}'")
    return value


def pair(text: str) -> tuple[str, str]:
    """`KEY=VALUE` of --metadata."""
    name, equals, value = text.partition("=")
    if not name or not equals:
        raise typer.BadParameter(f"--metadata {text!r}: write KEY=VALUE")
    return name, value
