"""The tools' side of an execution: decisions, claims, results, lost workers, doubt and its resolution."""

from datetime import datetime, timedelta

from agentspan_orchestrator.domain import rules
from agentspan_orchestrator.domain.outcome import Draft, refuse
from agentspan_orchestrator.domain.state import Call
from agentspan_schemas import Failure, JsonObject, NotCanonical
from agentspan_schemas import commands as c
from agentspan_schemas import events as e
from agentspan_schemas.agents import AgentDefinition
from agentspan_schemas.answers import Refusal, Winner, verdict
from agentspan_schemas.canonical import args_hash
from agentspan_schemas.ids import approval_id_for


def decided(draft: Draft, command: c.Decide, definition: AgentDefinition) -> Refusal | None:
    """The first decision wins, and only on the args that were seen."""
    s, call = draft.state, draft.state.call(command.call_id)
    if winner := s.winners.get(command.call_id):
        return already_decided(command.call_id, winner)
    if call is None:
        return _unknown_call(draft, command.call_id)
    if s.ending is not None:
        return refuse("finished", "the execution is ending; nothing would come of a decision")
    if call.phase != "waiting":
        return refuse("not_gated", f"call {command.call_id!r} of {call.tool!r} waits for no decision")
    if call.expires_at is not None and call.expires_at <= draft.now:  # its timer has not fired yet
        expired = Winner.of(by="system", decision="expired", at=call.expires_at, channel="timer")
        return already_decided(command.call_id, expired)
    if command.args_hash != call.args_hash:
        seen = f"you saw {command.args_hash[:12]}…, the call has {call.args_hash[:12]}…"
        return refuse("args_changed", f"this decision is about other arguments ({seen}); look at the call again")
    if command.decision == "reject":
        draft.emit(
            e.Rejected,
            approval_id=approval_id_for(command.execution_id, call.call_id),
            call_id=call.call_id,
            tool=call.tool,
            by=command.by,
            channel=command.channel,
            reason=command.reason,
            seen_args_hash=command.args_hash,
            policy=command.policy,
        )
        return None
    return _approve(draft, command, call, definition)


def already_decided(call_id: str, winner: Winner) -> Refusal:
    """What whoever decides second is told, also when the execution has ended since: who was first."""
    told = f"{verdict(winner.decision, winner.by)} at {winner.at.isoformat(timespec='seconds')}"
    return refuse("already_decided", f"call {call_id!r} {told}; nothing changed", winner)


def _approve(draft: Draft, command: c.Decide, call: Call, definition: AgentDefinition) -> Refusal | None:
    args = call.args if command.edited_args is None else command.edited_args
    if problem := _edited_problem(draft, command, call, args, definition):
        return refuse("invalid_args", f"the edited arguments of {call.tool!r} can't be used: {problem}")
    draft.emit(
        e.Approved,
        approval_id=approval_id_for(command.execution_id, call.call_id),
        call_id=call.call_id,
        tool=call.tool,
        by=command.by,
        channel=command.channel,
        reason=command.reason,
        seen_args_hash=command.args_hash,
        edited_args=command.edited_args,
        args=args,
        args_hash=call.args_hash if command.edited_args is None else args_hash(args),
        policy=command.policy,
    )
    return None


def _edited_problem(
    draft: Draft, command: c.Decide, call: Call, args: JsonObject, definition: AgentDefinition
) -> str | None:
    tool = definition.tool(call.tool)
    if command.edited_args is None or tool is None:
        return None
    try:
        args_hash(args)
    except NotCanonical as error:
        return str(error)
    return rules.schema_problem(args, tool.input_schema) or rules.task_problem(args, draft.state.metadata)


def claimed(draft: Draft, command: c.Claim) -> Refusal | None:
    """The grant of a `once` call. From here on its code may run; it is never granted twice at a time."""
    s, call = draft.state, draft.state.call(command.call_id)
    if call is None:
        return _unknown_call(draft, command.call_id)
    if s.ending is not None:
        return refuse("finished", "the execution is ending; do not run this call")
    if s.paused:
        return refuse("paused", "the execution is paused; do not run this call")
    if call.phase in ("granted", "in_doubt"):
        return refuse("already_claimed", f"call {call.call_id!r} was granted to another claim; do not run it")
    if call.phase != "open" or call.effects != "once" or command.attempt != call.attempt:
        return refuse("stale", f"attempt {command.attempt} of call {call.call_id!r} is not open; do not run it")
    draft.emit(
        e.ToolStarted,
        call_id=call.call_id,
        tool=call.tool,
        attempt=call.attempt,
        claim_id=command.claim_id,
        worker=command.worker,
        grant_s=rules.GRANT_S,
    )
    return None


