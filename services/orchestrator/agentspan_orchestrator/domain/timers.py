"""What an execution waits for by the clock: every moment at which the owner must look at it again."""

from dataclasses import dataclass
from datetime import datetime

from agentspan_orchestrator.domain import calls, rules
from agentspan_orchestrator.domain.outcome import Draft, refuse
from agentspan_orchestrator.domain.state import Call, Execution
from agentspan_schemas import Failure
from agentspan_schemas import commands as c
from agentspan_schemas import events as e
from agentspan_schemas.answers import Refusal
from agentspan_schemas.ids import approval_id_for


@dataclass(frozen=True, slots=True)
class Timer:
    """A moment, absolute and in UTC. A `retry` only opens a task; the others fire a command at the core."""

    timer_id: str
    due: datetime

    @property
    def fires(self) -> bool:
        """Whether the owner sends FireTimer when it is due."""
        return not self.timer_id.startswith("retry:")


def timers(state: Execution) -> tuple[Timer, ...]:
    """All timers of the execution, in no order."""
    if state.terminal:
        return ()
    found = [timer for call in state.calls if (timer := _of_call(call))]
    step = state.model_step
    if step is not None and step.not_before is not None:
        found.append(Timer(f"retry:model-{step.turn}/{step.attempt}", step.not_before))
    if state.deadline_at is not None and state.ending is None:
        found.append(Timer("deadline", state.deadline_at))
    return tuple(found)


def next_due(state: Execution, after: datetime | None = None) -> datetime | None:
    """The first moment, later than `after`, at which something is due."""
    return min([t.due for t in timers(state) if t.fires or after is None or t.due > after], default=None)


def due_commands(state: Execution, now: datetime) -> tuple[c.FireTimer, ...]:
    """The commands of the timers that are due; a second fire is a duplicate command."""
    return tuple(
        c.FireTimer(
            command_id=f"timer:{timer.timer_id}",
            execution_id=state.execution_id,
            timer_id=timer.timer_id,
            due=timer.due,
        )
        for timer in timers(state)
        if timer.fires and timer.due <= now
    )


def fired(draft: Draft, command: c.FireTimer) -> Refusal | None:
    """A moment has come. One whose reason is gone, or that is not yet due, changes nothing."""
    timer = next((t for t in timers(draft.state) if t.fires and t.timer_id == command.timer_id), None)
    if timer is None or timer.due > draft.now:
        return refuse("stale", f"timer {command.timer_id!r} is not due")
    kind, _, rest = timer.timer_id.partition(":")
    call = draft.state.call(rest.partition("/")[0])
    match kind, call:
        case "expiry", Call():
            _expire(draft, call, timer)
        case "grant", Call():
            _doubt(draft, call)
        case _:
            _time_is_up(draft)
    return None


def _of_call(call: Call) -> Timer | None:
    if call.phase == "waiting" and call.expires_at is not None:
        return Timer(f"expiry:{call.call_id}", call.expires_at)
    if call.phase == "open" and call.not_before is not None:
        return Timer(f"retry:{call.call_id}/{call.attempt}", call.not_before)
    if call.phase == "granted" and call.timeout_s is not None and call.grant is not None:
        due = rules.later(call.grant.at, call.timeout_s + rules.GRANT_S)
        return Timer(f"grant:{call.call_id}/{call.attempt}", due)
    return None


def _expire(draft: Draft, call: Call, timer: Timer) -> None:
    draft.emit(
        e.Expired,
        approval_id=approval_id_for(draft.command.execution_id, call.call_id),
        call_id=call.call_id,
        tool=call.tool,
        expires_at=timer.due,
    )


def _doubt(draft: Draft, call: Call) -> None:
    calls.in_doubt(
        draft, call, f"no result within {call.timeout_s:g} s; find out whether the call ran, then resolve it"
    )


def _time_is_up(draft: Draft) -> None:
    """The execution's own deadline: it fails now, or with the result of the granted call that is out."""
    s = draft.state
    reason = f"no answer until {s.deadline_at.isoformat(timespec='seconds') if s.deadline_at else 'its deadline'}"
    if s.out:
        draft.emit(e.CancelRequested, by="system", channel="timer", reason=reason, cause="timeout")
    else:
        draft.emit(e.Failed, error=Failure(kind="timeout", message=reason))
