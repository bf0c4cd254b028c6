"""Given, when, then: the execution as a whole, from its start over the model's turns to its end.

Each row is one sentence; what a row can't say (what the model reads, what an output is) is said by the tests below it.
"""

from datetime import timedelta
from typing import Any

import pytest

from agentspan_orchestrator.domain import decide, read_output
from agentspan_schemas import events as e
from agentspan_schemas.agents import AgentDefinition
from tests.unit.core_agents import SUPPORT, TYPED
from tests.unit.core_rows import Row, check
from tests.unit.core_run import T0, Run
from tests.unit.core_steps import (
    after,
    approves,
    asks,
    cancels,
    claims,
    fires,
    given,
    is_lost,
    model_fails,
    pauses,
    rejects,
    replies,
    resumes,
    returns,
    says,
    started,
)

FIRST, SECOND = "model-1/1", "model-2/1"
GRANTED = (asks("refund"), approves("1-0"), claims("1-0"))
A_TURN = (asks("lookup"),)
LOOKED_UP = (asks("lookup"), returns("1-0"))
NO_KEY = model_fails(kind="missing_key", retryable=False)
BRIEF = SUPPORT.model_copy(update={"max_turns": 1})
YEAR_S = 365 * 24 * 3600.0

MODEL = (
    Row("an answer ends the run", (), replies("Done."), "model_replied done", status="completed"),
    Row("a lost model call is asked again at once", (), is_lost("model"), "retry_scheduled", "model-1/2"),
    Row("a failed model call is asked again after a pause", (), model_fails(), "retry_scheduled"),
    Row("and its time comes", (model_fails(),), after(1), tasks="model-1/2"),
    Row("the provider's own pause is kept", (model_fails(retry_after_s=90),), after(89)),
    Row("the provider's own pause ends", (model_fails(retry_after_s=90),), after(90), tasks="model-1/2"),
    Row("a hopeless failure ends the run", (), model_fails(retryable=False), "failed", status="failed"),
    Row("so does the sixth failure",
        (model_fails(), after(60)) * 5, model_fails(), "failed", status="failed"),
    Row("and the fifth loss", (is_lost("model"),) * 4, is_lost("model"), "failed", status="failed"),
    Row("a server without a key ends a run that has nothing to lose", (), NO_KEY, "failed", status="failed"),
    Row("one that has waits until it has one", LOOKED_UP, NO_KEY, "retry_scheduled"),
    Row("and goes on then",
        (*LOOKED_UP, *(NO_KEY, after(3600)) * 50), replies("Done."), "model_replied done", status="completed"),
    Row("it is asked at once in the beginning", (*LOOKED_UP, NO_KEY), after(1), tasks="model-2/2"),
    Row("and once an hour in the end", (*LOOKED_UP, *(NO_KEY, after(3600)) * 50, NO_KEY), after(1799)),
    Row("for a week",
        (*LOOKED_UP, *(NO_KEY, after(3600)) * 179), NO_KEY, "failed", status="failed"),
    Row("what its own account is to blame for is so, too",
        LOOKED_UP, model_fails(kind="billing", retryable=False), "retry_scheduled"),
    Row("and a server without the folder of its recordings",
        LOOKED_UP, model_fails(kind="recording_missing", retryable=False), "retry_scheduled"),
    Row("but a recording that ends too early is the run's own",
        LOOKED_UP, model_fails(kind="recording_played_out", retryable=False), "failed", status="failed"),
    Row("what the run itself is to blame for is not",
        LOOKED_UP, model_fails(kind="request_too_large", retryable=False), "failed", status="failed"),
    Row("the first reply of any attempt counts",
        (is_lost("model"),), replies("Done.", attempt=1), "model_replied done", status="completed"),
    Row("a reply counts while the next attempt waits for its time",
        (model_fails(),), replies("Done.", attempt=1), "model_replied done", status="completed"),
    Row("a second reply to a turn is refused", A_TURN, replies("Done.", turn=1), tasks="1-0/1", refused="stale"),
    Row("a reply to a turn that never was is refused", (), replies("Done.", turn=2), tasks=FIRST, refused="stale"),
    Row("the failure of an earlier attempt changes nothing",
        (is_lost("model"),), model_fails(attempt=1), tasks="model-1/2", refused="stale"),
    Row("the failure of a turn that is over changes nothing",
        A_TURN, model_fails(turn=1, attempt=1), tasks="1-0/1", refused="stale"),
    Row("the loss of an earlier attempt changes nothing",
        (is_lost("model"),), is_lost("model", attempt=1), tasks="model-1/2", refused="stale"),
    Row("a run has no more turns than its agent allows",
        A_TURN, returns("1-0"), "tool_result failed", status="failed", agent=BRIEF),
)  # fmt: skip