def declined(draft: Draft, command: c.Decline) -> Refusal | None:
    """The code has not started under this claim and never will: another attempt may."""
    call = draft.state.call(command.call_id)
    if call is None:
        return _unknown_call(draft, command.call_id)
    if call.grant is None or call.grant.claim_id != command.claim_id:
        return refuse("stale", f"claim {command.claim_id!r} holds no grant; nothing to decline")
    _not_run(draft, call, reason="declined", by=command.worker)
    return None


def resolved(draft: Draft, command: c.Resolve) -> Refusal | None:
    """A person or a reconciler says what became of a call in doubt."""
    call = draft.state.call(command.call_id)
    winner = draft.state.winners.get(command.call_id)
    if call is None and winner is None:
        return _unknown_call(draft, command.call_id)
    if call is None or call.phase != "in_doubt" or call.grant is None:
        return refuse("not_in_doubt", f"call {command.call_id!r} is not in doubt; nothing to resolve", winner)
    if command.attempt != call.attempt:
        looked = f"you looked into attempt {command.attempt} of call {call.call_id!r}"
        return refuse("stale", f"{looked}, and attempt {call.attempt} is in doubt now; look into that one")
    if command.outcome == "not_run":
        _not_run(draft, call, reason="resolved", by=command.by)
        return None
    default = Failure(kind="failed", message=command.reason or f"{call.tool} failed, says {command.by}")
    draft.emit(
        e.ToolResult,
        call_id=call.call_id,
        tool=call.tool,
        ok=command.outcome == "succeeded",
        value=command.value,
        error=None if command.outcome == "succeeded" else command.error or default,
        attempt=call.attempt,
        claim_id=call.grant.claim_id,
        worker=call.grant.worker,
        resolved_by=command.by,
        reason=command.reason,
    )
    return None


def _not_run(draft: Draft, call: Call, *, reason: str, by: str) -> None:
    """The granted code never ran: the next attempt opens, or, when the execution is ending, the call is over."""
    if draft.state.ending is None:
        _retry(draft, call, reason=reason, by=by)
        return
    error = Failure(kind="not_run", message=f"{call.tool} was not run: the execution is ending")
    _close(draft, call, error, by=by if reason == "resolved" else None)


def returned(draft: Draft, command: c.ReturnResult) -> Refusal | None:
    """A tool came back. A call has one result, the first valid one; a late one of a granted claim still counts."""
    call = draft.state.call(command.call_id)
    if call is None:
        return _unknown_call(draft, command.call_id)
    if refusal := _result_refusal(command, call):
        return refusal
    if not command.ok and _may_retry(command, call):
        _retry(
            draft,
            call,
            reason="error",
            retry_at=draft.now + rules.backoff(command.execution_id, call.call_id, call.attempt),
            error=command.error,
        )
        return None
    draft.emit(
        e.ToolResult,
        call_id=call.call_id,
        tool=call.tool,
        ok=command.ok,
        value=command.value,
        error=command.error,
        attempt=command.attempt,
        claim_id=command.claim_id,
        worker=command.worker,
        began_at=command.began_at,
        duration_ms=command.duration_ms,
    )
    return None


def _result_refusal(command: c.ReturnResult, call: Call) -> Refusal | None:
    if call.phase == "done":
        return refuse("stale", f"call {call.call_id!r} has its result or was resolved; this one is kept on the log")
    if call.phase == "waiting":
        return refuse("stale", f"call {call.call_id!r} waits for a decision; it must not have run")
    if call.effects == "idempotent":
        if command.attempt > call.attempt:
            return refuse("stale", f"attempt {command.attempt} of call {call.call_id!r} was never handed out")
        if command.attempt < call.attempt and not command.ok:
            # the next attempt may be about to succeed; the model would then act on an error that is none
            later = f"attempt {command.attempt} of call {call.call_id!r} failed, but attempt {call.attempt} is out"
            return refuse("stale", later)
        return None
    grant = call.granted(command.claim_id)
    if grant is None:
        return refuse(
            "stale", f"claim {command.claim_id!r} holds no grant for call {call.call_id!r}; its result is kept"
        )
    if call.grant is not None and call.grant.claim_id != grant.claim_id:
        return refuse("already_claimed", f"call {call.call_id!r} was granted to a later claim; this result is kept")
    return None


