"""Requests for a person's decision, and decisions of other services, as they stand on their topics."""

from typing import Literal

from pydantic import Field

from agentspan_schemas._base import SCHEMA_VERSION, JsonObject, Moment, Wire

ApprovalState = Literal["pending", "approved", "rejected", "expired", "in_doubt", "resolved", "cancelled"]
"""`in_doubt`: granted, but its worker was lost: a person says what became of it. `resolved`: somebody did."""


class ApprovalRecord(Wire):
    """One call that needs or needed a person: a fold of its execution's events up to `seq`; the highest counts."""

    approval_id: str
    execution_id: str
    call_id: str
    seq: int
    state: ApprovalState
    agent: str
    agent_version: str
    tool: str
    args: JsonObject
    """What the approver sees."""
    args_hash: str
    input_schema_hash: str = ""
    """What a worker must have to take the call once it is approved."""
    requested_at: Moment
    expires_at: Moment | None = None
    decided_at: Moment | None = None
    decided_by: str | None = None
    channel: str | None = None
    reason: str | None = None
    policy: str | None = None
    edited_args: JsonObject | None = None
    schema_version: int = SCHEMA_VERSION


class Decision(Wire):
    """A decision that another service sends on the decisions topic."""

    decision_id: str
    approval_id: str
    decision: Literal["approve", "reject"]
    args_hash: str = Field(pattern=r"^[0-9a-f]{64}$")
    by: str
    reason: str | None = None
    edited_args: JsonObject | None = None
    schema_version: int = SCHEMA_VERSION
