"""What a request for a decision is, folded from its execution's events. Pure."""

from collections.abc import Iterable, Sequence

from agentspan_approvals.decision_ids import DecisionId
from agentspan_schemas import events as e
from agentspan_schemas.answers import Refused
from agentspan_schemas.approvals import MAX_ATTEMPTS, ApprovalRecord, ApprovalState, DecisionOutcome

OPEN: frozenset[ApprovalState] = frozenset({"pending", "in_doubt"})
"""The states in which a person is awaited."""

RELEVANT: frozenset[str] = e.ENDS | {
    "waiting", "approved", "rejected", "expired", "in_doubt", "tool_result", "retry_scheduled",
}  # fmt: skip
"""The types of the events that make a request or change one; a reader need not decode the others."""

REQUESTING: frozenset[str] = frozenset({"waiting", "in_doubt"})
"""Those of them that may make one, or open it again; the others mean nothing to an execution without an open one."""


def fold(records: Iterable[ApprovalRecord], event: e.Event) -> Sequence[ApprovalRecord]:
    """Those of the execution's records that the event makes or changes, as they are after it."""
    known = tuple(records)
    match event:
        case e.Waiting():
            return [_requested(event, "pending")]
        case e.InDoubt() if all(record.call_id != event.call_id for record in known):
            return [_requested(event, "in_doubt")]
        case _:
            return [after for record in known if (after := _changed(record, event)) is not None]


def fold_refusal(records: Iterable[ApprovalRecord], note: Refused) -> Sequence[ApprovalRecord]:
    """The request on which a refused decision of another service leaves its outcome."""
    named = DecisionId.parse(note.command_id, note.by)
    if named is None:
        return []
    refusal = note.refusal
    outcome = DecisionOutcome(
        decision_id=named.decision_id,
        by=named.by,
        at=note.at,
        accepted=False,
        code=refusal.code,
        message=refusal.message,
        winner=refusal.winner,
    )
    return [_attempted(record, outcome) for record in records if record.call_id == named.call_id]


def _requested(event: e.Waiting | e.InDoubt, state: ApprovalState) -> ApprovalRecord:
    """A call needs a person for the first time: before it runs, or, where nobody must approve it, in doubt."""
    fields = vars(event)  # not getattr: a model takes two microseconds to say that it has no such field
    return ApprovalRecord.of(
        approval_id=event.approval_id,
        execution_id=event.execution_id,
        call_id=event.call_id,
        seq=event.seq,
        state=state,
        agent=event.agent,
        agent_version=event.agent_version,
        tool=event.tool,
        args=event.args,
        args_hash=event.args_hash,
        input_schema_hash=fields.get("input_schema_hash", ""),
        attempt=fields.get("attempt"),
        reason=fields.get("reason"),
        requested_at=event.at,
        expires_at=fields.get("expires_at"),
    )


def _attempted(record: ApprovalRecord, outcome: DecisionOutcome) -> ApprovalRecord:
    attempts = (*record.attempts, outcome)[-MAX_ATTEMPTS:]
    return record.model_copy(update={"attempts": attempts, "attempts_total": record.attempts_total + 1})


def _changed(record: ApprovalRecord, event: e.Event) -> ApprovalRecord | None:
    """The record after the event, or None where the event is about something else, or was folded before."""
    if event.seq <= record.seq:
        return None
    match event:
        case e.Approved(call_id=record.call_id):
            return _decided(record, event, "approved", policy=event.policy, edited_args=event.edited_args)
        case e.Rejected(call_id=record.call_id):
            return _decided(record, event, "rejected", policy=event.policy)
        case e.Expired(call_id=record.call_id):
            decided = {"decided_at": event.at, "decided_by": "system", "channel": "timer"}
            return _after(record, event, state="expired", **decided)
        case e.InDoubt(call_id=record.call_id):
            return _after(record, event, state="in_doubt", reason=event.reason, attempt=event.attempt)
        case e.ToolResult(call_id=record.call_id) | e.RetryScheduled(call_id=record.call_id):
            return _after(record, event, state="resolved") if record.state == "in_doubt" else None
        case e.Done() | e.Failed() | e.Cancelled():
            return _after(record, event, state="cancelled") if record.state in OPEN else None
        case _:
            return None


def _decided(
    record: ApprovalRecord, event: e.Approved | e.Rejected, state: ApprovalState, **more: object
) -> ApprovalRecord:
    who = {"decided_at": event.at, "decided_by": event.by, "channel": event.channel, "reason": event.reason}
    after = _after(record, event, state=state, **who, **more)
    named = DecisionId.parse(event.causation_id, event.by)
    if named is None:
        return after
    outcome = DecisionOutcome(decision_id=named.decision_id, by=named.by, at=event.at, accepted=True)
    return _attempted(after, outcome)


def _after(record: ApprovalRecord, event: e.Event, *, state: ApprovalState, **changes: object) -> ApprovalRecord:
    ended_at = None if state in OPEN else event.at
    return record.model_copy(update={"seq": event.seq, "state": state, "ended_at": ended_at, **changes})
