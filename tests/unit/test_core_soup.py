"""`evolve` is total: any events in any order make a state, which can be looked at, kept, and decided on.

Logs written by other versions, and the scripted events of a mock run, are such soups.
"""

from datetime import timedelta
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from agentspan_orchestrator.domain import (
    Execution,
    decide,
    due_commands,
    dump_state,
    evolve,
    granted_keys,
    load_state,
    next_due,
    open_tasks,
    schema_problem,
    timers,
)
from agentspan_schemas import JsonSchema
from agentspan_schemas.codec import COMMANDS, EVENTS, NOTES, encode
from agentspan_schemas.commands import Command
from agentspan_schemas.events import Envelope, Event
from tests.unit.core_agents import ARGS, SUPPORT
from tests.unit.core_run import EXECUTION, T0
from tests.unit.core_steps import asks
from tests.unit.core_steps import given as started_run

NOW = T0.isoformat()
FAILURE = {"kind": "broken", "message": "it broke"}
CALLS = st.sampled_from(["1-0", "1-0", "1-0", "1-1", "9-9"])
NUMBERS = st.sampled_from([0, 1, 2, 7])
MOMENTS = st.integers(-90, 90).map(lambda minutes: (T0 + timedelta(minutes=minutes)).isoformat())
ASKED: list[dict[str, Any]] = [
    {"call_id": "1-0", "model_call_id": "m", "tool": "refund", "args": {}, "args_error": None}
]

POOLS: dict[str, st.SearchStrategy[Any]] = {
    "execution_id": st.just(EXECUTION),
    "command_id": st.sampled_from(["c-1", "c-2", "c-3"]),
    "causation_id": st.sampled_from(["c-1", "c-2", "c-3"]),
    "seq": st.integers(1, 50),
    "turn": NUMBERS,
    "attempt": NUMBERS,
    "call_id": CALLS,
    "step": st.one_of(CALLS, st.sampled_from(["model-1", "model-x", "model-"])),
    "tool": st.sampled_from([*ARGS, "gone"]),
    "args": st.sampled_from([{}, *ARGS.values()]),
    "args_hash": st.sampled_from(["", "0" * 64]),
    "tool_calls": st.sampled_from([[], ASKED]),
    "claim_id": st.sampled_from(["claim-1", "claim-2"]),
    "timer_id": st.sampled_from(["deadline", "expiry:1-0", "grant:1-0/1", "retry:1-0/2", "", "grant:", "expiry"]),
    "status": st.sampled_from(["running", "waiting", "completed"]),
    "totals": st.just({}),
    "error": st.sampled_from([FAILURE]),
    "value": st.sampled_from([None, 1, {"id": "r-1"}]),
    "effects": st.sampled_from(["once", "idempotent"]),
    "retry_after_s": st.sampled_from([-1e300, 0, 1e300]),
    "timeout_s": st.sampled_from([0.1, 1e300]),
}
"""What the fields of a soup hold; a field that is not named here gets what its type says."""

BY_TYPE: dict[str, st.SearchStrategy[Any]] = {
    "string": st.sampled_from(["x", ""]),
    "integer": NUMBERS,
    "number": st.sampled_from([0.0, 5.0]),
    "boolean": st.booleans(),
    "object": st.just({}),
    "array": st.just([]),
    "null": st.none(),
}


def _fields(model: Any) -> st.SearchStrategy[dict[str, Any]]:
    schema = model.model_json_schema()
    required = {name: _field(name, schema["properties"][name]) for name in schema.get("required", ())}
    names = schema["properties"].keys() - required.keys() - {"schema_version", "type"}
    optional = {name: _field(name, schema["properties"][name]) for name in sorted(names)}
    tag = st.just(schema["properties"]["type"]["const"])
    return st.fixed_dictionaries({**required, "type": tag}, optional=optional)


def _field(name: str, schema: JsonSchema) -> st.SearchStrategy[Any]:
    if name in POOLS:
        return POOLS[name]
    if "enum" in schema:
        return st.sampled_from(schema["enum"])
    if schema.get("format") == "date-time":
        return MOMENTS
    if "anyOf" in schema:
        return st.one_of(*(_field("", option) for option in schema["anyOf"] if "$ref" not in option))
    return BY_TYPE[schema["type"]] if "type" in schema else st.just({})


def _soup(family: Any, often: list[str]) -> st.SearchStrategy[list[Any]]:
    kinds = [_fields(model).map(family.adapter.validate_python) for model in family.types.values()]
    thick = [_fields(family.types[name]).map(family.adapter.validate_python) for name in often]
    return st.lists(st.one_of(st.one_of(*thick), st.one_of(*kinds)), min_size=3, max_size=25)


EVENT_SOUP: st.SearchStrategy[list[Event]] = _soup(EVENTS, ["tool_call", "tool_started", "in_doubt"])
COMMAND_SOUP: st.SearchStrategy[list[Command]] = _soup(COMMANDS, ["resolve", "decline", "report_lost", "return_result"])


@settings(max_examples=200)
@given(EVENT_SOUP)
def test_any_events_in_any_order_make_a_state_that_can_be_looked_at_and_kept(soup: list[Event]) -> None:
    state: Execution | None = None
    for event in soup:
        state = evolve(state, event)
    assert state is not None
    open_tasks(state, T0)
    granted_keys(state)
    timers(state)
    next_due(state)
    due_commands(state, T0)
    assert load_state(dump_state(state)) == state


@settings(max_examples=200)
@given(EVENT_SOUP, COMMAND_SOUP)
def test_any_command_on_any_state_gets_an_answer_that_a_log_can_hold(events: list[Event], soup: list[Command]) -> None:
    state: Execution | None = None
    for event in events:
        state = evolve(state, event)
    for command in soup:
        outcome = decide(state, command, T0, SUPPORT)
        assert [EVENTS.decode(encode(event)) for event in outcome.events] == list(outcome.events)
        assert outcome.note is None or NOTES.decode(encode(outcome.note)) == outcome.note
        state = outcome.state


@pytest.mark.parametrize("kind", ["resolve", "decline", "return_result", "report_lost"])
def test_doubt_without_a_grant_is_answered(kind: str) -> None:
    """A scripted run may say so; nobody ever held the call."""
    run = started_run(asks("refund"))
    about = {"approval_id": f"{EXECUTION}.1-0", "call_id": "1-0", "tool": "refund", "attempt": 1, "claim_id": "x"}
    envelope = run.events[-1].model_dump(include=set(Envelope.model_fields)) | {"seq": 9}
    doubt = EVENTS.adapter.validate_python(envelope | about | {"type": "in_doubt", "worker": "w", "reason": "lost"})
    state = evolve(run.state, doubt)
    fields = {
        "command_id": "c",
        "execution_id": EXECUTION,
        "call_id": "1-0",
        "step": "1-0",
        "attempt": 1,
        "claim_id": "x",
    }
    fields |= {"worker": "w", "ok": True, "by": "user:eve", "channel": "ui", "outcome": "failed"}
    outcome = decide(state, COMMANDS.adapter.validate_python({"type": kind} | fields), T0, SUPPORT)
    assert outcome.answer.refusal is not None


@pytest.mark.parametrize(
    "schema",
    [
        {"type": "nonsense"},
        {"type": 5},
        {"pattern": "("},
        {"minimum": "a"},
        {"properties": 5},
        {"$ref": "#"},
        {"$ref": "#/$defs/missing"},
        {"$ref": "http://example.com/schema"},
    ],
    ids=str,
)
def test_a_schema_that_is_none_is_a_problem_not_a_crash(schema: JsonSchema) -> None:
    assert schema_problem({"a": 1}, schema)
