"""The laws of DESIGN.md section 4, over random lives of an execution.

Each law is said on the log alone, in words that share nothing with the core, so that a mistake in the one is not
repeated in the other.
"""

import random
from collections import Counter
from datetime import timedelta
from itertools import pairwise
from typing import get_args

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from agentspan_orchestrator.domain import GRANT_S, Execution, decide, dump_state, evolve, load_state, open_tasks, timers
from agentspan_schemas import events as e
from agentspan_schemas.answers import RefusalCode
from agentspan_schemas.codec import EVENTS, encode
from agentspan_schemas.commands import FireTimer, Pause
from agentspan_schemas.tasks import ToolTask
from tests.unit.core_chance import PLANS, lived, lives
from tests.unit.core_run import Decision, Run, records, refold

GATED = {"refund", "suspend", "note"}
A_YEAR = timedelta(days=365)

laws = settings(max_examples=100)


@pytest.fixture(scope="module")
def many() -> list[Run]:
    chance = random.Random(1)
    return [lived(chance.randbytes(180)) for _ in range(300)]


def test_random_lives_meet_every_event(many: list[Run]) -> None:
    seen = {event.type for run in many for event in run.events}
    assert seen == set(EVENTS.types)


def test_random_lives_meet_every_refusal(many: list[Run]) -> None:
    seen = {d.outcome.answer.refusal.code for run in many for d in run.log if d.outcome.answer.refusal}
    assert seen == set(get_args(RefusalCode)) - {"unknown_execution", "unknown_agent"}


def test_random_lives_end_in_every_status(many: list[Run]) -> None:
    assert {run.living.status for run in many} == set(get_args(e.Status))


@laws
@given(PLANS)
def test_seq_is_gapless_from_one(plan: bytes) -> None:
    run = lived(plan)
    assert [event.seq for event in run.events] == list(range(1, len(run.events) + 1))
    assert run.living.seq == len(run.events)


@laws
@given(PLANS)
def test_time_never_goes_back(plan: bytes) -> None:
    events = lived(plan).events
    assert all(before.at <= after.at for before, after in pairwise(events))


@laws
@given(PLANS)
def test_every_command_leaves_events_or_a_note_never_both(plan: bytes) -> None:
    for decision in lived(plan).log:
        outcome = decision.outcome
        assert bool(outcome.events) != bool(outcome.note)
        assert {event.causation_id for event in outcome.events} <= {decision.command.command_id}
        if outcome.events:
            assert outcome.answer.accepted


@laws
@given(PLANS, st.integers(-60, 10_000))
def test_the_same_command_again_makes_no_event_and_gets_the_same_answer(plan: bytes, seconds: int) -> None:
    run = lived(plan)
    for decision in run.log:
        if not _asks_again(decision):
            again = decide(decision.outcome.state, decision.command, run.now + timedelta(seconds=seconds), run.agent)
            assert again.events == ()
            assert again.answer == decision.outcome.answer.model_copy(update={"repeated": True})
            assert again.state == decision.outcome.state


@laws
@given(PLANS)
def test_a_whole_log_of_commands_again_makes_no_event(plan: bytes) -> None:
    run = lived(plan)
    answers = {d.command.command_id: d.outcome.answer for d in reversed(run.log) if not _asks_again(d)}
    for decision in run.log:
        if not _asks_again(decision):
            again = decide(run.living, decision.command, run.now, run.agent)
            first = answers[decision.command.command_id]
            assert again.events == ()
            assert again.answer == first.model_copy(update={"repeated": True})


def _asks_again(decision: Decision) -> bool:
    """A timer that was refused may fire again: another owner's clock was ahead."""
    return isinstance(decision.command, FireTimer) and not decision.outcome.answer.accepted


@settings(laws, max_examples=40)
@given(PLANS)
def test_a_snapshot_and_the_tail_fold_to_the_same_as_all(plan: bytes) -> None:
    run = lived(plan)
    for k, decision in enumerate(run.log):
        state = decision.outcome.state
        assert state is not None
        restored = load_state(dump_state(state))
        assert restored == state
        assert refold(records(run.log[k + 1 :]), restored) == run.state


@settings(laws, max_examples=40)
@given(PLANS)
def test_the_log_alone_makes_the_state_at_every_point(plan: bytes) -> None:
    run = lived(plan)
    state: Execution | None = None
    for decision in run.log:
        state = refold(records([decision]), state)
        assert state == decision.outcome.state
        assert state is not None
        assert dump_state(state) == dump_state(load_state(dump_state(state)))


@settings(laws, max_examples=20)
@given(PLANS)
def test_a_restart_at_any_point_goes_on_exactly_as_if_nothing_had_happened(plan: bytes) -> None:
    run = lived(plan)
    whole = records(run.log)
    for k in range(1, len(run.log)):
        state = refold(written := records(run.log[:k]))
        for decision in run.log[k:]:
            outcome = decide(state, decision.command, decision.now, run.agent)
            state = outcome.state
            written += records([Decision(decision.command, decision.now, outcome)])
        assert written == whole


@laws
@given(PLANS)
def test_a_call_ends_at_most_once(plan: bytes) -> None:
    ends = Counter(
        event.call_id for event in lived(plan).events if isinstance(event, e.ToolResult | e.Rejected | e.Expired)
    )
    assert set(ends.values()) <= {1}


@laws
@given(PLANS)
def test_a_call_is_decided_at_most_once_on_the_args_that_were_shown(plan: bytes) -> None:
    run = lived(plan)
    decided = [event for event in run.events if isinstance(event, e.Approved | e.Rejected)]
    shown = {event.call_id: event.args_hash for event in run.all_of(e.Waiting)}
    assert len({event.call_id for event in decided}) == len(decided)
    assert all(event.seen_args_hash == shown[event.call_id] for event in decided)


