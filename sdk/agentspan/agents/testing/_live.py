"""A real run from its start to its end, with a reviewer who decides what waits: what a recording is made of."""

from collections.abc import Mapping, Sequence
from typing import Any

from agentspan.agents._agent import Agent
from agentspan.agents._events import AgentEvent, EventType
from agentspan.agents._handle import AgentHandle
from agentspan.agents._result import AgentResult, result_of
from agentspan.agents._runtime import AgentRuntime
from agentspan.agents.testing._approvals import PendingCall, Reviewer
from agentspan_orchestrator.domain import Execution, evolve
from agentspan_schemas.events import ModelReplied


def run_live(
    runtime: AgentRuntime,
    agent: Agent,
    prompt: str,
    reviewer: Reviewer,
    *,
    metadata: Mapping[str, Any] | None,
    timeout_s: float | None,
) -> AgentResult:
    """Start a run and follow it until it ends, or until it only waits for people who say nothing."""
    handle = runtime.start(agent, prompt, metadata=metadata, timeout_s=timeout_s)
    events: list[AgentEvent] = []
    state: Execution | None = None
    undecided: set[str] = set()
    for event in handle.stream(after=0):
        events.append(event)
        state = evolve(state, event.data)
        if event.type is EventType.WAITING and not _review(handle, event, reviewer):
            undecided.add(event.call_id or "")
        if _stands_still(state, undecided, _asked(events)):
            break
    return result_of(events, agent)


def _review(handle: AgentHandle, event: AgentEvent, reviewer: Reviewer) -> bool:
    verdict = reviewer.verdict(PendingCall(event.tool_name or "", dict(event.args or {}), event.call_id or ""))
    if verdict is None:
        return False
    if verdict.decision == "approve":
        handle.approve(event.call_id, verdict.reason, verdict.edit)
    else:
        handle.reject(verdict.reason, event.call_id)
    return True


def _asked(events: Sequence[AgentEvent]) -> set[str]:
    """The calls of the current turn, which come one by one behind the reply that asks for them."""
    replies = (event.data for event in reversed(events) if isinstance(event.data, ModelReplied))
    reply = next(replies, None)
    return {call.call_id for call in reply.tool_calls} if reply else set()


def _stands_still(state: Execution, undecided: set[str], asked: set[str]) -> bool:
    """Whether nothing moves before somebody decides, and nobody of those who were given does."""
    if state.model_step is not None or not undecided:
        return False
    over = {call.call_id for call in state.calls if call.phase == "done"}
    return asked <= over | undecided
