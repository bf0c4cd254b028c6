"""An execution as its events have made it: what `decide` reads and `evolve` writes.

Frozen values only, without slots: a changed copy is then one copy of a dictionary (`copies`). A snapshot of an
execution is this dataclass as JSON; a finished one keeps only what answers late and repeated commands (`evolve`
shrinks it).
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Literal

from pydantic import JsonValue

from agentspan_schemas import Effects, Failure, JsonObject
from agentspan_schemas.answers import Refusal, Winner
from agentspan_schemas.events import TERMINAL, Status, Totals
from agentspan_schemas.messages import Message

Phase = Literal["waiting", "open", "granted", "in_doubt", "done"]
"""Of a call: waits for a decision; may be run; its code may be running under a grant; nobody knows; over."""


@dataclass(frozen=True)
class Grant:
    """One granted claim of a `once` call. A declined one never ran."""

    claim_id: str
    attempt: int
    worker: str
    at: datetime
    declined: bool = False


@dataclass(frozen=True)
class Call:
    """One tool call of the current turn."""

    call_id: str
    turn: int
    model_call_id: str
    tool: str
    args: JsonObject
    args_hash: str
    approval_required: bool
    effects: Effects
    timeout_s: float | None
    max_attempts: int
    input_schema_hash: str
    phase: Phase
    opened_at: datetime
    attempt: int = 1
    not_before: datetime | None = None
    """Of an open call: its next attempt starts no earlier."""
    expires_at: datetime | None = None
    edited: bool = False
    """Whether the approver changed the args that the model proposed."""
    losses: int = 0
    grants: tuple[Grant, ...] = ()
    value: JsonValue = None
    error: Failure | None = None

    @property
    def grant(self) -> Grant | None:
        """The grant under which the code may be running now."""
        return self.grants[-1] if self.grants and self.phase in ("granted", "in_doubt") else None

    def granted(self, claim_id: str | None) -> Grant | None:
        """The grant of that claim, unless it was declined."""
        return next((g for g in self.grants if g.claim_id == claim_id and not g.declined), None)


@dataclass(frozen=True)
class ModelStep:
    """The model call that is open."""

    turn: int
    attempt: int
    opened_at: datetime
    not_before: datetime | None = None
    losses: int = 0


@dataclass(frozen=True)
class Ending:
    """The execution shall end as soon as no granted call is out."""

    cause: Literal["cancel", "timeout"]
    by: str
    channel: str
    reason: str | None


@dataclass(frozen=True)
class Remembered:
    """The answer that a command got."""

    seq: int
    refusal: Refusal | None = None


@dataclass(frozen=True)
class Execution:
    """The state of one execution after its event `seq`."""

    execution_id: str
    seq: int
    at: datetime
    agent: str
    agent_version: str
    started_at: datetime
    status: Status
    totals: Totals
    model: str
    source: str
    key: str
    content_hash: str
    metadata: JsonObject = field(default_factory=dict)
    deadline_at: datetime | None = None
    messages: tuple[Message, ...] = ()
    inbox: tuple[str, ...] = ()
    """Messages from outside that the model has not read yet."""
    model_step: ModelStep | None = None
    calls: tuple[Call, ...] = ()
    output_asks: int = 0
    """How often the model was asked to mend its output."""
    ending: Ending | None = None
    paused: bool = False
    winners: Mapping[str, Winner] = field(default_factory=dict)
    """Who decided each call, by call_id."""
    answers: Mapping[str, Remembered] = field(default_factory=dict)
    """The last commands and their answers, oldest first."""

    @property
    def terminal(self) -> bool:
        """Whether nothing moves any more."""
        return self.status in TERMINAL

    def call(self, call_id: str) -> Call | None:
        """The call of that id in the current turn."""
        for call in self.calls:
            if call.call_id == call_id:
                return call
        return None

    @property
    def awaited(self) -> tuple[Call, ...]:
        """The calls that wait for a person."""
        return tuple([call for call in self.calls if call.phase in ("waiting", "in_doubt")])

    @property
    def out(self) -> bool:
        """Whether a granted call is out, so that the execution may not end yet."""
        return any(call.phase in ("granted", "in_doubt") for call in self.calls)
