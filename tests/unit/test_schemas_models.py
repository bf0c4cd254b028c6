"""What the contract promises beside bytes: names that never change, files that match, promises of a definition."""

import importlib
import pkgutil
import subprocess
import sys
from inspect import getmembers, isclass
from typing import Any

import pytest
from pydantic import BaseModel

import agentspan_schemas
from agentspan_schemas import agents, http, topics
from agentspan_schemas.agents import AgentDefinition, ToolDefinition, schema_hash
from agentspan_schemas.codec import COMMANDS, EVENTS, FAMILIES, NOTES, TASKS
from agentspan_schemas.events import TERMINAL, Envelope, Event, Totals
from agentspan_schemas.generate import FOLDER, main, schemas
from tests.unit.schemas_examples import EXAMPLES

MODULES = [
    importlib.import_module(f"agentspan_schemas.{module.name}")
    for module in pkgutil.iter_modules(agentspan_schemas.__path__)
]
MODELS = sorted(
    {model for module in MODULES for _, model in getmembers(module, isclass) if issubclass(model, BaseModel)}
    - {BaseModel},
    key=lambda model: model.__qualname__,
)


def test_event_types_are_exactly_these_for_ever() -> None:
    assert list(EVENTS.types) == [
        "started", "model_called", "model_replied", "tool_call", "waiting", "approved", "rejected", "expired",
        "tool_started", "tool_result", "in_doubt", "retry_scheduled", "message", "paused", "resumed",
        "cancel_requested", "done", "failed", "cancelled",
    ]  # fmt: skip


def test_command_types_are_exactly_these() -> None:
    assert list(COMMANDS.types) == [
        "start", "model_reply", "model_failed", "claim", "decline", "return_result", "report_lost", "decide", "resolve",
        "send_message", "pause", "resume", "cancel", "fire_timer",
    ]  # fmt: skip


def test_notes_and_lanes_are_exactly_these() -> None:
    assert list(NOTES.types) == ["refused", "repeated", "unreadable"]
    assert list(TASKS.types) == ["model", "tool"]


def test_terminal_statuses_are_exactly_these() -> None:
    assert {"completed", "failed", "cancelled"} == TERMINAL


def test_every_event_has_the_whole_envelope() -> None:
    assert {
        "execution_id", "seq", "at", "agent", "agent_version", "started_at", "status", "totals", "causation_id",
        "traceparent", "schema_version",
    } == set(Envelope.model_fields)  # fmt: skip
    assert all(issubclass(model, Envelope) for model in EVENTS.types.values())


def test_a_changed_copy_leaves_all_other_messages_as_they_are() -> None:
    one, other = Totals.of(turns=1), Totals.of(turns=2)
    changed = one.model_copy(update={"turns": 3, "of_a_later_release": True})
    assert "of_a_later_release" in changed.model_fields_set
    assert one.model_fields_set == other.model_fields_set == set(Totals.model_fields)


@pytest.mark.parametrize("model", MODELS, ids=lambda model: model.__qualname__)
def test_every_model_says_what_it_is(model: type[BaseModel]) -> None:
    own = model.__dict__.get("__doc__")
    assert own
    assert own.strip().split("\n")[0].endswith((".", ":"))


@pytest.mark.parametrize("model", MODELS, ids=lambda model: model.__qualname__)
def test_every_model_is_frozen_and_says_what_it_does_with_unknown_fields(model: type[BaseModel]) -> None:
    assert model.model_config["frozen"] is True
    assert model.model_config["extra"] in ("allow", "forbid")


def test_only_what_comes_in_at_a_door_refuses_unknown_fields() -> None:
    strict = {model for model in MODELS if model.model_config["extra"] == "forbid"}
    assert {model.__module__ for model in strict} <= {http.__name__, "agentspan_schemas._base"}


def test_the_schema_files_are_those_of_the_models() -> None:
    assert main(["--check"]) == 0


