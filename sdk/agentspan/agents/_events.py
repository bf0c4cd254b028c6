"""One event of a run as its author sees it: a flat view over the wire model, which is whole in `.data`."""

import logging
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from typing import Any, Literal, assert_never

from agentspan_schemas import Unreadable
from agentspan_schemas import events as e
from agentspan_schemas.codec import EVENTS
from agentspan_schemas.http import Delta

logger = logging.getLogger(__name__)


class EventType(StrEnum):
    """What happened. Each is also its string: `event.type == "waiting"`."""

    STARTED = "started"
    MODEL_CALLED = "model_called"
    MODEL_REPLIED = "model_replied"
    TOOL_CALL = "tool_call"
    WAITING = "waiting"
    APPROVED = "approved"
    REJECTED = "rejected"
    EXPIRED = "expired"
    TOOL_STARTED = "tool_started"
    TOOL_RESULT = "tool_result"
    IN_DOUBT = "in_doubt"
    RETRY_SCHEDULED = "retry_scheduled"
    MESSAGE = "message"
    PAUSED = "paused"
    RESUMED = "resumed"
    CANCEL_REQUESTED = "cancel_requested"
    DONE = "done"
    FAILED = "failed"
    CANCELLED = "cancelled"
    DELTA = "delta"
    """Words as the model generates them: not on the log, and only for those who ask for them."""


@dataclass(frozen=True, slots=True)
class AgentEvent:
    """One event of an execution. What a type does not have is None."""

    type: EventType
    seq: int
    """Its place in the run, from 1 without a gap: `stream(after=event.seq)` goes on behind it."""
    at: datetime
    data: e.Event = field(repr=False)  # a printed event said all twice
    """The whole event."""
    tool_name: str | None = None
    call_id: str | None = None
    args: dict[str, Any] | None = None
    """Of `tool_call`, `waiting` and `approved`; of `approved`, those that the call runs with."""
    output: Any = None
    """What a tool returned, what the model said, or the run's answer."""
    reason: str | None = None
    """Why: a person's words, or the error's."""

    @property
    def execution_id(self) -> str:
        """The run it belongs to."""
        return self.data.execution_id

    @property
    def status(self) -> e.Status:
        """The run's status after it."""
        return self.data.status

    @property
    def ends(self) -> bool:
        """Whether nothing comes after it."""
        return self.data.status in e.TERMINAL


@dataclass(frozen=True, slots=True)
class AgentDelta:
    """A few words of a model's reply, while it is generated. The whole reply comes as a `model_replied` event."""

    execution_id: str
    turn: int
    """The turn of the model that this belongs to."""
    attempt: int
    """Above 1: forget what earlier attempts of this turn said."""
    offset: int
    """How many characters of this reply came before; a gap is never filled."""
    text: str
    type: Literal[EventType.DELTA] = EventType.DELTA


def delta_view(delta: Delta) -> AgentDelta:
    """The flat view of a delta."""
    return AgentDelta(delta.execution_id, delta.turn, delta.attempt, delta.offset, delta.text)


def read_event(data: str) -> AgentEvent | None:
    """The event of a stream; None where it is of a later release, and nothing here can tell what it means."""
    try:
        return view(EVENTS.decode(data.encode()))
    except Unreadable as error:
        logger.warning("an event that this version cannot read was skipped: %s", error)
        return None


def view(event: e.Event) -> AgentEvent:
    """The flat view of a wire event."""
    return AgentEvent(EventType(event.type), event.seq, event.at, event, **_fields(event))


def _fields(event: e.Event) -> dict[str, Any]:
    match event:
        case e.ToolCall() | e.Waiting():
            return {**_call(event), "args": event.args}
        case e.Approved():
            return {**_call(event), "args": event.args, "reason": event.reason}
        case e.Rejected() | e.InDoubt():
            return {**_call(event), "reason": event.reason}
        case e.Expired() | e.ToolStarted():
            return _call(event)
        case e.ToolResult():
            reason = event.error.message if event.error else event.reason
            return {**_call(event), "output": event.value, "reason": reason}
        case e.RetryScheduled():
            return {**_call(event), "reason": event.error.message if event.error else event.reason}
        case e.ModelReplied() | e.MessageAdded():
            return {"output": event.text}
        case e.Done():
            return {"output": event.output, "reason": event.output_error}
        case e.Failed():
            return {"reason": event.error.message}
        case e.Paused() | e.Resumed() | e.CancelRequested() | e.Cancelled():
            return {"reason": event.reason}
        case e.Started() | e.ModelCalled():
            return {}
        case _:
            assert_never(event)


_CallEvent = (
    e.ToolCall
    | e.Waiting
    | e.Approved
    | e.Rejected
    | e.InDoubt
    | e.Expired
    | e.ToolStarted
    | e.ToolResult
    | e.RetryScheduled
)


def _call(event: _CallEvent) -> dict[str, Any]:
    return {"tool_name": event.tool, "call_id": event.call_id}
