"""The story that a page tells of an execution: what waits, who decided, where the time went. Folded from its events."""

from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from agentspan_query.domain.story import Story, spent, tell
from agentspan_schemas import events as e
from agentspan_schemas.codec import EVENTS

HISTORIES = Path(__file__).parents[1] / "histories"
STORED = sorted(path.name.removesuffix(".jsonl") for path in HISTORIES.glob("*.jsonl") if ".folded" not in path.name)

REFUND = {"customer_id": "cust-1", "amount_usd": 25}
T0 = datetime(2026, 3, 1, 9, 0, tzinfo=UTC)


def stored(name: str) -> list[e.Event]:
    """The events of a stored history, in order; the notes beside them left out."""
    lines = (HISTORIES / f"{name}.jsonl").read_bytes().splitlines()
    return [EVENTS.decode(line) for line in lines if b'"agent_version"' in line]


def told(events: list[e.Event]) -> Story:
    story = Story()
    for event in events:
        story = tell(story, event)
    return story


def until(name: str, kind: str) -> Story:
    """The story of a stored history up to its first event of that type."""
    events = stored(name)
    end = next(index for index, event in enumerate(events) if event.type == kind)
    return told(events[: end + 1])


@pytest.mark.parametrize("name", STORED)
def test_what_is_shown_as_pending_is_what_the_owner_says_is_waited_for(name: str) -> None:
    events = stored(name)
    for end, event in enumerate(events, start=1):
        if isinstance(event, e.ToolCall) and event.approval_required:
            continue  # its `waiting` stands right behind it
        pending = [call.tool for call in told(events[:end]).pending.values()]
        assert sorted(pending) == sorted(event.totals.waiting_on), f"after event {event.seq}"


def test_a_waiting_call_is_shown_with_the_exact_args_and_their_hash() -> None:
    events = stored("refund-approved")
    waiting = next(event for event in events if isinstance(event, e.Waiting))
    (call,) = until("refund-approved", "waiting").pending.values()
    assert (call.args, call.args_hash, call.approval_id) == (waiting.args, waiting.args_hash, waiting.approval_id)
    assert (call.since, call.doubt) == (waiting.at, None)


def test_a_call_in_doubt_is_shown_with_the_args_that_it_may_have_run_with() -> None:
    approved = next(event for event in stored("in-doubt-resolved") if isinstance(event, e.Approved))
    (call,) = until("in-doubt-resolved", "in_doubt").pending.values()
    assert call.doubt is not None
    assert (call.args, call.args_hash) == (approved.args, approved.args_hash)


def test_who_decided_stays_when_the_execution_is_over() -> None:
    verdicts = [(made.verdict, made.by) for made in told(stored("in-doubt-resolved")).decisions]
    assert [verdict for verdict, _ in verdicts] == ["approved", "resolved"]
    assert all(by.startswith("user:") for _, by in verdicts)


def test_a_rejection_keeps_its_reason_and_the_door() -> None:
    rejected = next(event for event in stored("refund-rejected") if isinstance(event, e.Rejected))
    (made,) = told(stored("refund-rejected")).decisions
    assert (made.verdict, made.reason, made.channel) == ("rejected", rejected.reason, rejected.channel)


def test_an_expired_call_was_decided_by_nobody() -> None:
    made = told(stored("retries-and-pause")).decisions[-1]
    assert (made.verdict, made.by) == ("expired", "system")


def test_after_a_request_to_cancel_nothing_waits_for_a_decision_any_more() -> None:
    story = until("refund-approved", "waiting")
    assert story.last is not None
    fields = story.last.model_dump(include=set(e.Envelope.model_fields)) | {"seq": story.last.seq + 1}
    cancel = e.CancelRequested(**fields, by="user:ann", channel="cli")
    assert tell(story, cancel).pending == {}


def test_the_time_of_a_finished_run_is_split_into_work_and_waiting() -> None:
    took = spent(told(stored("in-doubt-resolved")), now=T0 + timedelta(days=9))
    assert took.total == timedelta(hours=1, minutes=10, seconds=7)
    assert took.waiting == timedelta(hours=1, minutes=10, seconds=1)
    assert took.working == timedelta(seconds=6)


def test_the_time_that_a_run_waits_goes_on_while_it_is_looked_at() -> None:
    took = spent(until("in-doubt-resolved", "waiting"), now=T0 + timedelta(hours=3))
    assert (took.total, took.waiting, took.working) == (timedelta(hours=3), timedelta(hours=3), timedelta())


def test_a_pause_is_neither_work_nor_waiting() -> None:
    took = spent(told(stored("retries-and-pause")), now=T0)
    assert took.paused == timedelta(minutes=1)
    assert took.working == took.total - took.waiting - timedelta(minutes=1)


def test_nothing_told_is_no_time() -> None:
    assert spent(Story(), T0).total == timedelta()


@pytest.mark.parametrize(
    ("name", "kind", "free"),
    [
        ("refund-approved", "waiting", ["lookup"]),
        ("refund-approved", "approved", ["refund"]),
        ("refund-approved", "tool_started", []),
        ("refund-rejected", "rejected", []),
        ("in-doubt-run-again", "in_doubt", []),
        ("in-doubt-run-again", "retry_scheduled", ["refund"]),
        ("cancelled-while-granted", "cancelled", []),
    ],
)
def test_a_call_is_free_while_it_may_run_and_no_worker_has_it(name: str, kind: str, free: list[str]) -> None:
    assert [call.tool for call in until(name, kind).free.values()] == free


@pytest.mark.parametrize("name", [name for name in STORED if name.startswith(("refund", "in-doubt"))])
def test_a_decision_is_told_with_the_call_that_it_was_about(name: str) -> None:
    events = stored(name)
    asked = {event.call_id: event.args for event in events if isinstance(event, e.ToolCall)}
    made = told(events).decisions
    assert made
    assert [decision.proposed for decision in made] == [asked[decision.call_id] for decision in made]
