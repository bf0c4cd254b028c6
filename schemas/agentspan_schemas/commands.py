"""What is asked of an execution. A command may be refused; whatever comes of it stands on the log.

`command_id` is what makes a command safe to send again: the same id gets the first answer.
"""

from typing import Annotated, Literal

from pydantic import Field, JsonValue

from agentspan_schemas._base import SCHEMA_VERSION, Failure, JsonObject, Moment, ShallowObject, Usage, Wire


class CommandBase(Wire):
    """What every command carries."""

    command_id: str
    execution_id: str
    traceparent: str | None = None
    schema_version: int = SCHEMA_VERSION


class Deciding(CommandBase):
    """What every command of a person or a policy carries; the door fills in who."""

    by: str
    channel: str
    reason: str | None = None


class Start(CommandBase):
    """Begin an execution of a registered agent."""

    type: Literal["start"] = "start"
    agent: str
    agent_version: str
    prompt: str
    requested_by: str
    source: str
    key: str
    metadata: JsonObject = {}
    content_hash: str
    timeout_s: float | None = Field(default=None, gt=0)


class AskedCall(Wire):
    """A tool call as a provider returned it. `args_error` says why `args` could not be read."""

    model_call_id: str
    tool: str
    args: ShallowObject
    args_error: str | None = None


class ModelReply(CommandBase):
    """The model answered."""

    type: Literal["model_reply"] = "model_reply"
    turn: int
    attempt: int
    model: str
    text: str = ""
    tool_calls: tuple[AskedCall, ...] = ()
    blocks: tuple[JsonObject, ...] | None = None
    stop_reason: str | None = None
    usage: Usage = Usage()
    worker: str | None = None
    began_at: Moment | None = None
    duration_ms: float | None = None


class ModelFailed(CommandBase):
    """A model call failed; `retryable` says whether asking again may help."""

    type: Literal["model_failed"] = "model_failed"
    turn: int
    attempt: int
    error: Failure
    retryable: bool
    retry_after_s: float | None = None
    worker: str | None = None


class Claim(CommandBase):
    """A worker asks to run a `once` call. The answer `accepted` is the grant."""

    type: Literal["claim"] = "claim"
    call_id: str
    attempt: int
    claim_id: str
    worker: str


class Decline(CommandBase):
    """The grant came too late: the code has not started under this claim and never will."""

    type: Literal["decline"] = "decline"
    call_id: str
    attempt: int
    claim_id: str
    worker: str


class ReturnResult(CommandBase):
    """A tool came back, with a value or an error."""

    type: Literal["return_result"] = "return_result"
    call_id: str
    attempt: int
    claim_id: str | None = None
    ok: bool
    value: JsonValue = None
    error: Failure | None = None
    worker: str | None = None
    began_at: Moment | None = None
    duration_ms: float | None = None


class ReportLost(CommandBase):
    """Nobody holds the task any more: its worker is gone, or took longer than it may."""

    type: Literal["report_lost"] = "report_lost"
    step: str
    """A call_id, or `model-<turn>`."""
    attempt: int
    claim_id: str | None = None
    reason: Literal["lost", "timeout"] = "lost"


class Decide(Deciding):
    """Approve or reject one call, bound to the args that were seen."""

    type: Literal["decide"] = "decide"
    call_id: str
    decision: Literal["approve", "reject"]
    args_hash: str
    edited_args: JsonObject | None = None
    policy: str | None = None


class Resolve(Deciding):
    """Say what became of a call in doubt.

    `succeeded` / `failed`: the code ran and this came of it. `not_run`: it did not; the next attempt may be claimed.
    """

    type: Literal["resolve"] = "resolve"
    call_id: str
    attempt: int
    """The attempt that was looked into: what became of it says nothing of a later one."""
    outcome: Literal["succeeded", "failed", "not_run"]
    value: JsonValue = None
    error: Failure | None = None


class SendMessage(CommandBase):
    """Tell the agent something."""

    type: Literal["send_message"] = "send_message"
    text: str
    by: str
    channel: str


class Pause(Deciding):
    """Start nothing new until resumed."""

    type: Literal["pause"] = "pause"


class Resume(Deciding):
    """Go on."""

    type: Literal["resume"] = "resume"


class Cancel(Deciding):
    """End the execution; a granted call is waited for."""

    type: Literal["cancel"] = "cancel"


class FireTimer(CommandBase):
    """A moment has come that the execution waited for. Sent by the owner to itself."""

    type: Literal["fire_timer"] = "fire_timer"
    timer_id: str
    due: Moment


Command = Annotated[
    Start
    | ModelReply
    | ModelFailed
    | Claim
    | Decline
    | ReturnResult
    | ReportLost
    | Decide
    | Resolve
    | SendMessage
    | Pause
    | Resume
    | Cancel
    | FireTimer,
    Field(discriminator="type"),
]
"""Any command, told apart by `type`."""