PEOPLE = (
    Row("a message is kept for the next turn", (), says("Hurry."), "message", FIRST),
    Row("a message that races with the answer is answered first",
        (says("Hurry."),), replies("Done."), "model_replied model_called", SECOND),
    Row("unless no turn is left for it: then the answer counts",
        (says("Hurry."),), replies("Done."), "model_replied done", status="completed", agent=BRIEF),
    Row("a message does not interrupt calls", A_TURN, says("Hurry."), "message", "1-0/1"),
    Row("a message to a paused run is kept", (pauses(),), says("Hurry."), "message", status="paused"),
    Row("a message to a run that is ending is refused", (*GRANTED, cancels()), says("Wait."), refused="finished"),
    Row("a paused run has no tasks", (), pauses(), "paused", status="paused"),
    Row("a resumed run has them again", (pauses(),), resumes(), "resumed", FIRST),
    Row("a paused run is not paused again", (pauses(),), pauses(), refused="nothing_to_do", status="paused"),
    Row("only a paused run is resumed", (), resumes(), tasks=FIRST, refused="nothing_to_do"),
    Row("a paused run takes the model's answer",
        (pauses(),), replies("Done."), "model_replied done", status="completed"),
    Row("a paused run takes the model's calls, and runs none",
        (pauses(),), asks("lookup", "refund"), "model_replied tool_call tool_call waiting", status="paused"),
    Row("which run when it is resumed",
        (pauses(), asks("lookup", "refund")), resumes(), "resumed", "1-0/1", status="waiting"),
    Row("a rejection in a paused run starts no turn",
        (asks("refund"), pauses()), rejects("1-0"), "rejected", status="paused"),
    Row("a cancelled run ends at once", A_TURN, cancels(), "cancelled", status="cancelled"),
    Row("a waiting run is cancelled at once", (asks("refund"),), cancels(), "cancelled", status="cancelled"),
    Row("nothing ends twice", (cancels(),), cancels(), refused="finished", status="cancelled"),
    Row("nothing is said to an ended run", (replies("Done."),), says("More."), refused="finished", status="completed"),
    Row("a late result meets an ended run",
        (*A_TURN, cancels()), returns("1-0"), refused="finished", status="cancelled"),
)  # fmt: skip

TIME = (
    Row("a deadline ends the run", (), after(60), "failed", status="failed"),
    Row("not before its time", (after(59),), fires("deadline"), tasks=FIRST, refused="stale"),
    Row("a deadline ends a waiting run", (asks("refund"),), after(60), "failed", status="failed"),
    Row("a deadline ends a paused run", (pauses(),), after(60), "failed", status="failed"),
    Row("a deadline waits for a granted call", GRANTED, after(60), "cancel_requested"),
    Row("whose result then ends the run",
        (*GRANTED, after(60)), returns("1-0", claim_id="claim-1"), "tool_result failed", status="failed"),
    Row("a run that is being cancelled does not time out as well",
        (*GRANTED, cancels(), after(60)), fires("deadline"), refused="stale"),
    Row("a timer that does not exist changes nothing", (), fires("alarm:1-0"), tasks=FIRST, refused="stale"),
    Row("a retry's moment is no command", (model_fails(), after(1)), fires("retry:model-1/2"), tasks="model-1/2",
        refused="stale"),
)  # fmt: skip

SHAPED = (
    Row("an answer of the right shape ends the run",
        (), replies('{"category": "billing"}'), "model_replied done", status="completed"),
    Row("an answer of the wrong shape is asked for again",
        (), replies('{"kind": 1}'), "model_replied model_called", SECOND),
    Row("so is text", (), replies("It is billing."), "model_replied model_called", SECOND),
    Row("it is asked for again twice",
        (replies("?"),), replies("?"), "model_replied model_called", "model-3/1"),
    Row("and then kept as text", (replies("?"), replies("?")), replies("?"), "model_replied done", status="completed"),
    Row("a mended answer ends the run",
        (replies("?"),), replies('{"category": "billing"}'), "model_replied done", status="completed"),
    Row("the shape is asked for in no more turns than the agent allows",
        (asks("lookup"), returns("1-0"), asks("lookup"), returns("2-0"), asks("lookup"), returns("3-0")),
        replies("?"), "model_replied done", status="completed"),
)  # fmt: skip


