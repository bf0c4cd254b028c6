"""The model's side of an execution: its start, what a reply leads to, and what comes next when a turn is over."""

from pydantic import JsonValue
from pydantic_core import from_json

from agentspan_orchestrator.domain import rules
from agentspan_orchestrator.domain.outcome import Draft, refuse
from agentspan_schemas import Failure, NotCanonical
from agentspan_schemas import commands as c
from agentspan_schemas import events as e
from agentspan_schemas.agents import AgentDefinition, ToolDefinition
from agentspan_schemas.answers import Refusal
from agentspan_schemas.canonical import args_hash
from agentspan_schemas.ids import approval_id_for, call_id_for
from agentspan_schemas.messages import RequestedCall


def start(draft: Draft, command: c.Start, definition: AgentDefinition) -> None:
    """The first event, and the first model call."""
    timeout_s = command.timeout_s or definition.timeout_s
    draft.begin(
        e.Started,
        agent=command.agent,
        agent_version=command.agent_version,
        prompt=command.prompt,
        requested_by=command.requested_by,
        source=command.source,
        key=command.key,
        metadata=command.metadata,
        content_hash=command.content_hash,
        model=definition.model,
        deadline_at=rules.later(draft.now, timeout_s) if timeout_s else None,
    )
    proceed(draft, definition)


def model_replied(draft: Draft, command: c.ModelReply, definition: AgentDefinition) -> Refusal | None:
    """The first valid reply of any attempt wins: its calls are proposed, or its text is the answer."""
    if stale := _stale(draft, command.turn):
        return stale
    requested = tuple(
        RequestedCall.of(
            call_id=call_id_for(command.turn, index),
            model_call_id=asked.model_call_id,
            tool=asked.tool,
            args=asked.args,
        )
        for index, asked in enumerate(command.tool_calls)
    )
    draft.emit(
        e.ModelReplied,
        turn=command.turn,
        attempt=command.attempt,
        model=command.model,
        text=command.text,
        tool_calls=requested,
        blocks=command.blocks,
        stop_reason=command.stop_reason,
        usage=command.usage,
        worker=command.worker,
        began_at=command.began_at,
        duration_ms=command.duration_ms,
    )
    for request, asked in zip(requested, command.tool_calls, strict=True):
        _propose(draft, command.turn, request, asked.args_error, definition)
    if not requested:
        _answer(draft, command.text, definition)
    return None


def model_failed(draft: Draft, command: c.ModelFailed) -> Refusal | None:
    """Try again later, as the provider asks or with a growing pause; or give the execution up."""
    step = draft.state.model_step
    if stale := _stale(draft, command.turn):
        return stale
    if step is None or command.attempt != step.attempt:
        return refuse("stale", f"attempt {command.attempt} of turn {command.turn} is over; nothing to do")
    if (final := _final(command)) is not None:
        draft.emit(e.Failed, error=final)
        return None
    longest_s = rules.LONGEST_MENDING_S if _is_mended_by_people(command) else rules.LONGEST_BACKOFF_S
    pause = rules.backoff(command.execution_id, f"model-{command.turn}", command.attempt, longest_s)
    draft.emit(
        e.RetryScheduled,
        turn=command.turn,
        attempt=command.attempt + 1,
        retry_at=rules.later(draft.now, max(pause.total_seconds(), command.retry_after_s or 0)),
        reason="error",
        error=command.error,
    )
    return None


def _final(command: c.ModelFailed) -> Failure | None:
    """With what the execution ends; None where the model is asked again."""
    attempts = rules.MODEL_ATTEMPTS if command.retryable else 1
    if command.attempt >= (rules.MENDING_ATTEMPTS if _is_mended_by_people(command) else attempts):
        return command.error
    asked_s = command.retry_after_s or 0
    return _asked_for_too_long(command.error, asked_s) if asked_s > rules.LONGEST_ASKED_S else None


def _is_mended_by_people(command: c.ModelFailed) -> bool:
    """Whether somebody has to see to the server or its account first, and work that was done would be lost."""
    return command.turn > 1 and command.error.kind in rules.MENDED_BY_PEOPLE


def _asked_for_too_long(error: Failure, asked_s: float) -> Failure:
    why = f"it asks to be left alone for {asked_s:g} s, and a run waits at most {rules.LONGEST_ASKED_S:g} s for it"
    return Failure(kind=error.kind, message=f"{error.message}; {why}: start it again then")


def model_lost(draft: Draft, command: c.ReportLost) -> Refusal | None:
    """Nobody works on the model call any more: the next attempt may be handed out at once."""
    step = draft.state.model_step
    if step is None or f"model-{step.turn}" != command.step or step.attempt != command.attempt:
        return refuse("stale", f"attempt {command.attempt} of {command.step} is over; nothing to do")
    if step.losses + 1 >= rules.LOST_ATTEMPTS:
        message = f"the model call was lost {rules.LOST_ATTEMPTS} times; look for what ends its workers"
        draft.emit(e.Failed, error=Failure(kind="lost", message=message))
        return None
    draft.emit(e.RetryScheduled, turn=step.turn, attempt=step.attempt + 1, retry_at=draft.now, reason=command.reason)
    return None


def proceed(draft: Draft, definition: AgentDefinition) -> None:
    """What comes next once a command's own events are drafted: the end that was asked for, or the next turn."""
    s = draft.state
    if s.terminal:
        return
    if s.ending is not None:
        if not s.out:
            _end(draft)
        return
    if not s.paused and s.model_step is None and all(call.phase == "done" for call in s.calls):
        _next_turn(draft, definition)