def _may_retry(command: c.ReturnResult, call: Call) -> bool:
    return call.effects == "idempotent" and command.attempt == call.attempt < call.max_attempts


def lost(draft: Draft, command: c.ReportLost) -> Refusal | None:
    """Nobody holds the call any more: an idempotent one is run again, a granted one is in doubt."""
    call = draft.state.call(command.step)
    if call is None:
        return _unknown_call(draft, command.step)
    if command.attempt != call.attempt or call.phase not in ("open", "granted"):
        return refuse("stale", f"attempt {command.attempt} of call {call.call_id!r} is over; nothing to do")
    if call.grant is not None:
        return _granted_lost(draft, command, call)
    if call.effects == "once":
        return refuse("nothing_to_do", f"call {call.call_id!r} was not granted: it is simply handed out again")
    if call.losses + 1 >= rules.LOST_ATTEMPTS:
        message = f"{call.tool} lost its worker {rules.LOST_ATTEMPTS} times; it may be what ends them"
        _close(draft, call, Failure(kind="lost", message=message))
        return None
    _retry(draft, call, reason=command.reason)
    return None


def _granted_lost(draft: Draft, command: c.ReportLost, call: Call) -> Refusal | None:
    grant = call.grant
    if grant is None or (command.claim_id is not None and command.claim_id != grant.claim_id):
        return refuse("stale", f"claim {command.claim_id!r} holds no grant; nothing to do")
    if draft.now < grant.at + timedelta(seconds=rules.GRANT_S):
        return refuse("nothing_to_do", f"the grant of call {call.call_id!r} is younger than {rules.GRANT_S:g} s")
    in_doubt(draft, call, _doubt(command, grant.worker))
    return None


def in_doubt(draft: Draft, call: Call, reason: str) -> None:
    """The code of a granted call may have run, or not: from here on only a result or a resolution tells."""
    grant = call.grants[-1]
    draft.emit(
        e.InDoubt,
        approval_id=approval_id_for(draft.command.execution_id, call.call_id),
        call_id=call.call_id,
        tool=call.tool,
        args=call.args,
        args_hash=call.args_hash,
        attempt=call.attempt,
        claim_id=grant.claim_id,
        worker=grant.worker,
        reason=reason,
    )


def _doubt(command: c.ReportLost, worker: str) -> str:
    if command.reason == "timeout":
        return f"worker {worker!r} did not answer in the tool's time; find out whether it ran, then resolve the call"
    return f"worker {worker!r} was lost after its grant; find out whether the call ran, then resolve it"


def _retry(
    draft: Draft,
    call: Call,
    *,
    reason: str,
    retry_at: datetime | None = None,
    error: Failure | None = None,
    by: str | None = None,
) -> None:
    """The call's next attempt opens, at once unless a time is given."""
    draft.emit(
        e.RetryScheduled,
        turn=call.turn,
        call_id=call.call_id,
        tool=call.tool,
        attempt=call.attempt + 1,
        retry_at=retry_at or draft.now,
        reason=reason,
        error=error,
        by=by,
    )


def _close(draft: Draft, call: Call, error: Failure, by: str | None = None) -> None:
    draft.emit(
        e.ToolResult,
        call_id=call.call_id,
        tool=call.tool,
        ok=False,
        error=error,
        attempt=call.attempt,
        claim_id=call.grant.claim_id if call.grant else None,
        resolved_by=by,
    )


def _unknown_call(draft: Draft, call_id: str) -> Refusal:
    s = draft.state
    known = ", ".join(repr(call.call_id) for call in s.calls) or "none"
    return refuse("unknown_call", f"execution {s.execution_id!r} has no open call {call_id!r}; its calls now: {known}")
