"""What a reader sees: a stored event, an execution, a page of them.

One execution is made of its first event (who asked for what) and its last (where it stands), so that whoever holds a
newer event than ClickHouse, as the live tail does, shows the newer state by the same function.
"""

from dataclasses import dataclass
from typing import cast

from agentspan_query.domain.later import ReadEvent
from agentspan_query.domain.rows import ExecutionRow
from agentspan_schemas import Failure
from agentspan_schemas.events import TERMINAL, Done, Failed, Started, Status, Totals
from agentspan_schemas.http import ExecutionView


@dataclass(frozen=True, slots=True)
class StoredEvent:
    """An event of an execution, with the JSON it was written as."""

    seq: int
    type: str
    payload: str


@dataclass(frozen=True, slots=True)
class HistoryPage:
    """A page of executions, newest first, their texts cut to previews; `cursor` is None on the last one."""

    items: tuple[ExecutionView, ...]
    cursor: str | None


@dataclass(frozen=True, slots=True)
class Start:
    """What only an execution's first event knows, cut for a list."""

    prompt: str
    requested_by: str
    source: str
    key: str


def listed_view(row: ExecutionRow, start: Start | None) -> ExecutionView:
    """The execution of a row in a list: prompt, output and error cut, metadata left out."""
    return ExecutionView(
        execution_id=row.execution_id,
        agent=row.agent,
        agent_version=row.agent_version,
        status=cast(Status, row.status),
        seq=row.seq,
        started_at=row.started_at,
        updated_at=row.updated_at,
        finished_at=row.finished_at,
        totals=Totals(
            turns=row.turns,
            tool_calls=row.tool_calls,
            input_tokens=row.tokens_in,
            output_tokens=row.tokens_out,
            waiting_on=tuple(row.waiting_on),
        ),
        prompt=start.prompt if start else None,
        requested_by=start.requested_by if start else None,
        source=start.source if start else None,
        key=start.key if start else None,
        output=row.output_preview or None,
        error=Failure(kind=row.error_kind, message=row.error) if row.error_kind else None,
    )


def execution_view(first: Started, last: ReadEvent) -> ExecutionView:
    """The execution that began with `first` and stands at `last`."""
    return ExecutionView(
        execution_id=last.execution_id,
        agent=last.agent,
        agent_version=last.agent_version,
        status=last.status,
        seq=last.seq,
        started_at=last.started_at,
        updated_at=last.at,
        finished_at=last.at if last.status in TERMINAL else None,
        totals=last.totals,
        prompt=first.prompt,
        requested_by=first.requested_by,
        source=first.source,
        key=first.key,
        metadata=first.metadata,
        output=last.output if isinstance(last, Done) else None,
        output_error=last.output_error if isinstance(last, Done) else None,
        error=last.error if isinstance(last, Failed) else None,
    )
