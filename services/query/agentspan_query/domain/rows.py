"""From an event to its rows. Each row is a function of one event alone, so a replay writes the same rows again.

`executions` keeps what every event's envelope knows, so that its last event gives the whole row; what only the first
event knows (who asked for what) stands with that event in `events` and is looked up for the few rows of a page. The
fields are the tables' columns, in `adapters/migrations`.
"""

import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import NamedTuple

from pydantic import JsonValue

from agentspan_query.domain.later import ReadEvent
from agentspan_schemas import Usage
from agentspan_schemas.events import TERMINAL, Done, Failed, ModelReplied, Started

PREVIEW_CHARS = 400
"""How much of a text a list shows."""


class EventRow(NamedTuple):
    """One row of `events`."""

    execution_id: str
    seq: int
    type: str
    at: datetime
    agent: str
    agent_version: str
    started_at: datetime
    status: str
    tool: str
    call_id: str
    approval_id: str
    worker: str
    attempt: int
    duration_ms: float | None
    tokens_in: int
    tokens_out: int
    actor: str
    prompt_preview: str
    source: str
    source_key: str
    payload: str
    partition: int
    offset: int


class ExecutionRow(NamedTuple):
    """One row of `executions`: the execution as it stands after one event."""

    execution_id: str
    seq: int
    agent: str
    agent_version: str
    status: str
    started_at: datetime
    updated_at: datetime
    finished_at: datetime | None
    turns: int
    tool_calls: int
    tokens_in: int
    tokens_out: int
    waiting_on: tuple[str, ...]
    output_preview: str
    error_kind: str
    error: str


@dataclass(frozen=True, slots=True)
class Refused:
    """An event of which a row will never be taken, and why."""

    event: EventRow
    table: str
    why: str

    def __str__(self) -> str:
        event = self.event
        return f"event {event.execution_id}/{event.seq} at {event.partition}:{event.offset} of the log: {self.why}"


_NO_USAGE = Usage()


def event_row(event: ReadEvent, *, raw: bytes, partition: int, offset: int) -> EventRow:
    """The row of an event that stands at `partition`:`offset` of the log as `raw`."""
    known = vars(event)  # not getattr: a model takes two microseconds to say that it has no such field
    found = known.get
    started = event if isinstance(event, Started) else None
    usage = event.usage if isinstance(event, ModelReplied) else _NO_USAGE
    # in the order of the columns: by their names it takes twice as long
    columns = (
        known["execution_id"],
        known["seq"],
        known["type"],
        known["at"],
        known["agent"],
        known["agent_version"],
        known["started_at"],
        known["status"],
        found("tool") or "",
        found("call_id") or "",
        found("approval_id") or "",
        found("worker") or "",
        found("attempt", 0),
        found("duration_ms"),
        usage.input_tokens,
        usage.output_tokens,
        str(found("requested_by") or found("by") or found("resolved_by") or ""),
        preview(started.prompt) if started else "",
        started.source if started else "",
        started.key if started else "",
        raw.decode(),
        partition,
        offset,
    )
    return EventRow._make(columns)


def execution_row(event: ReadEvent) -> ExecutionRow:
    """The execution after this event."""
    return ExecutionRow(
        execution_id=event.execution_id,
        seq=event.seq,
        agent=event.agent,
        agent_version=event.agent_version,
        status=event.status,
        started_at=event.started_at,
        updated_at=event.at,
        finished_at=event.at if event.status in TERMINAL else None,
        turns=event.totals.turns,
        tool_calls=event.totals.tool_calls,
        tokens_in=event.totals.input_tokens,
        tokens_out=event.totals.output_tokens,
        waiting_on=event.totals.waiting_on,
        output_preview=preview(_text(event.output)) if isinstance(event, Done) else "",
        error_kind=event.error.kind if isinstance(event, Failed) else "",
        error=preview(event.error.message) if isinstance(event, Failed) else "",
    )


def latest(rows: Iterable[ExecutionRow]) -> Sequence[ExecutionRow]:
    """One row for each execution of a batch, the one with the highest seq: the others would only be merged away."""
    newest: dict[str, ExecutionRow] = {}
    for row in rows:
        known = newest.get(row.execution_id)
        if known is None or known.seq < row.seq:
            newest[row.execution_id] = row
    return list(newest.values())


def preview(text: str) -> str:
    """The beginning of a text."""
    return text if len(text) <= PREVIEW_CHARS else text[: PREVIEW_CHARS - 1] + "…"


def _text(output: JsonValue) -> str:
    return output if isinstance(output, str) else json.dumps(output, ensure_ascii=False)
