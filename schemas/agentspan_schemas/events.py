"""What happened: every event of an execution, for ever. Adding a field is allowed, changing one is not.

An event is complete by itself: its envelope says which execution it belongs to, where it stands in it (`seq`, gapless
from 1), what the execution's status and totals are after it, so that a projection needs no state of its own.
"""

from typing import Annotated, Any, Literal

from pydantic import Field, JsonValue

from agentspan_schemas._base import SCHEMA_VERSION, Effects, Failure, JsonObject, Moment, Usage, Wire, _blank, _made
from agentspan_schemas.messages import RequestedCall

Status = Literal["running", "waiting", "paused", "completed", "failed", "cancelled"]
"""`waiting`: at least one call waits for a person (an approval, or a call in doubt)."""

TERMINAL: frozenset[Status] = frozenset({"completed", "failed", "cancelled"})

ENDS: frozenset[str] = frozenset({"done", "failed", "cancelled"})
"""The types of the events that put a run in those: none comes behind it."""


class Totals(Wire):
    """Running totals of the execution after the event."""

    turns: int = 0
    tool_calls: int = 0
    input_tokens: int = 0
    output_tokens: int = 0
    waiting_on: tuple[str, ...] = ()
    """The tools whose calls wait for a person now, one entry a call."""

    def but(self, **changes: Any) -> "Totals":
        """A copy with some fields changed, of values that are known to be right. Unknown fields are left behind."""
        return _made(Totals, vars(self) | changes, _blank(Totals)[2])


class Envelope(Wire):
    """What every event carries."""

    execution_id: str
    seq: int = Field(ge=1)
    at: Moment
    """When the owner decided it; never before the event that stands before it."""
    agent: str
    agent_version: str
    started_at: Moment
    """When the execution started: with `agent`, what history is ordered and partitioned by."""
    status: Status
    totals: Totals
    causation_id: str
    """The command that this event follows from."""
    traceparent: str | None = None
    schema_version: int = SCHEMA_VERSION


class Decided(Envelope):
    """What every decision of a person or a policy carries."""

    by: str
    """`user:<name>`, `policy:<name>` or `service:<name>`, as the door authenticated it."""
    channel: str
    """The door it came through: `http`, `sdk`, `cli`, `ui`, `topic`, `policy`."""
    reason: str | None = None


class Started(Envelope):
    """The execution exists: who asked for what, of which agent."""

    type: Literal["started"] = "started"
    prompt: str
    requested_by: str
    source: str
    """With `key`, what the execution's id follows from: a ticket's source, or principal and agent of an HTTP start."""
    key: str
    metadata: JsonObject = {}
    content_hash: str
    """Of agent, prompt and metadata: tells a repeated start from another one under the same id."""
    model: str
    deadline_at: Moment | None = None


class ModelCalled(Envelope):
    """A model call was handed out."""

    type: Literal["model_called"] = "model_called"
    turn: int
    attempt: int
    model: str
    messages: int
    """How many messages the conversation had."""
    ask_again: str | None = None
    """Why the model is asked again within its turn: what was wrong with the output it gave."""


class ModelReplied(Envelope):
    """The model answered."""

    type: Literal["model_replied"] = "model_replied"
    turn: int
    attempt: int
    model: str
    text: str = ""
    tool_calls: tuple[RequestedCall, ...] = ()
    blocks: tuple[JsonObject, ...] | None = None
    stop_reason: str | None = None
    usage: Usage = Usage()
    worker: str | None = None
    began_at: Moment | None = None
    duration_ms: float | None = None


class ToolCall(Envelope):
    """The agent wants to call a tool. Written before the tool runs, with all that governs how it may run."""

    type: Literal["tool_call"] = "tool_call"
    turn: int
    call_id: str
    model_call_id: str
    tool: str
    args: JsonObject
    args_hash: str
    approval_required: bool
    effects: Effects
    timeout_s: float | None = None
    max_attempts: int = 1
    input_schema_hash: str = ""


class Waiting(Envelope):
    """The call stops here until a person or a policy decides it."""

    type: Literal["waiting"] = "waiting"
    approval_id: str
    call_id: str
    tool: str
    args: JsonObject
    args_hash: str
    """SHA-256 of the canonical args: a decision names it, and so binds to exactly what was seen."""
    input_schema_hash: str = ""
    expires_at: Moment | None = None