@pytest.mark.parametrize("row", [*MODEL, *PEOPLE], ids=lambda row: row.name)
def test_turns(row: Row) -> None:
    check(row)


@pytest.mark.parametrize("row", TIME, ids=lambda row: row.name)
def test_time(row: Row) -> None:
    check(row, given(*row.given, start=started(timeout_s=60)))


@pytest.mark.parametrize("row", SHAPED, ids=lambda row: row.name)
def test_shaped_answers(row: Row) -> None:
    check(row, given(*row.given, agent=TYPED))


def test_a_start_says_who_asked_for_what_and_asks_the_model() -> None:
    run = Run()
    outcome = started("Help me.")(run)
    first, second = outcome.events
    assert isinstance(first, e.Started)
    assert (first.seq, first.prompt, first.requested_by, first.model) == (1, "Help me.", "user:ann", "replay/tests")
    assert (first.metadata, first.source, first.key) == ({"tier": "gold"}, "tests", "ticket-1")
    assert isinstance(second, e.ModelCalled)
    assert (second.seq, second.turn, second.attempt, second.messages) == (2, 1, 1, 1)
    assert outcome.answer.accepted
    assert outcome.answer.seq == 2


def test_the_same_start_again_is_the_same_execution() -> None:
    run = given()
    outcome = started(command_id="another door")(run)
    assert (outcome.events, outcome.answer.repeated, outcome.answer.accepted) == ((), True, True)


def test_another_start_under_the_same_id_is_refused_also_when_the_run_is_over() -> None:
    for run in (given(), given(replies("Done."))):
        outcome = started("Something else.", command_id="another")(run)
        assert outcome.events == ()
        assert outcome.answer.refusal is not None
        assert outcome.answer.refusal.code == "id_reused"


def test_a_start_of_an_unknown_agent_is_refused_and_leaves_nothing() -> None:
    command = given().log[0].command
    outcome = decide(None, command, T0, None)
    assert (outcome.state, outcome.events) == (None, ())
    assert outcome.answer.refusal is not None
    assert outcome.answer.refusal.code == "unknown_agent"


def test_a_command_to_an_execution_that_never_was_is_refused() -> None:
    run = given(pauses())
    outcome = decide(None, run.log[-1].command, T0, SUPPORT)
    assert outcome.answer.refusal is not None
    assert outcome.answer.refusal.code == "unknown_execution"
    assert outcome.answer.seq == 0


@pytest.mark.parametrize("timeout_s", [60.0, 1e300])
def test_a_deadline_stands_in_the_first_event(timeout_s: float) -> None:
    run = Run()
    started(timeout_s=timeout_s)(run)
    assert run.only(e.Started).deadline_at == T0 + timedelta(seconds=min(timeout_s, 100 * YEAR_S))


def test_a_provider_may_ask_for_a_pause_of_a_day() -> None:
    run = given(model_fails(retry_after_s=86400))
    assert run.only(e.RetryScheduled).retry_at == T0 + timedelta(days=1)


@pytest.mark.parametrize("asked_s", [86401.0, 1e300])
def test_a_provider_that_asks_for_a_longer_pause_ends_the_run_which_says_so(asked_s: float) -> None:
    error = given(model_fails(retry_after_s=asked_s)).only(e.Failed).error
    assert error.kind == "overloaded"
    assert f"left alone for {asked_s:g} s, and a run waits at most 86400 s for it: start it again then" in error.message


def test_pauses_between_attempts_grow() -> None:
    run = given(*(model_fails(), after(60)) * 5)
    waits = [(event.retry_at - event.at).total_seconds() for event in run.all_of(e.RetryScheduled)]
    assert waits == sorted(waits)
    assert [0.5 * 2**n <= wait <= 2**n for n, wait in enumerate(waits)] == [True] * 5


