"""What came of a run: folded from its events, so that a finished run, a waiting one and a mock run look the same."""

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any, Literal

from pydantic import ValidationError

from agentspan.agents._agent import Agent
from agentspan.agents._events import AgentEvent, EventType
from agentspan_schemas import Failure
from agentspan_schemas import events as e
from agentspan_schemas.errors import describe
from agentspan_schemas.events import Done, Failed, Status, Totals
from agentspan_schemas.messages import AssistantMessage, Message, ToolMessage, UserMessage

CallState = Literal["open", "waiting", "approved", "rejected", "expired", "in_doubt", "succeeded", "failed"]
"""Where a call stands. `open`: it was asked for, or it runs."""


@dataclass(frozen=True, slots=True)
class TokenUsage:
    """Tokens of all model calls of a run, as the providers counted them.

    >>> TokenUsage(input_tokens=900, output_tokens=100).total_tokens
    1000
    """

    input_tokens: int = 0
    output_tokens: int = 0
    cache_read_tokens: int = 0
    """Of the input, those that were read from the provider's cache."""
    cache_write_tokens: int = 0

    @property
    def total_tokens(self) -> int:
        """Input and output."""
        return self.input_tokens + self.output_tokens

    @property
    def prompt_tokens(self) -> int:
        """`input_tokens`, under another usual name."""
        return self.input_tokens

    @property
    def completion_tokens(self) -> int:
        """`output_tokens`, under another usual name."""
        return self.output_tokens


@dataclass(frozen=True, slots=True)
class ToolCall:
    """One call that the agent asked for, and what became of it."""

    call_id: str
    tool_name: str
    args: dict[str, Any]
    """What it ran with, if it ran: an approver may have changed what the model proposed."""
    state: CallState = "open"
    result: Any = None
    """What the tool returned."""
    error: str | None = None
    """Why it failed, as the model reads it; of a rejected call, the approver's reason."""


@dataclass(frozen=True, slots=True)
class AgentResult:
    """A run up to its last event."""

    execution_id: str
    status: Status
    events: tuple[AgentEvent, ...] = field(repr=False)
    totals: Totals
    output: Any = None
    """The answer: an `output_type` where the agent has one and the answer fits, else JSON or text."""
    output_error: str | None = None
    """Why `output` is not of the agent's `output_type`."""
    error: Failure | None = None
    """Why the run failed."""

    @property
    def is_success(self) -> bool:
        """Whether the run gave an answer, of the shape that was asked for."""
        return self.status == "completed" and self.output_error is None

    @property
    def is_failed(self) -> bool:
        """Whether the run ended without an answer."""
        return self.status in ("failed", "cancelled")

    @property
    def usage(self) -> TokenUsage:
        """The tokens of all its model calls."""
        used = [event.data.usage for event in self.events if isinstance(event.data, e.ModelReplied)]
        return TokenUsage(
            sum(one.input_tokens for one in used),
            sum(one.output_tokens for one in used),
            sum(one.cache_read_tokens for one in used),
            sum(one.cache_write_tokens for one in used),
        )

    @property
    def tool_calls(self) -> tuple[ToolCall, ...]:
        """Every call that the agent asked for, in order."""
        calls: dict[str, ToolCall] = {}
        for event in self.events:
            if event.call_id is not None:
                calls[event.call_id] = _call_after(calls.get(event.call_id), event)
        return tuple(calls.values())

    @property
    def messages(self) -> tuple[Message, ...]:
        """The conversation: `role` is `user`, `assistant` or `tool`; in the order in which it happened."""
        model_ids = {
            call.call_id: call.model_call_id
            for event in self.events
            if isinstance(event.data, e.ModelReplied)
            for call in event.data.tool_calls
        }
        found = (_message(event.data, model_ids) for event in self.events)
        return tuple(message for message in found if message is not None)

    def events_of(self, kind: EventType | str) -> tuple[AgentEvent, ...]:
        """The events of one type, in order."""
        return tuple(event for event in self.events if event.type == kind)


def result_of(events: Iterable[AgentEvent], agent: Agent | None) -> AgentResult:
    """The result that these events of one run make (at least one); `agent` knows the type of the output."""
    seen = tuple(events)
    last = seen[-1]
    output, output_error, error = None, None, None
    match last.data:
        case Done(output=value, output_error=None) if agent is not None:
            output, output_error = typed_output(agent, value)
        case Done():
            output, output_error = last.data.output, last.data.output_error
        case Failed():
            error = last.data.error
        case _:
            pass
    return AgentResult(last.execution_id, last.status, seen, last.data.totals, output, output_error, error)


def typed_output(agent: Agent, value: Any) -> tuple[Any, str | None]:
    """The answer as the agent's `output_type`; or as it is, and why it does not fit."""
    try:
        return agent.read_output(value), None
    except ValidationError as error:
        return value, f"the answer does not fit {agent.output_type!r}: {describe(error)}"


def _call_after(call: ToolCall | None, event: AgentEvent) -> ToolCall:
    before = call or ToolCall(event.call_id or "", event.tool_name or "", event.args or {})
    args = before.args if event.args is None else event.args
    state, result, error = before.state, before.result, before.error
    match event.data:
        case e.Waiting():
            state = "waiting"
        case e.Approved():
            state = "approved"
        case e.Rejected():
            state, error = "rejected", event.data.reason
        case e.Expired():
            state, error = "expired", "nobody decided in time"
        case e.InDoubt():
            state, error = "in_doubt", event.data.reason
        case e.ToolResult(ok=True):
            state, result, error = "succeeded", event.data.value, None
        case e.ToolResult():
            state, error = "failed", event.reason
        case e.RetryScheduled():
            state = "open"
        case _:
            pass
    return ToolCall(before.call_id, before.tool_name, args, state, result, error)


def _message(event: e.Event, model_ids: dict[str, str]) -> Message | None:
    match event:
        case e.Started():
            return UserMessage(text=event.prompt)
        case e.MessageAdded():
            return UserMessage(text=event.text)
        case e.ModelCalled(ask_again=str(why)):
            return UserMessage(text=why)
        case e.ModelReplied():
            return AssistantMessage(text=event.text, tool_calls=event.tool_calls)
        case e.ToolResult():
            return _tool_message(event, model_ids, value=event.value, error=event.error)
        case e.Rejected():
            return _tool_message(event, model_ids, error=Failure(kind="rejected", message=event.reason or "rejected"))
        case e.Expired():
            return _tool_message(event, model_ids, error=Failure(kind="expired", message="nobody decided in time"))
        case _:
            return None


def _tool_message(event: e.ToolResult | e.Rejected | e.Expired, model_ids: dict[str, str], **what: Any) -> ToolMessage:
    model_call_id = model_ids.get(event.call_id, "")
    return ToolMessage(call_id=event.call_id, model_call_id=model_call_id, tool=event.tool, **what)