class Approved(Decided):
    """The call may run, with `args`: as proposed, or as the approver edited them."""

    type: Literal["approved"] = "approved"
    approval_id: str
    call_id: str
    tool: str
    seen_args_hash: str
    edited_args: JsonObject | None = None
    args: JsonObject
    """The effective ones."""
    args_hash: str
    policy: str | None = None


class Rejected(Decided):
    """The call never runs; the model reads the reason and goes on."""

    type: Literal["rejected"] = "rejected"
    approval_id: str
    call_id: str
    tool: str
    seen_args_hash: str
    policy: str | None = None


class Expired(Envelope):
    """Nobody decided in time, where a time was asked for: the call never runs."""

    type: Literal["expired"] = "expired"
    approval_id: str
    call_id: str
    tool: str
    expires_at: Moment


class ToolStarted(Envelope):
    """The grant: this claim, and no other, may run the code of a `once` call, within `grant_s` of asking."""

    type: Literal["tool_started"] = "tool_started"
    call_id: str
    tool: str
    attempt: int
    claim_id: str
    worker: str
    grant_s: float


class ToolResult(Envelope):
    """What came of a call; at most one for each."""

    type: Literal["tool_result"] = "tool_result"
    call_id: str
    tool: str
    ok: bool
    value: JsonValue = None
    error: Failure | None = None
    attempt: int
    claim_id: str | None = None
    worker: str | None = None
    began_at: Moment | None = None
    duration_ms: float | None = None
    resolved_by: str | None = None
    """Who said so, when a person or a reconciler resolved a call in doubt."""
    reason: str | None = None


class InDoubt(Envelope):
    """A worker was lost after its grant: nobody knows whether the code ran. Never run again blindly."""

    type: Literal["in_doubt"] = "in_doubt"
    approval_id: str
    call_id: str
    tool: str
    args: JsonObject = {}
    """What it ran with, if it ran."""
    args_hash: str = ""
    attempt: int
    """The one that a resolution must name."""
    claim_id: str
    worker: str
    reason: str


class RetryScheduled(Envelope):
    """The next attempt of a model call (`call_id` None) or a tool call, not before `retry_at`."""

    type: Literal["retry_scheduled"] = "retry_scheduled"
    turn: int
    call_id: str | None = None
    tool: str | None = None
    attempt: int
    """The attempt to come."""
    retry_at: Moment
    reason: Literal["error", "lost", "timeout", "declined", "resolved"]
    error: Failure | None = None
    by: str | None = None


class MessageAdded(Envelope):
    """Somebody told the agent something; it reads it before its next turn."""

    type: Literal["message"] = "message"
    text: str
    by: str
    channel: str


class Paused(Decided):
    """Nothing new starts until `resumed`; what runs may finish, and decisions are kept."""

    type: Literal["paused"] = "paused"


class Resumed(Decided):
    """The execution goes on."""

    type: Literal["resumed"] = "resumed"


class CancelRequested(Decided):
    """The execution shall end, but a granted call is still out: it ends with that call's result or resolution."""

    type: Literal["cancel_requested"] = "cancel_requested"
    cause: Literal["cancel", "timeout"] = "cancel"


class Done(Envelope):
    """The execution completed, with the agent's answer."""

    type: Literal["done"] = "done"
    output: JsonValue = None
    """Of the output schema's shape where the agent has one, else the text."""
    output_error: str | None = None
    """Why `output` is still text although the agent has an output schema."""


class Failed(Envelope):
    """The execution ended without an answer."""

    type: Literal["failed"] = "failed"
    error: Failure


class Cancelled(Decided):
    """The execution was ended by somebody."""

    type: Literal["cancelled"] = "cancelled"


Event = Annotated[
    Started
    | ModelCalled
    | ModelReplied
    | ToolCall
    | Waiting
    | Approved
    | Rejected
    | Expired
    | ToolStarted
    | ToolResult
    | InDoubt
    | RetryScheduled
    | MessageAdded
    | Paused
    | Resumed
    | CancelRequested
    | Done
    | Failed
    | Cancelled,
    Field(discriminator="type"),
]
"""Any event, told apart by `type`."""