@laws
@given(PLANS)
def test_a_gated_tool_has_no_task_and_no_grant_before_its_approval(plan: bytes) -> None:
    run = lived(plan)
    answered = {event.call_id for event in run.all_of(e.ToolResult) if event.attempt == 0}  # at once, as they can't run
    approved: dict[str, str] = {}
    state: Execution | None = None
    for event in run.events:
        state = evolve(state, event)
        match event:
            case e.Approved():
                approved[event.call_id] = event.args_hash
            case e.ToolStarted() if event.tool in GATED:
                assert event.call_id in approved
            case _:
                pass
        for task in open_tasks(state, event.at + A_YEAR):
            if isinstance(task, ToolTask) and task.tool in GATED and task.call_id not in answered:
                assert approved[task.call_id] == task.args_hash


@laws
@given(PLANS)
def test_after_a_terminal_event_nothing_moves(plan: bytes) -> None:
    run = lived(plan)
    ends = [event.seq for event in run.events if event.status in e.TERMINAL]
    assert ends in ([], [len(run.events)])
    if ends:
        assert open_tasks(run.living, run.now + A_YEAR) == ()
        assert timers(run.living) == ()


@laws
@given(PLANS)
def test_no_granted_call_ends_without_result_or_word_that_it_did_not_run(plan: bytes) -> None:
    for call_id, story in _stories(lived(plan)).items():
        out: str | None = None
        for event in story:
            match event:
                case e.ToolStarted():
                    assert out is None, f"{call_id} was granted twice"
                    out = event.claim_id
                case e.ToolResult():
                    assert out in (None, event.claim_id), f"{call_id} has a result of a claim that is not out"
                    out = None
                case e.RetryScheduled() if out:
                    assert event.reason in ("declined", "resolved")
                    out = None
                case e.Done() | e.Failed() | e.Cancelled():
                    assert out is None, f"{call_id} was out when the run ended"
                case _:
                    pass


@laws
@given(PLANS)
def test_doubt_follows_a_grant_and_never_before_the_grant_is_spent(plan: bytes) -> None:
    for story in _stories(lived(plan)).values():
        grant: e.ToolStarted | None = None
        for event in story:
            if isinstance(event, e.ToolStarted):
                grant = event
            if isinstance(event, e.InDoubt):
                assert grant is not None
                assert event.claim_id == grant.claim_id
                assert event.at >= grant.at + timedelta(seconds=GRANT_S)


def _stories(run: Run) -> dict[str, list[e.Event]]:
    """For each call the events that concern it; the end of the run concerns all."""
    calls = {event.call_id for event in run.all_of(e.ToolCall)}
    return {
        call_id: [event for event in run.events if getattr(event, "call_id", None) in (call_id, None)]
        for call_id in calls
    }


@laws
@given(PLANS)
def test_status_and_totals_of_an_event_are_those_of_the_fold(plan: bytes) -> None:
    state: Execution | None = None
    for event in lived(plan).events:
        state = evolve(state, event)
        assert (event.status, event.totals) == (state.status, state.totals)


@laws
@given(PLANS)
def test_totals_are_what_counting_the_events_gives(plan: bytes) -> None:
    run = lived(plan)
    totals = run.events[-1].totals
    replied = run.all_of(e.ModelReplied)
    assert totals.turns == len(run.all_of(e.ModelCalled))
    assert totals.tool_calls == len(run.all_of(e.ToolCall))
    assert totals.input_tokens == sum(event.usage.input_tokens for event in replied)
    assert totals.output_tokens == sum(event.usage.output_tokens for event in replied)
    assert sorted(totals.waiting_on) == sorted(_waited_for(run))


def _waited_for(run: Run) -> list[str]:
    waiting: dict[str, str] = {}
    for event in run.events:
        match event:
            case e.Waiting() | e.InDoubt():
                waiting[event.call_id] = event.tool
            case e.Approved() | e.Rejected() | e.Expired() | e.ToolResult() | e.RetryScheduled():
                waiting.pop(event.call_id or "", None)
            case e.Done() | e.Failed() | e.Cancelled():
                waiting.clear()
            case _:
                pass
    return list(waiting.values())


@laws
@given(PLANS)
def test_a_turn_has_one_reply_and_there_are_no_more_than_allowed(plan: bytes) -> None:
    run = lived(plan)
    turns = [event.turn for event in run.all_of(e.ModelReplied)]
    assert turns == list(range(1, len(turns) + 1))
    assert len(run.all_of(e.ModelCalled)) <= run.agent.max_turns


@laws
@given(PLANS)
def test_every_event_is_the_same_after_a_journey_as_bytes(plan: bytes) -> None:
    for event in lived(plan).events:
        assert EVENTS.decode(encode(event)) == event


@laws
@given(PLANS)
def test_a_run_that_has_not_ended_always_has_something_that_moves_it(plan: bytes) -> None:
    for run in lives(plan):
        state = run.living
        if not state.terminal and not state.paused:
            calls_out = any(call.phase in ("waiting", "granted", "in_doubt") for call in state.calls)
            assert calls_out or open_tasks(state, run.now + A_YEAR)


@laws
@given(PLANS)
def test_a_paused_run_has_no_tasks(plan: bytes) -> None:
    run = lived(plan)
    command = Pause(command_id="pause", execution_id=run.living.execution_id, by="user:bob", channel="ui")
    paused = decide(run.state, command, run.now, run.agent).state
    assert paused is not None
    assert open_tasks(paused, run.now + A_YEAR) == ()
