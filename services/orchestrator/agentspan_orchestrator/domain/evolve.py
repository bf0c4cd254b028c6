"""The fold: what each event makes of an execution. Total: it never refuses and never raises.

What must not happen is prevented by `decide`; a history that exists is true, and old ones fold for ever.
"""

from typing import assert_never

from agentspan_orchestrator.domain.copies import change, replace
from agentspan_orchestrator.domain.state import Call, Ending, Execution, Grant, ModelStep, Remembered
from agentspan_schemas import Failure
from agentspan_schemas import events as e
from agentspan_schemas.answers import Note, Refused, Repeated, Winner
from agentspan_schemas.messages import AssistantMessage, Message, ToolMessage, UserMessage

REMEMBERED_COMMANDS = 256
"""How many commands an execution remembers with their answers (DESIGN.md section 4)."""


def evolve(state: Execution | None, event: e.Event) -> Execution:
    """The execution after the event. `state` is None before its first one."""
    before = state or _blank(event)
    answers = remember(before, event.causation_id, Remembered(event.seq))
    after = replace(before, seq=event.seq, at=event.at, answers=answers)
    _apply(after, event)
    _settle(after)
    return after


def evolve_note(state: Execution | None, note: Note) -> Execution | None:
    """The command gets the same answer when it is sent again; nothing else changes.

    A timer's refusal is not remembered: an owner whose clock runs ahead fires it too early, and under the same id it
    must fire again. A repetition is where the command is a second start, under an id of its own.
    """
    if state is None:
        return None
    match note:
        case Refused() if note.command_type != "fire_timer":
            given = Remembered(note.seq, note.refusal)
        case Repeated() if note.command_id not in state.answers:
            given = Remembered(note.answer.seq, note.answer.refusal)
        case _:
            return state
    return replace(state, answers=remember(state, note.command_id, given))


def remember(state: Execution, command_id: str, given: Remembered) -> dict[str, Remembered]:
    """The remembered answers with one more, and the oldest forgotten."""
    answers = {**state.answers, command_id: given}
    while len(answers) > REMEMBERED_COMMANDS:
        del answers[next(iter(answers))]
    return answers


def _apply(s: Execution, event: e.Event) -> None:
    """Change a copy that is nobody else's yet, as all functions below do."""
    match event:
        case e.Started():
            _started(s, event)
        case e.ModelCalled():
            _model_called(s, event)
        case e.ModelReplied():
            _model_replied(s, event)
        case e.ToolCall():
            _tool_called(s, event)
        case e.Waiting():
            _change_call(s, event.call_id, phase="waiting", expires_at=event.expires_at)
        case e.Approved():
            _approved(s, event)
        case e.Rejected():
            _close(s, event.call_id, error=_rejection(event))
            _decide(s, event.call_id, _winner(event, "rejected"))
        case e.Expired():
            _close(s, event.call_id, error=_expiry(event))
            winner = Winner.of(by="system", decision="expired", at=event.at, channel="timer")
            _decide(s, event.call_id, winner)
        case e.ToolStarted():
            _granted(s, event)
        case e.ToolResult():
            _tool_returned(s, event)
        case e.InDoubt():
            _change_call(s, event.call_id, phase="in_doubt")
        case e.RetryScheduled():
            _retry_scheduled(s, event)
        case e.MessageAdded():
            change(s, inbox=(*s.inbox, event.text))
        case e.Paused():
            change(s, paused=True)
        case e.Resumed():
            change(s, paused=False)
        case e.CancelRequested():
            change(s, ending=Ending(event.cause, event.by, event.channel, event.reason))
        case e.Done():
            change(s, status="completed")
        case e.Failed():
            change(s, status="failed")
        case e.Cancelled():
            change(s, status="cancelled")
        case _:
            assert_never(event)


def _blank(event: e.Event) -> Execution:
    """What an execution is before its `started`; a history that begins in the middle folds from here too."""
    return Execution(
        execution_id=event.execution_id,
        seq=0,
        at=event.at,
        agent=event.agent,
        agent_version=event.agent_version,
        started_at=event.started_at,
        status="running",
        totals=e.Totals.of(),
        model="",
        source="",
        key="",
        content_hash="",
    )


def _started(s: Execution, event: e.Started) -> None:
    change(
        s,
        model=event.model,
        source=event.source,
        key=event.key,
        content_hash=event.content_hash,
        metadata=event.metadata,
        deadline_at=event.deadline_at,
        messages=(UserMessage.of(text=event.prompt),),
    )


def _model_called(s: Execution, event: e.ModelCalled) -> None:
    """The model reads what came of the last turn's calls, then what was said from outside."""
    heard = [*s.inbox, *([event.ask_again] if event.ask_again else [])]
    read: tuple[Message, ...] = (*map(_tool_message, s.calls), *[UserMessage.of(text=text) for text in heard])
    change(
        s,
        messages=s.messages + read,
        calls=(),
        inbox=(),
        output_asks=s.output_asks + bool(event.ask_again),
        model_step=ModelStep(event.turn, event.attempt, event.at),
        totals=s.totals.but(turns=event.turn),
    )


