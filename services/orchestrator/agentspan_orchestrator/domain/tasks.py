"""What is to be done for an execution now: derived from its state alone, so that it can be derived again."""

from datetime import datetime

from agentspan_orchestrator.domain.state import Call, Execution, ModelStep
from agentspan_schemas.ids import task_key_for
from agentspan_schemas.tasks import ModelTask, Task, ToolTask


def open_tasks(state: Execution, now: datetime) -> tuple[Task, ...]:
    """The tasks that may be worked on at `now`. A paused execution has none; a gated call none before its approval."""
    if state.terminal or state.paused or state.ending is not None:
        return ()
    tools = tuple([_tool_task(state, call) for call in state.calls if call.phase == "open" and _due(call, now)])
    step = state.model_step
    return (*tools, _model_task(state, step)) if step is not None and _due(step, now) else tools


def has_work(state: Execution) -> bool:
    """Whether something of it is to be done, now or at a retry's time, or is being done under a grant."""
    if state.terminal:
        return False
    return state.model_step is not None or any(call.phase in ("open", "granted") for call in state.calls)


def granted_keys(state: Execution) -> tuple[str, ...]:
    """The task keys of the granted calls that are out: they have no task, but somebody must hold them."""
    granted = [call for call in state.calls if call.phase == "granted"]
    return tuple([task_key_for(state.execution_id, call.call_id, call.attempt) for call in granted])


def _due(step: Call | ModelStep, now: datetime) -> bool:
    return step.not_before is None or step.not_before <= now


def _tool_task(state: Execution, call: Call) -> ToolTask:
    return ToolTask.of(
        execution_id=state.execution_id,
        agent=state.agent,
        agent_version=state.agent_version,
        attempt=call.attempt,
        opened_at=call.opened_at,
        metadata=state.metadata,
        call_id=call.call_id,
        tool=call.tool,
        args=call.args,
        args_hash=call.args_hash,
        effects=call.effects,
        input_schema_hash=call.input_schema_hash,
        timeout_s=call.timeout_s,
    )


def _model_task(state: Execution, step: ModelStep) -> ModelTask:
    return ModelTask.of(
        execution_id=state.execution_id,
        agent=state.agent,
        agent_version=state.agent_version,
        attempt=step.attempt,
        opened_at=step.opened_at,
        metadata=state.metadata,
        turn=step.turn,
        messages=state.messages,
        source=state.source,
        key=state.key,
    )
