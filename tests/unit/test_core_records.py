"""What the core writes down of a call: enough for an auditor who has nothing but the log.

Apart from the tables of test_core_calls because here the fields matter, not which event follows.
"""

from datetime import timedelta

import pytest

from agentspan_orchestrator.domain import GRANT_S, granted_keys, open_tasks, timers
from agentspan_schemas import events as e
from agentspan_schemas.answers import Refused, Repeated, Winner
from agentspan_schemas.canonical import args_hash
from agentspan_schemas.tasks import ModelTask, ToolTask
from tests.unit.core_agents import ARGS, REFUND, SEARCH, SUPPORT, SUSPEND
from tests.unit.core_run import EXECUTION, T0, Run
from tests.unit.core_steps import (
    BROKEN,
    OVERLOADED,
    Step,
    after,
    again,
    approves,
    asks,
    cancels,
    claims,
    declines,
    given,
    is_lost,
    model_fails,
    raises,
    rejects,
    replies,
    resolves,
    returns,
    says,
)

EDITED = {"customer": "c-1", "usd": 20}
APPROVED = (asks("refund"), approves("1-0"))
GRANTED = (*APPROVED, claims("1-0"))
DOUBTED = (*GRANTED, after(GRANT_S), is_lost("1-0"))


def refused(run: Run) -> Refused:
    note = run.last.note
    assert isinstance(note, Refused)
    return note


def test_a_proposed_call_says_all_that_governs_how_it_may_run() -> None:
    call = given(asks("search")).only(e.ToolCall)
    assert (call.turn, call.call_id, call.model_call_id, call.tool) == (1, "1-0", "toolu_0", "search")
    assert (call.args, call.args_hash) == (ARGS["search"], args_hash(ARGS["search"]))
    assert (call.approval_required, call.effects, call.timeout_s, call.max_attempts) == (False, "idempotent", 10, 3)
    assert call.input_schema_hash == SEARCH.input_schema_hash


def test_the_same_id_of_a_provider_twice_makes_two_calls() -> None:
    run = given(asks("lookup", "lookup"), returns("1-0"), returns("1-1"), asks("lookup"))
    assert [call.call_id for call in run.all_of(e.ToolCall)] == ["1-0", "1-1", "2-0"]
    assert [call.model_call_id for call in run.all_of(e.ToolCall)] == ["toolu_0", "toolu_1", "toolu_0"]


def test_a_request_for_approval_shows_the_exact_call_and_until_when_it_stands() -> None:
    waiting = given(asks("suspend")).only(e.Waiting)
    assert (waiting.approval_id, waiting.tool, waiting.args) == (f"{EXECUTION}.1-0", "suspend", ARGS["suspend"])
    assert waiting.args_hash == args_hash(ARGS["suspend"])
    assert waiting.expires_at == T0 + timedelta(hours=1)


def test_a_request_for_approval_without_expiry_stands_for_ever() -> None:
    run = given(asks("refund"))
    assert run.only(e.Waiting).expires_at is None
    assert timers(run.living) == ()


def test_an_approval_says_who_saw_what_and_what_runs() -> None:
    run = given(asks("refund"), approves("1-0", by="policy:small-refunds", policy="small-refunds"))
    approved = run.only(e.Approved)
    assert (approved.by, approved.channel, approved.policy) == ("policy:small-refunds", "ui", "small-refunds")
    assert approved.approval_id == f"{EXECUTION}.1-0"
    assert approved.seen_args_hash == approved.args_hash == args_hash(ARGS["refund"])
    assert (approved.edited_args, approved.args) == (None, ARGS["refund"])


def test_edited_args_are_recorded_as_proposed_as_decided_and_as_effective() -> None:
    run = given(asks("refund"), approves("1-0", edited=EDITED))
    approved = run.only(e.Approved)
    assert run.only(e.ToolCall).args == run.only(e.Waiting).args == ARGS["refund"]
    assert approved.seen_args_hash == args_hash(ARGS["refund"])
    assert (approved.edited_args, approved.args, approved.args_hash) == (EDITED, EDITED, args_hash(EDITED))


def test_edited_args_are_what_runs_and_the_model_is_told() -> None:
    run = given(asks("refund"), approves("1-0", edited=EDITED))
    (task,) = open_tasks(run.living, run.now)
    assert isinstance(task, ToolTask)
    assert (task.args, task.args_hash) == (EDITED, args_hash(EDITED))
    claims("1-0")(run)
    returns("1-0", "refunded", claim_id="claim-1")(run)
    message = run.living.messages[-1]
    assert message.role == "tool"
    assert (message.value, message.edited_args) == ("refunded", EDITED)


