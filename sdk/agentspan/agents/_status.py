"""Where a run stands now, and what it waits for."""

from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from agentspan.agents._agent import Agent
from agentspan.agents._result import TokenUsage, typed_output
from agentspan_schemas import Failure, JsonObject
from agentspan_schemas.approvals import ApprovalRecord
from agentspan_schemas.events import TERMINAL, Status, Totals
from agentspan_schemas.http import ExecutionView


@dataclass(frozen=True, slots=True)
class PendingCall:
    """A call that waits for a decision: `handle.approve(call.call_id)`."""

    call_id: str
    tool_name: str
    args: dict[str, Any]
    requested_at: datetime
    expires_at: datetime | None = None
    in_doubt: bool = False
    """Not an approval: its worker was lost, and somebody has to say whether it ran."""


@dataclass(frozen=True, slots=True)
class AgentStatus:
    """A run as it is now."""

    execution_id: str
    agent: str
    agent_version: str
    status: Status
    """`running`, `waiting`, `paused`, `completed`, `failed` or `cancelled`."""
    seq: int
    """Its last event."""
    started_at: datetime
    updated_at: datetime
    finished_at: datetime | None
    totals: Totals
    output: Any = None
    """The answer, as of `AgentResult.output`."""
    output_error: str | None = None
    error: Failure | None = None
    """Why it failed."""
    pending: tuple[PendingCall, ...] = ()
    """The calls that wait for somebody."""
    prompt: str | None = None
    requested_by: str | None = None
    metadata: JsonObject = field(default_factory=dict)

    @property
    def is_complete(self) -> bool:
        """Whether it has ended, in whichever way."""
        return self.status in TERMINAL

    @property
    def is_running(self) -> bool:
        """Whether it goes on by itself."""
        return self.status == "running"

    @property
    def is_waiting(self) -> bool:
        """Whether it waits for a person."""
        return self.status == "waiting"

    @property
    def usage(self) -> TokenUsage:
        """The tokens of its model calls until now."""
        return TokenUsage(self.totals.input_tokens, self.totals.output_tokens)


def status_of(view: ExecutionView, waiting: Iterable[ApprovalRecord], agent: Agent | None) -> AgentStatus:
    """The status that the server's answers make; `agent` knows the type of the output."""
    output, output_error = view.output, view.output_error
    if view.status == "completed" and output_error is None and agent is not None:
        output, output_error = typed_output(agent, output)
    return AgentStatus(
        execution_id=view.execution_id,
        agent=view.agent,
        agent_version=view.agent_version,
        status=view.status,
        seq=view.seq,
        started_at=view.started_at,
        updated_at=view.updated_at,
        finished_at=view.finished_at,
        totals=view.totals,
        output=output,
        output_error=output_error,
        error=view.error,
        pending=tuple(map(_pending, waiting)),
        prompt=view.prompt,
        requested_by=view.requested_by,
        metadata=view.metadata,
    )


def _pending(record: ApprovalRecord) -> PendingCall:
    return PendingCall(
        call_id=record.call_id,
        tool_name=record.tool,
        args=record.args,
        requested_at=record.requested_at,
        expires_at=record.expires_at,
        in_doubt=record.state == "in_doubt",
    )