def test_the_model_reads_results_in_order_then_what_people_said() -> None:
    run = given(asks("lookup", "refund"), says("Hurry."), returns("1-0", "ann"), rejects("1-1", "no"), says("Thanks."))
    assert run.told == [
        ("user", "Help."),
        ("assistant", ""),
        ("tool", "ann"),
        ("tool", "rejected"),
        ("user", "Hurry."),
    ]
    assert run.all_of(e.ModelCalled)[-1].messages == 5
    assert run.living.inbox == ("Thanks.",)


def test_each_model_call_names_the_number_of_messages_it_reads() -> None:
    run = given(asks("lookup"), returns("1-0"), says("Hurry."), replies("Done."), replies("Really."))
    assert [event.messages for event in run.all_of(e.ModelCalled)] == [1, 3, 5]


def test_totals_count_turns_calls_and_tokens() -> None:
    run = given(asks("lookup", "refund"), returns("1-0"), rejects("1-1"), replies("Done."))
    totals = run.events[-1].totals
    assert (totals.turns, totals.tool_calls, totals.input_tokens, totals.output_tokens) == (2, 2, 200, 20)


def test_totals_name_what_is_waited_for() -> None:
    run = given(asks("refund", "lookup", "suspend"), rejects("1-0"))
    named = [event.totals.waiting_on for event in run.events]
    assert named[-2:] == [("refund", "suspend"), ("suspend",)]


def test_an_ended_run_waits_for_nothing() -> None:
    run = given(asks("refund"), cancels())
    assert run.events[-1].totals.waiting_on == ()


def test_a_cancelled_run_names_who_cancelled_it_also_after_waiting_for_a_call() -> None:
    run = given(*GRANTED, cancels("wrong customer"), returns("1-0", claim_id="claim-1"))
    end = run.only(e.Cancelled)
    assert (end.by, end.channel, end.reason) == ("user:bob", "ui", "wrong customer")


def test_an_ended_run_keeps_only_what_answers_late_commands() -> None:
    run = given(asks("refund"), approves("1-0"), cancels())
    state = run.living
    assert (state.messages, state.calls, state.metadata) == ((), (), {})
    assert state.content_hash
    rejects("1-0")(run)
    refusal = run.last.answer.refusal
    assert refusal is not None
    assert refusal.winner is not None
    assert (refusal.code, refusal.winner.by, refusal.winner.decision) == ("already_decided", "user:bob", "approved")


def test_a_clock_that_jumps_back_does_not_take_the_log_along() -> None:
    run = given(asks("lookup"))
    run.pass_time(-3600)
    returns("1-0")(run)
    assert {event.at for event in run.events} == {T0}


@pytest.mark.parametrize(
    ("text", "output"),
    [
        ('{"category": "billing"}', {"category": "billing"}),
        ('  {"category": "billing"}\n', {"category": "billing"}),
        ('```json\n{"category": "billing"}\n```', {"category": "billing"}),
        ('```\n{"category": "billing"}\n```', {"category": "billing"}),
    ],
)
def test_an_answer_is_read_also_out_of_a_code_fence(text: str, output: Any) -> None:
    run = given(replies(text), agent=TYPED)
    done = run.only(e.Done)
    assert (done.output, done.output_error) == (output, None)


def test_the_model_is_told_what_is_wrong_with_its_answer() -> None:
    run = given(replies('{"category": 5}'), agent=TYPED)
    again = run.all_of(e.ModelCalled)[-1].ask_again
    assert again is not None
    assert "category: 5 is not of type 'string'" in again
    assert run.told[-1] == ("user", again)


def test_an_answer_that_stays_wrong_is_kept_as_text_with_its_error() -> None:
    run = given(replies("?"), replies("?"), replies("It is billing."), agent=TYPED)
    done = run.only(e.Done)
    assert done.output == "It is billing."
    assert done.output_error is not None
    assert done.output_error.startswith("not JSON")


@pytest.mark.parametrize(
    "text",
    ["NaN", "[1e999]", "[" * 100_000, "[" * 150 + "]" * 150, "9" * 5_000, "", "```", "\N{BYTE ORDER MARK}{}"],
    ids=lambda text: text[:8],
)
def test_an_answer_that_no_reader_of_the_log_could_read_stays_text(text: str) -> None:
    anything = AgentDefinition(name="any", model="replay/tests", output_schema={})
    output, problem = read_output(text, anything)
    assert output == text
    assert problem is not None