def test_args_that_were_not_edited_are_not_told_again() -> None:
    message = given(*GRANTED, returns("1-0", claim_id="claim-1")).living.messages[-1]
    assert message.role == "tool"
    assert message.edited_args is None


def test_a_rejection_goes_to_the_model_with_who_and_why() -> None:
    run = given(asks("refund"), rejects("1-0", "Amount too large"))
    message = run.living.messages[-1]
    assert message.role == "tool"
    assert message.error is not None
    assert message.error.kind == "rejected"
    assert message.error.message == "refund was not run: user:bob rejected this call. Reason: Amount too large"
    assert run.only(e.Rejected).reason == "Amount too large"


def test_an_expiry_says_until_when_nobody_decided() -> None:
    run = given(asks("suspend"), after(4000))
    expired = run.only(e.Expired)
    assert (expired.expires_at, expired.at) == (T0 + timedelta(hours=1), T0 + timedelta(seconds=4000))
    assert run.told[-1] == ("tool", "expired")


@pytest.mark.parametrize(
    ("first", "winner", "told"),
    [
        (approves("1-0", by="user:amy"), ("user:amy", "approved", "ui"), "was approved by user:amy at"),
        (rejects("1-0", by="user:amy"), ("user:amy", "rejected", "ui"), "was rejected by user:amy at"),
        (after(3600), ("system", "expired", "timer"), "expired at"),
    ],
)
@pytest.mark.parametrize("loser", [approves("1-0", by="user:zoe"), rejects("1-0", by="user:zoe")])
def test_who_decides_second_is_told_who_came_first(
    first: Step, winner: tuple[str, str, str], told: str, loser: Step
) -> None:
    run = given(asks("suspend"), first, loser)
    refusal = refused(run).refusal
    assert refusal.winner is not None
    assert (refusal.winner.by, refusal.winner.decision, refusal.winner.channel) == winner
    assert refusal.message.startswith(f"call '1-0' {told} ")
    assert refused(run).by == "user:zoe"


def test_who_resolves_a_call_of_a_run_that_is_over_is_told_which_call_and_who_was_first() -> None:
    doubted = (*APPROVED, claims("1-0"), after(GRANT_S), is_lost("1-0"))
    run = given(*doubted, cancels(), resolves("1-0", "succeeded"), resolves("1-0", "not_run"))
    assert refused(run).refusal.message.endswith(" is cancelled; call '1-0' was resolved by user:eve")


@pytest.mark.parametrize("late", [approves("1-0"), rejects("1-0")])
def test_a_decision_between_the_expiry_and_its_timer_is_too_late(late: Step) -> None:
    run = given(asks("suspend"))
    run.pass_time(3600)
    late(run)
    refusal = refused(run).refusal
    assert refusal.code == "already_decided"
    assert refusal.winner == Winner(by="system", decision="expired", at=T0 + timedelta(hours=1), channel="timer")
    after(0)(run)
    assert [event.type for event in run.events][-2:] == ["expired", "model_called"]


@pytest.mark.parametrize("outcome", ["succeeded", "failed", "not_run"])
def test_who_resolves_second_is_told_who_came_first(outcome: str) -> None:
    first = {
        "succeeded": resolves("1-0", "succeeded", by="user:amy"),
        "failed": resolves("1-0", "failed", by="user:amy"),
        "not_run": resolves("1-0", "not_run", by="user:amy"),
    }[outcome]
    run = given(*DOUBTED, first, resolves("1-0", "failed", by="user:zoe"))
    refusal = refused(run).refusal
    assert refusal.winner is not None
    assert (refusal.winner.by, refusal.winner.decision) == ("user:amy", "resolved")


def test_an_answer_to_changed_args_names_both_hashes() -> None:
    message = refused(given(asks("refund"), approves("1-0", seen="0" * 64))).refusal.message
    assert "000000000000…" in message
    assert args_hash(ARGS["refund"])[:12] in message


def test_an_answer_about_an_unknown_call_names_the_known_ones() -> None:
    assert "'1-0', '1-1'" in refused(given(asks("refund", "lookup"), approves("9-9"))).refusal.message


def test_an_unknown_tool_is_answered_with_the_tools_there_are() -> None:
    result = given(asks("teleport")).only(e.ToolResult)
    assert result.error is not None
    assert (result.attempt, result.error.kind) == (0, "unknown_tool")
    assert "lookup, mail, note, refund, search, suspend" in result.error.message


