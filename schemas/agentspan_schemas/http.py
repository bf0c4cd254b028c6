"""What goes over HTTP between clients and the server, where it is not a message of a topic."""

from typing import Literal, Self

from pydantic import Field, JsonValue, model_validator

from agentspan_schemas._base import Failure, JsonObject, Moment, Name, Request, ShallowJson, ShallowObject, Wire
from agentspan_schemas.approvals import ApprovalRecord
from agentspan_schemas.events import Status, Totals

PROBLEM_TYPE = "https://agentspan.dev/problems/"
"""The prefix of every problem's `type`; the rest is its code."""

POSITION = r"^\d{1,9}:\d{1,18}$"
"""What an `Agentspan-Position` looks like: `<partition>:<offset>`."""


class Problem(Wire):
    """An error as RFC 9457 wants it: `application/problem+json`."""

    type: str
    title: str
    status: int
    detail: str
    code: str
    """Stable, to match on."""
    field: str | None = None
    """The field that is wrong, where one is."""
    winner: JsonObject | None = None
    """Who decided first, where somebody did."""


class StartRequest(Request):
    """Begin an execution. With `Idempotency-Key`, the same request again is the same execution."""

    agent: Name
    agent_version: str | None = None
    """None: the version that was registered last."""
    prompt: str = Field(min_length=1)
    metadata: ShallowObject = {}
    timeout_s: float | None = Field(default=None, gt=0)


class TicketRequest(Request):
    """A ticket that comes over HTTP, not over Kafka."""

    id: str = Field(min_length=1, max_length=256)
    source: str = Field(default="http", min_length=1, max_length=256)
    agent: Name | None = None
    """None: the ticket mappings find the agent by source."""
    text: str = Field(min_length=1)
    metadata: ShallowObject = {}


class ExecutionRef(Wire):
    """The execution that a write concerned. A read with `min_position` = `position` sees the write."""

    execution_id: str
    seq: int
    position: str | None = None
    created: bool = False
    """False when the same start had been sent before."""


class AgentRef(Wire):
    """A registered agent's address."""

    name: str
    version: str


class DecisionRequest(Request):
    """Approve or reject one call: `args_hash` is the one that came with the args you saw."""

    decision: Literal["approve", "reject"]
    args_hash: str = Field(pattern=r"^[0-9a-f]{64}$")
    reason: str | None = None
    edited_args: ShallowObject | None = None

    @model_validator(mode="after")
    def _only_an_approval_edits(self) -> Self:
        if self.decision == "reject" and self.edited_args is not None:
            raise ValueError("edited_args go with decision 'approve'; a rejected call runs with no arguments at all")
        return self


class ResolutionRequest(Request):
    """Say what became of a call in doubt: of the attempt that you looked into, as its request shows it."""

    attempt: int = Field(ge=1)
    outcome: Literal["succeeded", "failed", "not_run"]
    value: ShallowJson = None
    error: str | None = None
    reason: str | None = None


class ReasonRequest(Request):
    """Why you pause, resume or cancel."""

    reason: str | None = None


class MessageRequest(Request):
    """Tell the agent something."""

    text: str = Field(min_length=1)


class ExecutionView(Wire):
    """One execution as history shows it."""

    execution_id: str
    agent: str
    agent_version: str
    status: Status
    seq: int
    started_at: Moment
    updated_at: Moment
    finished_at: Moment | None = None
    totals: Totals
    prompt: str | None = None
    requested_by: str | None = None
    source: str | None = None
    key: str | None = None
    metadata: JsonObject = {}
    output: JsonValue = None
    output_error: str | None = None
    error: Failure | None = None


class ExecutionPage(Wire):
    """A page of history, in the order that was asked for; `cursor` asks for the next one."""

    items: tuple[ExecutionView, ...]
    cursor: str | None = None
    as_of: Moment
    """Up to when the list is complete."""


class ApprovalPage(Wire):
    """Requests for a decision, oldest first. Ask again with `cursor` for those behind them; None: there are no more."""

    items: tuple[ApprovalRecord, ...]
    cursor: str | None = None


class Follow(Request):
    """One execution that a stream is to carry: its events behind `after`, up to the one that ends it."""

    execution_id: str = Field(min_length=1, max_length=128)
    after: int = Field(default=0, ge=0)
    """The seq of the last event that you have; 0: from the first."""
    position: str | None = Field(default=None, pattern=POSITION)
    """The `Agentspan-Position` of a write that must be seen first: it may be another process than took it."""
    deltas: bool = False
    """Also the model's words as they are generated."""


class StreamRequest(Request):
    """What a client's stream carries from now on. Following an execution again begins again behind `after`."""

    follow: tuple[Follow, ...] = Field(default=(), max_length=10_000)
    unfollow: tuple[str, ...] = Field(default=(), max_length=10_000)


class StreamOpened(Wire):
    """A stream's first event, `open`: its address for as long as it is open."""

    stream_id: str


class Delta(Wire):
    """Words of a model's reply as they are generated: a stream's `delta`, which is never on the log.

    Some may be missing, as nothing is kept for a client that is slow or comes late: `model_replied` has the whole text.
    """

    execution_id: str
    turn: int
    attempt: int
    offset: int = Field(ge=0)
    """How many characters of this reply came before."""
    text: str


class StreamEnd(Wire):
    """A stream's `end`: the execution was over before `after`, nothing more will come of it."""

    execution_id: str


class StreamProblem(Wire):
    """A stream's `problem`: why it does not carry this execution (any more)."""

    execution_id: str
    problem: Problem


class SessionRequest(Request):
    """A worker process says hello: what it can run, and what it still holds from an earlier session."""

    worker: str
    tools: dict[str, dict[str, str]]
    """For each agent it serves: tool name to input-schema hash."""
    holds: tuple[str, ...] = ()


class SessionGrant(Wire):
    """The gateway's answer: the session, and how often it wants to hear from the worker."""

    session_id: str
    lease_s: float
    grant_s: float


class WorkerReport(Request):
    """A batch from a worker: claims, declines and results are commands' fields, each with its own id."""

    claims: tuple["ClaimItem", ...] = ()
    declines: tuple["ClaimItem", ...] = ()
    results: tuple["ResultItem", ...] = ()


class ClaimItem(Request):
    """A claim of a `once` call, or the word that its grant came too late."""

    execution_id: str
    call_id: str
    attempt: int
    claim_id: str


class ResultItem(Request):
    """What came of one task."""

    execution_id: str
    call_id: str
    attempt: int
    claim_id: str | None = None
    ok: bool
    value: ShallowJson = None
    error: Failure | None = None
    began_at: Moment
    duration_ms: float


class ItemAnswer(Wire):
    """The answer to one item of a report, in the report's order. `accepted` on a claim is the grant."""

    accepted: bool
    code: str | None = None
    message: str | None = None


class ReportAnswer(Wire):
    """The answers to a report. What is answered is on the log: the worker may forget it."""

    claims: tuple[ItemAnswer, ...] = ()
    declines: tuple[ItemAnswer, ...] = ()
    results: tuple[ItemAnswer, ...] = ()


WorkerReport.model_rebuild()
