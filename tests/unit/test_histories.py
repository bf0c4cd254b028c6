"""Old logs fold for ever: each stored history makes, line by line, the states that it made when it was written."""

import json
from pathlib import Path

import pytest

from agentspan_orchestrator.domain import decide, due_commands, dump_state, load_state
from agentspan_schemas.codec import EVENTS, NOTES, encode
from agentspan_schemas.commands import Cancel, Decide
from tests.histories.stories import FOLDER, LONG, STORIES, folded
from tests.unit.core_agents import SUPPORT
from tests.unit.core_run import EXECUTION, T0, refold

HISTORIES = sorted(path for path in FOLDER.glob("*.jsonl") if not path.name.endswith(".folded.jsonl"))

each_history = pytest.mark.parametrize("path", HISTORIES, ids=lambda path: path.stem)


def lines(path: Path) -> list[bytes]:
    return path.read_bytes().splitlines()


def test_there_is_a_history_of_each_story() -> None:
    assert {path.stem for path in HISTORIES} == STORIES.keys()


def test_together_they_hold_every_event() -> None:
    held = {json.loads(line)["type"] for path in HISTORIES for line in lines(path)}
    assert held >= EVENTS.types.keys()
    assert {"refused", "repeated"} <= held


@each_history
def test_a_stored_history_makes_the_states_that_it_made(path: Path) -> None:
    stored = path.with_suffix(".folded.jsonl").read_text(encoding="utf-8").splitlines()
    assert list(folded(lines(path))) == [json.loads(line) for line in stored]


@each_history
def test_a_stored_history_is_read_and_written_without_a_change_to_what_it_says(path: Path) -> None:
    for line in lines(path):
        fields = json.loads(line)
        family = NOTES if fields["type"] in NOTES.types else EVENTS
        assert json.loads(encode(family.decode(line))).items() >= fields.items()


@each_history
def test_a_snapshot_of_an_old_run_can_be_kept_at_any_line(path: Path) -> None:
    written = lines(path)
    whole = refold(written)
    for k in range(1, len(written)):
        state = refold(written[:k])
        assert state is not None
        assert refold(written[k:], load_state(dump_state(state))) == whole


@each_history
def test_an_old_run_can_be_moved_from_wherever_it_stands(path: Path) -> None:
    written = lines(path)
    for k in range(1, len(written)):
        state = refold(written[:k])
        assert state is not None
        command = Cancel(command_id="today", execution_id=EXECUTION, by="user:today", channel="ui")
        ended = decide(state, command, state.at, SUPPORT)
        assert ended.answer.accepted != (state.terminal or state.ending is not None)
        for timer in due_commands(state, state.at + LONG):
            assert decide(state, timer, timer.due, SUPPORT).events


def test_a_call_that_waits_since_long_ago_can_be_approved_today() -> None:
    written = lines(FOLDER / "refund-approved.jsonl")
    waits = next(k for k, line in enumerate(written, 1) if b'"type":"waiting"' in line)
    state = refold(written[:waits])
    assert state is not None
    (call,) = state.awaited
    command = Decide(
        command_id="today", execution_id=EXECUTION, call_id=call.call_id, decision="approve", by="user:today",
        channel="ui", args_hash=call.args_hash,
    )  # fmt: skip
    outcome = decide(state, command, T0 + LONG, SUPPORT)
    assert [event.type for event in outcome.events] == ["approved"]