def test_a_grant_says_which_claim_of_whom_may_run_the_code_and_how_long() -> None:
    run = given(*GRANTED)
    grant = run.only(e.ToolStarted)
    assert (grant.call_id, grant.attempt, grant.claim_id, grant.worker) == ("1-0", 1, "claim-1", "ann@shop/1")
    assert grant.grant_s == GRANT_S
    assert granted_keys(run.living) == (f"{EXECUTION}/1-0/1",)


def test_a_result_says_who_ran_which_attempt_for_how_long() -> None:
    result = given(*GRANTED, returns("1-0", {"id": "r-1"}, claim_id="claim-1")).only(e.ToolResult)
    assert (result.ok, result.value, result.error) == (True, {"id": "r-1"}, None)
    assert (result.attempt, result.claim_id, result.worker) == (1, "claim-1", "ann@shop/1")
    assert (result.began_at, result.duration_ms, result.resolved_by) == (T0, 12.0, None)


def test_a_tools_error_reaches_the_model_as_it_was() -> None:
    run = given(asks("lookup"), raises("1-0"))
    message = run.living.messages[-1]
    assert message.role == "tool"
    assert message.error == BROKEN == run.only(e.ToolResult).error


def test_doubt_names_the_claim_and_the_worker() -> None:
    doubt = given(*DOUBTED).only(e.InDoubt)
    assert (doubt.claim_id, doubt.worker, doubt.attempt) == ("claim-1", "ann@shop/1", 1)
    assert doubt.approval_id == f"{EXECUTION}.1-0"
    assert "'ann@shop/1' was lost" in doubt.reason


def test_doubt_by_time_out_says_so() -> None:
    run = given(asks("suspend"), approves("1-0"), claims("1-0"), after(60))
    assert "30 s" in run.only(e.InDoubt).reason
    run = given(*GRANTED, after(60), is_lost("1-0", timeout=True))
    assert "did not answer in the tool's time" in run.only(e.InDoubt).reason


def test_a_resolution_says_who_knew_and_what() -> None:
    result = given(*DOUBTED, resolves("1-0", "succeeded", value="r-1", reason="seen in the books")).only(e.ToolResult)
    assert (result.ok, result.value, result.resolved_by, result.reason) == (
        True,
        "r-1",
        "user:eve",
        "seen in the books",
    )
    assert (result.claim_id, result.attempt) == ("claim-1", 1)


def test_a_resolution_as_failed_gives_the_model_a_reason() -> None:
    result = given(*DOUBTED, resolves("1-0", "failed", reason="card was closed")).only(e.ToolResult)
    assert result.error is not None
    assert (result.ok, result.error.message) == (False, "card was closed")


@pytest.mark.parametrize(
    ("steps", "reason", "by"),
    [
        ((*GRANTED, declines("1-0")), "declined", "ann@shop/1"),
        ((*DOUBTED, resolves("1-0", "not_run")), "resolved", "user:eve"),
        ((asks("lookup"), is_lost("1-0")), "lost", None),
        ((asks("lookup"), is_lost("1-0", timeout=True)), "timeout", None),
        ((asks("search"), raises("1-0")), "error", None),
    ],
)
def test_a_next_attempt_says_why(steps: tuple[Step, ...], reason: str, by: str | None) -> None:
    retry = given(*steps).only(e.RetryScheduled)
    assert (retry.call_id, retry.attempt, retry.reason, retry.by) == ("1-0", 2, reason, by)
    assert retry.error == (BROKEN if reason == "error" else None)


def test_a_next_attempt_of_the_model_says_why() -> None:
    retry = given(model_fails()).only(e.RetryScheduled)
    assert (retry.call_id, retry.turn, retry.attempt, retry.reason, retry.error) == (None, 1, 2, "error", OVERLOADED)


def test_a_call_given_up_after_losses_says_so() -> None:
    result = given(asks("lookup"), *(is_lost("1-0"),) * 5).only(e.ToolResult)
    assert result.error is not None
    assert result.error.kind == "lost"
    assert "5 times" in result.error.message


def test_a_call_that_a_cancel_kept_from_running_again_says_so() -> None:
    result = given(*GRANTED, cancels(), declines("1-0")).only(e.ToolResult)
    assert result.error is not None
    assert (result.error.kind, result.resolved_by) == ("not_run", None)
    result = given(*DOUBTED, cancels(), resolves("1-0", "not_run")).only(e.ToolResult)
    assert result.resolved_by == "user:eve"