def test_a_schema_file_that_differs_or_is_left_over_is_noticed(
    tmp_path: Any, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    page = tmp_path / "topics.md"
    page.write_text("before <!-- generated: topics --> old <!-- end --> after")
    monkeypatch.setattr("agentspan_schemas.generate.FOLDER", tmp_path)
    monkeypatch.setattr("agentspan_schemas.generate.TOPICS_PAGE", page)
    assert main([]) == 0
    assert page.read_text().startswith("before <!-- generated: topics -->\n\n| topic |")
    assert page.read_text().endswith("|\n\n<!-- end --> after")
    (tmp_path / "ticket.json").write_text("{}")
    (tmp_path / "event.gone.json").write_text("{}")
    (tmp_path / "asyncapi.yaml").write_text("{}")
    assert main(["--check"]) == 1
    assert "asyncapi.yaml, event.gone.json, ticket.json; run `make schemas`" in capsys.readouterr().err
    assert main([]) == 0
    assert {path.name for path in tmp_path.iterdir()} == {*schemas(), "asyncapi.yaml", "topics.md"}


def test_there_is_one_schema_file_a_message() -> None:
    assert len(schemas()) == len({example.name for example in EXAMPLES}) == sum(len(f.types) or 1 for f in FAMILIES)
    assert all((FOLDER / name).exists() for name in schemas())


def test_the_check_runs_as_a_command() -> None:
    done = subprocess.run([sys.executable, "-m", "agentspan_schemas.generate", "--check"], check=False)
    assert done.returncode == 0


def test_public_names_are_those_that_are_announced() -> None:
    assert agentspan_schemas.__all__ == sorted(agentspan_schemas.__all__, key=lambda name: (not name.isupper(), name))
    assert all(getattr(agentspan_schemas, name) is not None for name in agentspan_schemas.__all__)


def schema(**changes: Any) -> dict[str, Any]:
    return {
        "title": "Refund",
        "description": "Pays money back.",
        "type": "object",
        "properties": {"usd": {"type": "number", "description": "How much.", "examples": [5]}},
        "required": ["usd"],
    } | changes


def test_a_changed_docstring_is_the_same_schema() -> None:
    bare = {"type": "object", "properties": {"usd": {"type": "number"}}, "required": ["usd"]}
    assert schema_hash(schema()) == schema_hash(schema(title="X", description="Y")) == schema_hash(bare)


@pytest.mark.parametrize(
    "changed",
    [
        schema(properties={"usd": {"type": "integer"}}),
        schema(properties={"eur": {"type": "number"}}),
        schema(required=[]),
        schema(additionalProperties=False),
        schema(properties={"usd": {"type": "number"}, "title": {"type": "string"}}),
        schema(properties={"usd": {"type": "number"}, "description": {"type": "string"}}),
        schema(**{"$defs": {"examples": {"type": "string"}}}),
    ],
)
def test_a_changed_type_is_another_schema_also_of_a_property_that_is_named_like_a_comment(
    changed: dict[str, Any],
) -> None:
    assert schema_hash(changed) != schema_hash(schema())


def test_what_a_property_named_title_means_counts_but_not_how_it_is_described() -> None:
    def titled(kind: str, description: str) -> str:
        return schema_hash({"properties": {"title": {"type": kind, "description": description}}})

    assert titled("string", "a") == titled("string", "b") != titled("integer", "a")


def test_order_of_keys_is_no_difference() -> None:
    assert schema_hash(schema()) == schema_hash(dict(reversed(schema().items())))


def tool(**changes: Any) -> ToolDefinition:
    return ToolDefinition.model_validate({"name": "refund", "input_schema": schema()} | changes)


def agent(**changes: Any) -> AgentDefinition:
    return AgentDefinition.model_validate({"name": "support", "model": "anthropic/m", "tools": [tool()]} | changes)


def test_the_same_definition_is_the_same_version_and_another_is_not() -> None:
    assert agent().version == agent().version
    assert len({agent().version, agent(model="anthropic/n").version, agent(tools=[tool(description="x")]).version}) == 3


def test_a_tool_is_found_by_name() -> None:
    assert agent().tool("refund") == tool()
    assert agent().tool("gone") is None


@pytest.mark.parametrize(
    ("make", "changes", "told"),
    [
        (tool, {"effects": "once", "retries": 1}, "never re-run blindly"),
        (tool, {"retries": -1}, "greater than or equal to 0"),
        (tool, {"timeout_s": 0}, "greater than 0"),
        (tool, {"approval_expires_s": -1}, "greater than 0"),
        (tool, {"name": "no spaces"}, "pattern"),
        (agent, {"tools": [tool(), tool()]}, "two tools named 'refund'"),
        (agent, {"model": "claude"}, "pattern"),
        (agent, {"max_turns": 0}, "greater than or equal to 1"),
        (agent, {"name": ""}, "at least 1 character"),
    ],
)
def test_a_definition_that_can_not_work_is_refused(make: Any, changes: dict[str, Any], told: str) -> None:
    with pytest.raises(ValueError, match=told):
        make(**changes)


TOPICS = {
    "tickets": ("any", "delete", "other teams", False),
    "commands": ("execution_id", "delete", "API, approvals, tool-runner, ingest", True),
    "events": ("execution_id", "delete", "the partition's owner", True),
    "snapshots": ("execution_id/epoch", "compact", "the partition's owner", True),
    "tasks": ("execution_id/step/attempt", "compact", "the partition's owner", True),
    "workers": ("session", "compact", "tool-runner", False),
    "agents": ("name@version", "compact", "orchestrator's API", False),
    "approvals": ("approval_id", "compact", "approvals", True),
    "decisions": ("approval_id", "delete", "other teams", False),
    "settings": ("kind/name", "compact", "APIs", False),
}
"""Name: key, clean-up, writer, partitioned like events."""


def test_the_topics_are_those_of_the_design() -> None:
    assert {
        topic.name: (topic.key, topic.cleanup, topic.writer, topic.partitioned_like_events) for topic in topics.TOPICS
    } == TOPICS


def test_what_is_kept_for_how_long() -> None:
    days = {t.name: t.retention_ms / topics.DAY_MS for t in topics.TOPICS if t.retention_ms > 0}
    assert days == {"commands": 7, "decisions": 90}
    assert topics.EVENTS.retention_ms == -1
    assert topics.EVENTS.cleanup == "delete"
    assert topics.DLQ_RETENTION_MS == 30 * topics.DAY_MS


def test_topics_have_a_prefix_and_a_place_for_what_could_not_be_read() -> None:
    assert topics.topic_name(topics.EVENTS) == "agentspan.events"
    assert topics.topic_name(topics.EVENTS, "test") == "test.events"
    assert topics.dlq_name(topics.TICKETS) == "agentspan.tickets.dlq"


def test_every_member_of_a_union_is_in_its_module() -> None:
    assert {model.__module__ for model in EVENTS.types.values()} == {"agentspan_schemas.events"}
    assert Event is not None
    assert agents.schema_hash is schema_hash