def _model_replied(s: Execution, event: e.ModelReplied) -> None:
    message = AssistantMessage.of(text=event.text, tool_calls=event.tool_calls, blocks=event.blocks)
    totals = s.totals.but(
        input_tokens=s.totals.input_tokens + event.usage.input_tokens,
        output_tokens=s.totals.output_tokens + event.usage.output_tokens,
    )
    change(s, messages=(*s.messages, message), model_step=None, totals=totals)


def _tool_called(s: Execution, event: e.ToolCall) -> None:
    call = Call(
        call_id=event.call_id,
        turn=event.turn,
        model_call_id=event.model_call_id,
        tool=event.tool,
        args=event.args,
        args_hash=event.args_hash,
        approval_required=event.approval_required,
        effects=event.effects,
        timeout_s=event.timeout_s,
        max_attempts=event.max_attempts,
        input_schema_hash=event.input_schema_hash,
        phase="waiting" if event.approval_required else "open",
        opened_at=event.at,
    )
    change(s, calls=(*s.calls, call), totals=s.totals.but(tool_calls=s.totals.tool_calls + 1))


def _approved(s: Execution, event: e.Approved) -> None:
    _change_call(
        s,
        event.call_id,
        phase="open",
        opened_at=event.at,
        expires_at=None,
        args=event.args,
        args_hash=event.args_hash,
        edited=event.edited_args is not None,
    )
    _decide(s, event.call_id, _winner(event, "approved"))


def _granted(s: Execution, event: e.ToolStarted) -> None:
    call = s.call(event.call_id)
    grants = call.grants if call else ()
    grant = Grant(event.claim_id, event.attempt, event.worker, event.at)
    _change_call(s, event.call_id, phase="granted", grants=(*grants, grant))


def _tool_returned(s: Execution, event: e.ToolResult) -> None:
    _close(s, event.call_id, value=event.value, error=event.error)
    if event.resolved_by is not None:
        _decide(s, event.call_id, Winner.of(by=event.resolved_by, decision="resolved", at=event.at))


def _retry_scheduled(s: Execution, event: e.RetryScheduled) -> None:
    lost = event.reason in ("lost", "timeout")
    if event.call_id is None:
        losses = (s.model_step.losses if s.model_step else 0) + lost
        change(s, model_step=ModelStep(event.turn, event.attempt, event.at, event.retry_at, losses))
        return
    call = s.call(event.call_id)
    if call is None:
        return
    grants = call.grants
    if event.reason == "declined" and grants:
        grants = (*grants[:-1], replace(grants[-1], declined=True))
    if event.reason == "resolved" and event.by:
        _decide(s, event.call_id, Winner.of(by=event.by, decision="resolved", at=event.at))
    _change_call(
        s,
        event.call_id,
        phase="open",
        attempt=event.attempt,
        opened_at=event.at,
        not_before=event.retry_at,
        losses=call.losses + lost,
        grants=grants,
    )


def _settle(s: Execution) -> None:
    """The status, and the totals with what is waited for: both follow from the rest. What is over needs little more."""
    over = s.terminal
    waiting_on = () if over else tuple([call.tool for call in s.awaited])
    if waiting_on != s.totals.waiting_on:
        change(s, totals=s.totals.but(waiting_on=waiting_on))
    if over:
        _shrink(s)
    else:
        change(s, status="paused" if s.paused else "waiting" if waiting_on else "running")


def _shrink(s: Execution) -> None:
    change(
        s, messages=(), calls=(), inbox=(), metadata={}, model_step=None, ending=None, paused=False, deadline_at=None
    )


def _change_call(s: Execution, call_id: str, **changes: object) -> None:
    calls = [replace(c, **changes) if c.call_id == call_id else c for c in s.calls]  # type: ignore[arg-type]
    change(s, calls=tuple(calls))


def _close(s: Execution, call_id: str, **outcome: object) -> None:
    _change_call(s, call_id, phase="done", expires_at=None, not_before=None, **outcome)


def _decide(s: Execution, call_id: str, winner: Winner) -> None:
    change(s, winners={**s.winners, call_id: winner})


def _winner(event: e.Approved | e.Rejected, decision: str) -> Winner:
    return Winner.of(by=event.by, decision=decision, at=event.at, channel=event.channel)


def _tool_message(call: Call) -> ToolMessage:
    return ToolMessage.of(
        call_id=call.call_id,
        model_call_id=call.model_call_id,
        tool=call.tool,
        value=call.value,
        error=call.error,
        edited_args=call.args if call.edited else None,
    )


def _rejection(event: e.Rejected) -> Failure:
    reason = f" Reason: {event.reason}" if event.reason else ""
    return Failure(kind="rejected", message=f"{event.tool} was not run: {event.by} rejected this call.{reason}")


def _expiry(event: e.Expired) -> Failure:
    when = event.expires_at.isoformat(timespec="seconds")
    return Failure(kind="expired", message=f"{event.tool} was not run: nobody decided this call until {when}.")