@pytest.mark.parametrize(
    "steps",
    [
        (*DOUBTED, resolves("1-0", "not_run"), claims("1-0", "claim-2")),
        (asks("refund", "note"), *GRANTED[1:], after(GRANT_S), is_lost("1-0"), resolves("1-0", "failed")),
        (asks("refund"), cancels()),
    ],
    ids=["granted to a later claim", "resolved", "over"],
)
def test_a_refused_late_result_is_kept_whole(steps: tuple[Step, ...]) -> None:
    run = given(*steps, returns("1-0", {"id": "r-1"}, claim_id="claim-1", attempt=1))
    kept = refused(run).result
    assert isinstance(kept, dict)
    assert (kept["value"], kept["claim_id"], kept["attempt"]) == ({"id": "r-1"}, "claim-1", 1)


def test_a_refusal_of_anything_else_keeps_no_result() -> None:
    assert refused(given(asks("refund"), claims("1-0"))).result is None


def test_a_command_again_gets_the_first_answer_and_leaves_a_record() -> None:
    run = given(asks("refund"), approves("1-0"))
    first = run.last.answer
    claims("1-0")(run)
    run.give(run.log[-2].command)
    assert run.last.events == ()
    assert run.last.answer == first.model_copy(update={"repeated": True})
    assert isinstance(run.last.note, Repeated)
    assert run.last.note.answer.seq == first.seq


def test_a_refused_command_again_is_refused_again_even_if_it_would_work_now() -> None:
    run = given(asks("refund"), claims("1-0"), approves("1-0"))
    run.give(run.log[-2].command)
    assert run.last.events == ()
    assert run.last.answer.repeated
    assert not run.last.answer.accepted


def test_a_timer_that_fired_too_early_fires_again() -> None:
    run = given(asks("suspend"))
    after(3600)(early := run.fork())
    command = early.log[-1].command
    run.give(command)
    assert run.last.answer.refusal is not None
    run.pass_time(3600)
    run.give(command)
    assert [event.type for event in run.last.events] == ["expired", "model_called"]
    again()(run)
    assert run.last.answer.repeated


def test_times_beyond_any_date_are_as_good_as_never() -> None:
    patient = SUSPEND.model_copy(update={"timeout_s": 1e300, "approval_expires_s": 1e300})
    run = given(asks("suspend"), agent=SUPPORT.model_copy(update={"tools": (patient,)}))
    (expiry,) = timers(run.living)
    approves("1-0")(run)
    claims("1-0")(run)
    (grant,) = timers(run.living)
    assert min(expiry.due, grant.due) > T0 + timedelta(days=99 * 365)


def test_a_tool_task_names_what_a_worker_must_have() -> None:
    run = given(*APPROVED)
    (task,) = open_tasks(run.living, run.now)
    assert isinstance(task, ToolTask)
    assert (task.tool, task.effects, task.input_schema_hash) == ("refund", "once", REFUND.input_schema_hash)
    assert (task.task_key, task.idempotency_key) == (f"{EXECUTION}/1-0/1", f"{EXECUTION}.1-0")
    assert (task.agent, task.agent_version, task.metadata) == ("support", run.agent.version, {"tier": "gold"})


def test_the_idempotency_key_is_the_same_for_every_attempt() -> None:
    run = given(asks("lookup"))
    first = open_tasks(run.living, run.now)[0]
    is_lost("1-0")(run)
    second = open_tasks(run.living, run.now)[0]
    assert isinstance(first, ToolTask)
    assert isinstance(second, ToolTask)
    assert first.idempotency_key == second.idempotency_key
    assert first.task_key != second.task_key


def test_a_model_task_carries_the_whole_conversation() -> None:
    run = given(asks("lookup"), says("Hurry."), returns("1-0"))
    (task,) = open_tasks(run.living, run.now)
    assert isinstance(task, ModelTask)
    assert [message.role for message in task.messages] == ["user", "assistant", "tool", "user"]
    assert (task.turn, task.source, task.key) == (2, "tests", "ticket-1")


def test_every_event_names_the_command_that_it_follows_from() -> None:
    run = given(asks("lookup", "refund"))
    assert [event.causation_id for event in run.events] == ["start", "start", *["command-1"] * 4]


def test_a_model_that_answers_names_its_worker_and_usage() -> None:
    reply = given(replies("Done.")).only(e.ModelReplied)
    assert (reply.worker, reply.duration_ms, reply.usage.input_tokens, reply.stop_reason) == (
        "model-lane", 250.0, 100, "end_turn",
    )  # fmt: skip
