"""Requests for a person's decision, and decisions of other services, as they stand on their topics."""

from typing import Literal

from pydantic import Field

from agentspan_schemas._base import SCHEMA_VERSION, JsonObject, Moment, Wire
from agentspan_schemas.answers import Winner

ApprovalState = Literal["pending", "approved", "rejected", "expired", "in_doubt", "resolved", "cancelled"]
"""`in_doubt`: granted, but its worker was lost: a person says what became of it. `resolved`: somebody did."""


MAX_ATTEMPTS = 16
"""A record keeps what became of the last decisions that other services sent, and counts them all."""


class DecisionOutcome(Wire):
    """What became of a decision that another service sent."""

    decision_id: str
    by: str
    at: Moment
    accepted: bool
    code: str | None = None
    """Why it was refused; stable, to match on: `already_decided`, `args_changed` and the like."""
    message: str | None = None
    winner: Winner | None = None
    """Who was first, where somebody was."""


class ApprovalRecord(Wire):
    """One call that needs or needed a person: a fold of what stands on the log about it, up to `seq`.

    Of two records of one request the higher `seq` counts, and of the same the one with more `attempts_total`.
    """

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
    attempt: int | None = None
    """Of a call in doubt: the attempt that a resolution must name."""
    requested_at: Moment
    expires_at: Moment | None = None
    decided_at: Moment | None = None
    decided_by: str | None = None
    channel: str | None = None
    reason: str | None = None
    policy: str | None = None
    edited_args: JsonObject | None = None
    ended_at: Moment | None = None
    """Since when nobody is awaited."""
    attempts: tuple[DecisionOutcome, ...] = ()
    """The last decisions of other services, oldest first."""
    attempts_total: int = 0
    schema_version: int = SCHEMA_VERSION

    @property
    def version(self) -> tuple[int, int]:
        """What orders the records of one request."""
        return self.seq, self.attempts_total


class Decision(Wire):
    """A decision that another service sends on the decisions topic."""

    decision_id: str = Field(min_length=1, max_length=256)
    """The same one by the same service is the same decision, however often it is sent."""
    approval_id: str
    decision: Literal["approve", "reject"]
    args_hash: str = Field(pattern=r"^[0-9a-f]{64}$")
    by: str = Field(min_length=1, max_length=128)
    """The service that decides; the log has it as `service:<by>`."""
    reason: str | None = None
    edited_args: JsonObject | None = None
    schema_version: int = SCHEMA_VERSION
