"""What the page of one execution tells beside its events: what waits for a person, who decided what, where time went.

A fold of the events alone, so that the exact call that somebody approves is the one that stands on the log. Apart from
`views`, which need only the first and the last event.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from typing import Literal, TypeVar

from agentspan_schemas import JsonObject
from agentspan_schemas import events as e

V = TypeVar("V")

Verdict = Literal["approved", "rejected", "expired", "resolved"]


@dataclass(frozen=True, slots=True, kw_only=True)
class PendingCall:
    """A call that waits for a person: for a decision, or, when `doubt` is set, for word of what became of it."""

    call_id: str
    approval_id: str
    tool: str
    args: JsonObject
    args_hash: str
    since: datetime
    expires_at: datetime | None = None
    doubt: e.InDoubt | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Decision:
    """What was decided on a call, by whom, and through which door."""

    call_id: str
    tool: str
    verdict: Verdict
    at: datetime
    by: str
    channel: str = ""
    reason: str | None = None
    edited_args: JsonObject | None = None
    """What the call ran with, where that is not what the model proposed."""
    proposed: JsonObject = field(default_factory=dict)
    """What the model proposed."""


@dataclass(frozen=True, slots=True)
class Story:
    """An execution as far as its events were told. The calls in `pending` stand in the order in which they stopped."""

    last: e.Event | None = None
    pending: Mapping[str, PendingCall] = field(default_factory=dict)
    decisions: tuple[Decision, ...] = ()
    waited: timedelta = timedelta()
    """The time up to the last event in which at least one call waited for a person."""
    paused: timedelta = timedelta()
    open_args: Mapping[str, tuple[JsonObject, str]] = field(default_factory=dict)
    """Of each call without a result, its effective args and their hash."""
    asked: Mapping[str, e.ToolCall] = field(default_factory=dict)
    """The calls without a result, as the agent wanted them."""
    free: Mapping[str, e.ToolCall] = field(default_factory=dict)
    """Those that may run, and that no worker is known to have in hand."""


@dataclass(frozen=True, slots=True)
class Spent:
    """Where the time of an execution went."""

    total: timedelta
    waiting: timedelta
    paused: timedelta

    @property
    def working(self) -> timedelta:
        """Neither waiting for a person nor paused by one."""
        return self.total - self.waiting - self.paused


def spent(story: Story, now: datetime) -> Spent:
    """Up to its end, or until now."""
    last = story.last
    if last is None:
        return Spent(timedelta(), timedelta(), timedelta())
    until = last.at if last.status in e.TERMINAL else max(now, last.at)
    waited, paused = _passed(story, until)
    return Spent(until - last.started_at, waited, paused)


def tell(story: Story, event: e.Event) -> Story:
    """The story with one more event."""
    waited, paused = _passed(story, event.at)
    return replace(_moved(_told(story, event), event), last=event, waited=waited, paused=paused)


def _passed(story: Story, until: datetime) -> tuple[timedelta, timedelta]:
    if story.last is None:
        return story.waited, story.paused
    gap = until - story.last.at
    match story.last.status:
        case "waiting":
            return story.waited + gap, story.paused
        case "paused":
            return story.waited, story.paused + gap
        case _:
            return story.waited, story.paused


def _told(s: Story, event: e.Event) -> Story:
    match event:
        case e.ToolCall():
            return replace(s, open_args={**s.open_args, event.call_id: (event.args, event.args_hash)})
        case e.Waiting():
            return _stopped(s, stopped_call(event))
        case e.Approved():
            s = replace(s, open_args={**s.open_args, event.call_id: (event.args, event.args_hash)})
            return _decided(s, event.call_id, _decision(event, "approved", event.edited_args))
        case e.Rejected():
            return _decided(s, event.call_id, _decision(event, "rejected"))
        case e.Expired():
            verdict = Decision(call_id=event.call_id, tool=event.tool, verdict="expired", at=event.at, by="system")
            return _decided(s, event.call_id, verdict)
        case e.InDoubt():
            args, args_hash = s.open_args.get(event.call_id, ({}, ""))
            return _stopped(s, replace(stopped_call(event), args=args, args_hash=args_hash))
        case e.ToolResult():
            s = replace(s, open_args=_without(s.open_args, event.call_id))
            return _decided(s, event.call_id, _resolution(event, event.resolved_by, event.reason))
        case e.RetryScheduled(call_id=str() as call_id):
            who = event.by if event.reason == "resolved" else None
            return _decided(s, call_id, _resolution(event, who, "it did not run"))
        case e.CancelRequested():
            # a decision would be refused now; word of a granted call is what the end still waits for
            return replace(s, pending={key: call for key, call in s.pending.items() if call.doubt})
        case e.Done() | e.Failed() | e.Cancelled():
            return replace(s, pending={}, open_args={})
        case _:
            return s


def _moved(s: Story, event: e.Event) -> Story:
    """Which calls may run now."""
    match event:
        case e.ToolCall():
            free = s.free if event.approval_required else {**s.free, event.call_id: event}
            return replace(s, asked={**s.asked, event.call_id: event}, free=free)
        case e.Approved() | e.RetryScheduled() if (call := s.asked.get(event.call_id or "")) is not None:
            return replace(s, free={**s.free, call.call_id: call})
        case e.ToolStarted() | e.InDoubt():
            return replace(s, free=_without(s.free, event.call_id))
        case e.Rejected() | e.Expired() | e.ToolResult():
            return replace(s, asked=_without(s.asked, event.call_id), free=_without(s.free, event.call_id))
        case e.Done() | e.Failed() | e.Cancelled():
            return replace(s, asked={}, free={})
        case _:
            return s


def stopped_call(event: e.Waiting | e.InDoubt) -> PendingCall:
    """The call that waits for a person from this event on."""
    return PendingCall(
        call_id=event.call_id,
        approval_id=event.approval_id,
        tool=event.tool,
        args=event.args,
        args_hash=event.args_hash,
        since=event.at,
        expires_at=event.expires_at if isinstance(event, e.Waiting) else None,
        doubt=event if isinstance(event, e.InDoubt) else None,
    )


def _decision(event: e.Approved | e.Rejected, verdict: Verdict, edited_args: JsonObject | None = None) -> Decision:
    return Decision(
        call_id=event.call_id,
        tool=event.tool,
        verdict=verdict,
        at=event.at,
        by=event.by,
        channel=event.channel,
        reason=event.reason,
        edited_args=edited_args,
    )


def _resolution(event: e.ToolResult | e.RetryScheduled, by: str | None, reason: str | None) -> Decision | None:
    if by is None:
        return None
    call_id, tool = event.call_id or "", event.tool or ""
    return Decision(call_id=call_id, tool=tool, verdict="resolved", at=event.at, by=by, reason=reason)


def _stopped(s: Story, call: PendingCall) -> Story:
    return replace(s, pending={**s.pending, call.call_id: call})


def _decided(s: Story, call_id: str, decision: Decision | None) -> Story:
    decisions = s.decisions
    if decision:
        call = s.asked.get(call_id)
        decisions = (*decisions, replace(decision, proposed=call.args) if call else decision)
    return replace(s, pending=_without(s.pending, call_id), decisions=decisions)


def _without(mapping: Mapping[str, V], key: str) -> Mapping[str, V]:
    return {other: value for other, value in mapping.items() if other != key} if key in mapping else mapping