def _stale(draft: Draft, turn: int) -> Refusal | None:
    step = draft.state.model_step
    if step is None or step.turn != turn:
        return refuse("stale", f"turn {turn} of the model is over; nothing to do")
    return None


def _next_turn(draft: Draft, definition: AgentDefinition, ask_again: str | None = None) -> None:
    s = draft.state
    turn = s.totals.turns + 1
    if turn > definition.max_turns:
        message = f"no answer after {definition.max_turns} turns; raise max_turns of agent {s.agent!r} if it needs more"
        draft.emit(e.Failed, error=Failure(kind="max_turns", message=message))
        return
    heard = len(s.messages) + len(s.calls) + len(s.inbox) + bool(ask_again)
    draft.emit(e.ModelCalled, turn=turn, attempt=1, model=s.model, messages=heard, ask_again=ask_again)


def _end(draft: Draft) -> None:
    ending = draft.state.ending
    if ending is None:
        return
    if ending.cause == "timeout":
        draft.emit(e.Failed, error=Failure(kind="timeout", message=ending.reason or "the execution's time was up"))
    else:
        draft.emit(e.Cancelled, by=ending.by, channel=ending.channel, reason=ending.reason)


def _propose(
    draft: Draft, turn: int, request: RequestedCall, args_error: str | None, definition: AgentDefinition
) -> None:
    """A call becomes visible before anything runs; one that cannot run is answered at once, and asks nobody."""
    tool = definition.tool(request.tool)
    seen_hash, problem = _checked(draft, request, args_error, tool, definition)
    gated = tool is not None and tool.approval_required and problem is None
    draft.emit(
        e.ToolCall,
        turn=turn,
        call_id=request.call_id,
        model_call_id=request.model_call_id,
        tool=request.tool,
        args=request.args,
        args_hash=seen_hash,
        approval_required=gated,
        effects=tool.effects if tool else "idempotent",
        timeout_s=tool.timeout_s if tool else None,
        max_attempts=1 + tool.retries if tool else 1,
        input_schema_hash=tool.input_schema_hash if tool else "",
    )
    if problem is not None:
        draft.emit(e.ToolResult, call_id=request.call_id, tool=request.tool, ok=False, error=problem, attempt=0)
    elif gated and tool is not None:
        expires_s = tool.approval_expires_s
        draft.emit(
            e.Waiting,
            approval_id=approval_id_for(draft.command.execution_id, request.call_id),
            call_id=request.call_id,
            tool=request.tool,
            args=request.args,
            args_hash=seen_hash,
            input_schema_hash=tool.input_schema_hash,
            expires_at=rules.later(draft.now, expires_s) if expires_s else None,
        )


def _checked(
    draft: Draft,
    request: RequestedCall,
    args_error: str | None,
    tool: ToolDefinition | None,
    definition: AgentDefinition,
) -> tuple[str, Failure | None]:
    """The hash of the call's arguments ("" where they have none), and why it cannot run."""
    try:
        seen_hash, no_hash = args_hash(request.args), None
    except NotCanonical as error:
        seen_hash, no_hash = "", Failure(kind="invalid_args", message=str(error))
    if tool is None:
        known = ", ".join(sorted(t.name for t in definition.tools)) or "none"
        message = f"there is no tool {request.tool!r}; the tools are: {known}"
        return seen_hash, Failure(kind="unknown_tool", message=message)
    return seen_hash, no_hash or _problem(draft, request, args_error, tool)


def _problem(draft: Draft, request: RequestedCall, args_error: str | None, tool: ToolDefinition) -> Failure | None:
    if args_error is not None:
        return Failure(kind="invalid_args", message=f"the arguments of {tool.name!r} can't be read: {args_error}")
    if problem := rules.schema_problem(request.args, tool.input_schema):
        return Failure(kind="invalid_args", message=f"the arguments of {tool.name!r} break its schema: {problem}")
    if problem := rules.task_problem(request.args, draft.state.metadata):
        return Failure(kind="too_large", message=f"the arguments of {tool.name!r} are too large: {problem}")
    return None


def _answer(draft: Draft, text: str, definition: AgentDefinition) -> None:
    """The reply asks for nothing: it is the answer, unless its shape is wrong and the model may mend it.

    A message that came in meanwhile is answered first, where a turn is left for it. An output that stays wrong ends
    the run as text, with the error beside it: what the tools did is done, and the text is not lost.
    """
    turns_left = draft.state.totals.turns < definition.max_turns
    if draft.state.ending is not None or (draft.state.inbox and turns_left):
        return
    if definition.output_schema is None:
        draft.emit(e.Done, output=text)
        return
    output, problem = read_output(text, definition)
    if problem is None:
        draft.emit(e.Done, output=output)
    elif draft.state.output_asks < rules.OUTPUT_ASKS and turns_left:
        _next_turn(draft, definition, ask_again=_ask_again(problem))
    else:
        draft.emit(e.Done, output=text, output_error=problem)


def read_output(text: str, definition: AgentDefinition) -> tuple[JsonValue, str | None]:
    """The answer as the output schema wants it, and what is wrong with it: `(value, None)` or `(text, problem)`."""
    body = text.strip()
    if body.startswith("```") and body.endswith("```"):
        body = body[3:-3].removeprefix("json").strip()
    try:
        value = from_json(body, allow_inf_nan=False)
    except ValueError as error:
        return text, f"not JSON: {error}"
    problem = rules.wire_problem(value) or rules.schema_problem(value, definition.output_schema or {})
    return (text, problem) if problem else (value, None)


def _ask_again(problem: str) -> str:
    return f"Your answer does not have the shape that was asked for ({problem}). Answer again with only that JSON."
