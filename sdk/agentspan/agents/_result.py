"""What came of a run: folded from its events, so that a finished run, a waiting one and a mock run look the same."""

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

from pydantic import ValidationError

from agentspan.agents._agent import Agent
from agentspan.agents._events import AgentEvent, EventType
from agentspan_schemas import Failure
from agentspan_schemas.codec import describe
from agentspan_schemas.events import Done, Failed, Status, Totals


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
    def tool_calls(self) -> tuple[AgentEvent, ...]:
        """The `tool_call` events, in order."""
        return tuple(event for event in self.events if event.type is EventType.TOOL_CALL)


def result_of(events: Iterable[AgentEvent], agent: Agent | None) -> AgentResult:
    """The result that these events of one run make (at least one); `agent` knows the type of the output."""
    seen = tuple(events)
    last = seen[-1]
    output, output_error, error = None, None, None
    match last.data:
        case Done(output=value, output_error=None) if agent is not None:
            output, output_error = _typed(agent, value)
        case Done():
            output, output_error = last.data.output, last.data.output_error
        case Failed():
            error = last.data.error
        case _:
            pass
    return AgentResult(last.execution_id, last.status, seen, last.data.totals, output, output_error, error)


def _typed(agent: Agent, value: Any) -> tuple[Any, str | None]:
    try:
        return agent.read_output(value), None
    except ValidationError as error:
        return value, f"the answer does not fit {agent.output_type!r}: {describe(error)}"
