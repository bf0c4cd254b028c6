"""The retail agent's tools as the product sees them: schemas as published, gates where something changes.

Apart from the shop's own tests because only these need the SDK.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from agentspan.agents import Tool, ToolContext
from agentspan.agents._context import context_set
from examples.retail_support.agent import retail_agent
from examples.retail_support.data import load_tools
from examples.retail_support.lookups import LOOKUPS
from examples.retail_support.records import NoTicket, ShopError
from examples.retail_support.shop import CHANGES
from examples.retail_support.store import ShopStore
from examples.retail_support.tools import (
    SHOP_FILE_VARIABLE,
    TOOLS,
    cancel_pending_order,
    find_user_id_by_email,
    get_order_details,
)

ORDER = "#W5442520"


@pytest.fixture
def file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    path = tmp_path / "shop.sqlite3"
    monkeypatch.setenv(SHOP_FILE_VARIABLE, str(path))
    return path


def test_the_agent_has_the_16_tools_of_the_data() -> None:
    assert [tool.name for tool in retail_agent.tools] == [raw["name"] for raw in load_tools()]
    assert {tool.name for tool in TOOLS} == {*LOOKUPS, *CHANGES}


@pytest.mark.parametrize("raw", load_tools(), ids=lambda raw: raw["name"])
def test_a_tools_schema_is_the_published_one(raw: dict[str, Any]) -> None:
    schema = _tool(raw["name"]).definition.input_schema

    assert schema["type"] == "object"
    assert schema.get("required", []) == raw["parameters"]["required"]
    assert _one_line(schema["properties"]) == raw["parameters"]["properties"]
    assert _one_line(_tool(raw["name"]).definition.description) == raw["description"]


def test_exactly_the_tools_that_change_something_wait_for_approval() -> None:
    gated = {tool.name for tool in TOOLS if tool.definition.approval_required}

    assert gated == set(CHANGES)
    assert {tool.name for tool in TOOLS if tool.definition.effects == "once"} == gated


def test_a_tool_works_on_its_tickets_copy_under_its_calls_key(file: Path) -> None:
    for _ in range(2):  # delivered twice
        with context_set(_context("key-1", ticket_id="t-1")):
            cancelled: Any = cancel_pending_order(ORDER, "no longer needed")
    with context_set(_context("key-2", ticket_id="t-2")):
        untouched: Any = get_order_details(ORDER)

    assert (cancelled["status"], untouched["status"]) == ("cancelled", "pending")
    store = ShopStore(file)
    assert [(effect.idempotency_key, effect.ticket) for effect in store.effects()] == [("key-1", "t-1")]
    store.close()


@pytest.mark.usefixtures("file")
def test_a_refusal_is_raised_with_the_text_for_the_model() -> None:
    with (
        context_set(_context("key-1", ticket_id="t-1")),
        pytest.raises(ShopError, match=r"no user has the email"),
    ):
        find_user_id_by_email("x@example.com")


@pytest.mark.usefixtures("file")
@pytest.mark.parametrize("metadata", [{}, {"ticket_id": ""}, {"ticket_id": 7}])
def test_a_run_without_a_ticket_is_told_how_to_start(metadata: dict[str, Any]) -> None:
    with context_set(_context("key-1", **metadata)), pytest.raises(NoTicket, match="start it with metadata="):
        get_order_details(ORDER)


def _tool(name: str) -> Tool[..., Any]:
    return next(tool for tool in TOOLS if tool.name == name)


def _context(key: str, **metadata: Any) -> ToolContext:
    return ToolContext("exec-1", "retail_support", "1-0", 1, key, metadata)


def _one_line(value: Any) -> Any:
    """The value with the line breaks of a docstring taken out of its texts."""
    match value:
        case str():
            return " ".join(value.split())
        case dict():
            return {key: _one_line(part) for key, part in value.items()}
        case _:
            return value
