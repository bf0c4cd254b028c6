"""From a recorded event back to the command that led to it: what came from outside is asked of the core again.

Events that the core makes by itself (a call, its wait, the answer) have no command: they come of an earlier one.
"""

from datetime import timedelta
from typing import Any

from agentspan.agents.testing._facts import Fact
from agentspan.agents.testing._run import CHANNEL, WORKER, Run
from agentspan.agents.testing._script import ScriptError
from agentspan_orchestrator.domain import GRANT_S, Call, ModelStep
from agentspan_schemas import Failure
from agentspan_schemas import commands as c

_CONTROL: dict[str, type[c.Pause | c.Resume | c.Cancel]] = {
    "paused": c.Pause,
    "resumed": c.Resume,
    "cancelled": c.Cancel,
}


def feed(run: Run, fact: Fact) -> None:
    """Ask the core for what led to this event. Raises ScriptError when nothing can, or it refuses."""
    run.tick()
    match fact.type:
        case "model_replied":
            _reply(run, fact)
        case "approved" | "rejected":
            _decide(run, fact)
        case "expired":
            run.expire(_call(run, fact))
        case "tool_started":
            call = _due(run, _call(run, fact))
            run.claim(call)
        case "tool_result":
            _result(run, fact)
        case "in_doubt":
            _lost(run, _call(run, fact))
        case "retry_scheduled":
            _retry(run, fact)
        case _:
            _of_the_run(run, fact)


def _of_the_run(run: Run, fact: Fact) -> None:
    match fact.type:
        case "message":
            run.ask_core(c.SendMessage, text=fact.text, by=fact.by or "", channel=CHANNEL)
        case "cancel_requested" if fact.cause == "timeout":
            run.time_out()
        case "cancel_requested":
            _control(run, c.Cancel, fact)
        case "failed" if fact.error is not None and fact.error.kind == "timeout":
            run.time_out()
        case "failed":
            step = _step(run)
            error = fact.error or Failure(kind="failed", message="")
            run.ask_core(c.ModelFailed, turn=step.turn, attempt=step.attempt, error=error, retryable=False)
        case control if control in _CONTROL:
            _control(run, _CONTROL[control], fact)
        case _:
            raise ScriptError(f"nothing leads to a {fact.type!r} event now", "record the run again")


def _reply(run: Run, fact: Fact) -> None:
    step = _step(run)
    asked = tuple(
        c.AskedCall(
            model_call_id=f"recorded_{step.turn}_{index}", tool=call.tool, args=call.args, args_error=call.args_error
        )
        for index, call in enumerate(fact.tool_calls)
    )
    said: dict[str, Any] = {"text": fact.text, "stop_reason": fact.stop_reason, "usage": fact.usage}
    if step.not_before is not None:
        run.tick(max(run.now, step.not_before))
    run.ask_core(c.ModelReply, turn=step.turn, attempt=step.attempt, model=run.agent.model, tool_calls=asked, **said)


def _decide(run: Run, fact: Fact) -> None:
    call = _call(run, fact)
    run.ask_core(
        c.Decide,
        call_id=call.call_id,
        decision="approve" if fact.type == "approved" else "reject",
        args_hash=call.args_hash,
        edited_args=fact.edited_args,
        reason=fact.reason,
        by=fact.by or "",
        channel=CHANNEL,
    )


def _result(run: Run, fact: Fact) -> None:
    call = _call(run, fact)
    if fact.resolved_by is not None:
        found = {"outcome": "succeeded" if fact.ok else "failed", "value": fact.value, "error": fact.error}
        _resolve(run, call, fact.resolved_by, fact.reason, found)
    elif fact.error is not None and fact.error.kind == "lost":
        _lost(run, call)
    else:
        _returned(run, _due(run, call), fact)


def _returned(run: Run, call: Call, fact: Fact) -> None:
    run.ask_core(
        c.ReturnResult,
        call_id=call.call_id,
        attempt=call.attempt,
        claim_id=call.grant.claim_id if call.grant else None,
        ok=fact.error is None,
        value=fact.value,
        error=fact.error,
        worker=WORKER,
    )


def _retry(run: Run, fact: Fact) -> None:
    if fact.call_id is None:
        step = _step(run)
        if fact.reason == "error":
            error = fact.error or Failure(kind="failed", message="")
            run.ask_core(c.ModelFailed, turn=step.turn, attempt=step.attempt, error=error, retryable=True)
        else:
            run.ask_core(c.ReportLost, step=f"model-{step.turn}", attempt=step.attempt, reason=fact.reason)
        return
    call = _call(run, fact)
    match fact.reason:
        case "error":
            _returned(run, _due(run, call), fact)
        case "declined" if call.grant is not None:
            claim = {"claim_id": call.grant.claim_id, "worker": WORKER}
            run.ask_core(c.Decline, call_id=call.call_id, attempt=call.attempt, **claim)
        case "resolved":
            _resolve(run, call, fact.by or "", None, {"outcome": "not_run"})
        case reason:
            run.ask_core(c.ReportLost, step=call.call_id, attempt=call.attempt, reason=reason)


def _resolve(run: Run, call: Call, by: str, reason: str | None, found: dict[str, Any]) -> None:
    run.ask_core(c.Resolve, call_id=call.call_id, attempt=call.attempt, by=by, channel=CHANNEL, reason=reason, **found)


def _lost(run: Run, call: Call) -> None:
    run.tick(run.now + timedelta(seconds=GRANT_S))
    run.ask_core(c.ReportLost, step=call.call_id, attempt=call.attempt)


def _control(run: Run, kind: type[c.Pause | c.Resume | c.Cancel], fact: Fact) -> None:
    run.ask_core(kind, by=fact.by or "", channel=CHANNEL, reason=fact.reason)


def _call(run: Run, fact: Fact) -> Call:
    call = run.state.call(fact.call_id or "")
    if call is None:
        raise ScriptError(f"there is no call {fact.call_id!r} now", "record the run again")
    return call


def _due(run: Run, call: Call) -> Call:
    """The call, with the clock turned to its next attempt."""
    if call.not_before is not None:
        run.tick(max(run.now, call.not_before))
    return call


def _step(run: Run) -> ModelStep:
    step = run.state.model_step
    if step is None:
        raise ScriptError("the model is not asked now", "record the run again")
    return step
