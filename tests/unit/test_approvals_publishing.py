"""What has to be written about a request, from what stands on the topic, what the log says, and the time."""

from datetime import UTC, datetime, timedelta

import pytest

from agentspan_approvals.decision_ids import DecisionId
from agentspan_approvals.domain import fold, fold_refusal
from agentspan_approvals.publishing import KEPT, Due, Standing, due
from agentspan_schemas.answers import Refused
from agentspan_schemas.approvals import MAX_ATTEMPTS, ApprovalRecord
from agentspan_schemas.codec import APPROVALS, EVENTS, NOTES
from agentspan_schemas.events import Event
from tests.unit.schemas_examples import APPROVAL_FIELDS, ENVELOPE, EVENT_FIELDS

NOW = datetime(2026, 6, 1, tzinfo=UTC)
JUST, LONG_AGO = NOW - KEPT + timedelta(seconds=1), NOW - KEPT
RISK = DecisionId("1-0", "service:risk", "d-1")


def record(seq: int = 5, ended_at: datetime | None = None, attempts_total: int = 0) -> ApprovalRecord:
    change: dict[str, object] = {
        "seq": seq,
        "ended_at": ended_at,
        "attempts": [],
        "attempts_total": attempts_total,
        "state": "pending",
    }
    return APPROVALS.adapter.validate_python(APPROVAL_FIELDS | change)


def standing(seq: int, ended_at: datetime | None = None, attempts_total: int = 0) -> Standing:
    return Standing((seq, attempts_total), ended_at)


@pytest.mark.parametrize(
    ("own", "there", "wanted"),
    [
        (record(5), None, "put"),
        (record(5), standing(4), "put"),
        (record(5), standing(5), None),
        (record(5), standing(6), None),
        (record(5, attempts_total=1), standing(5), "put"),
        (record(5), standing(5, attempts_total=1), None),
        (record(5, JUST), None, "put"),
        (record(5, JUST), standing(5, JUST), None),
        (record(5, LONG_AGO), standing(5, LONG_AGO), "bury"),
        (record(5, LONG_AGO), standing(4), "bury"),
        (record(5, LONG_AGO), None, None),
        (record(5, LONG_AGO), standing(6), None),
    ],
)
def test_what_is_due(own: ApprovalRecord, there: Standing | None, wanted: Due | None) -> None:
    assert due(own, there, NOW) == wanted


def event(kind: str, **change: object) -> Event:
    return EVENTS.adapter.validate_python({"type": kind} | ENVELOPE | EVENT_FIELDS[kind] | change)


def refusal(decision: DecisionId, **change: object) -> Refused:
    fields = {
        "type": "refused", "execution_id": "exec-a", "command_id": str(decision), "command_type": "decide", "at": NOW,
        "seq": 7, "refusal": {"code": "args_changed", "message": "look again"}, "by": decision.by,
    }  # fmt: skip
    note = NOTES.adapter.validate_python(fields | change)
    assert isinstance(note, Refused)
    return note


def test_a_services_decision_that_won_is_on_the_record_as_accepted() -> None:
    [after] = fold([record()], event("approved", causation_id=str(RISK), by=RISK.by))
    assert [(o.decision_id, o.by, o.accepted) for o in after.attempts] == [("d-1", "service:risk", True)]
    assert (after.version, after.ended_at) == ((7, 1), ENVELOPE["at"])


def test_a_persons_decision_is_no_attempt_of_a_service() -> None:
    [after] = fold([record()], event("approved", causation_id="decide:1-0:user:ann:k"))
    assert after.attempts == ()


def test_a_refused_decision_of_a_service_says_why_on_its_request_alone() -> None:
    other = record().model_copy(update={"approval_id": "exec-a.1-1", "call_id": "1-1"})
    [after] = fold_refusal([record(), other], refusal(RISK))
    assert (after.call_id, after.seq, after.state) == ("1-0", 5, "pending")
    [outcome] = after.attempts
    assert (outcome.accepted, outcome.code, outcome.message, outcome.at) == (False, "args_changed", "look again", NOW)


@pytest.mark.parametrize("command_id", ["decide:1-0:user:ann:k", "decision:1-0", "decision:1-0:user:ann:d-1", ""])
def test_other_refusals_change_no_request(command_id: str) -> None:
    assert fold_refusal([record()], refusal(RISK, command_id=command_id)) == []


@pytest.mark.parametrize("by", ["service:risk", "service:a:b", "service:"])
@pytest.mark.parametrize("decision_id", ["d-1", "a:b", "service:risk:1", ":"])
def test_a_decision_is_found_in_its_command_id(by: str, decision_id: str) -> None:
    named = DecisionId("12-3", by, decision_id)
    assert DecisionId.parse(str(named), by) == named


def test_the_last_attempts_are_kept_and_all_are_counted() -> None:
    after = record()
    for number in range(MAX_ATTEMPTS + 3):
        [after] = fold_refusal([after], refusal(DecisionId("1-0", "service:risk", f"d-{number}")))
    assert [o.decision_id for o in after.attempts] == [f"d-{n}" for n in range(3, MAX_ATTEMPTS + 3)]
    assert after.attempts_total == MAX_ATTEMPTS + 3


def test_a_request_that_is_in_doubt_again_has_not_ended() -> None:
    [approved] = fold([record()], event("approved"))
    [doubtful] = fold([approved], event("in_doubt", seq=8))
    [resolved] = fold([doubtful], event("tool_result", seq=9))
    assert [r.ended_at is not None for r in (approved, doubtful, resolved)] == [True, False, True]
