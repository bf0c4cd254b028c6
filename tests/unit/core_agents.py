"""The agents that the core's tests run: one tool of each kind that the core treats differently.

Apart from the steps and laws because every one of them, and the stored histories, speak of the same two agents.
"""

from typing import Any

from agentspan_schemas.agents import AgentDefinition, ToolDefinition


def an_object(**properties: str) -> dict[str, Any]:
    """A JSON Schema: an object with these required properties and no others."""
    return {
        "type": "object",
        "properties": {name: {"type": kind} for name, kind in properties.items()},
        "required": sorted(properties),
        "additionalProperties": False,
    }


LOOKUP = ToolDefinition(name="lookup", input_schema=an_object(email="string"))
SEARCH = ToolDefinition(name="search", input_schema=an_object(words="string"), retries=2, timeout_s=10)
MAIL = ToolDefinition(name="mail", input_schema=an_object(text="string"), effects="once")
REFUND = ToolDefinition(
    name="refund",
    input_schema=an_object(customer="string", usd="number"),
    approval_required=True,
    effects="once",
)
SUSPEND = ToolDefinition(
    name="suspend",
    input_schema=an_object(customer="string"),
    approval_required=True,
    effects="once",
    timeout_s=30,
    approval_expires_s=3600,
)
NOTE = ToolDefinition(name="note", input_schema=an_object(text="string"), approval_required=True)

SUPPORT = AgentDefinition(
    name="support", model="replay/tests", tools=(LOOKUP, SEARCH, MAIL, REFUND, SUSPEND, NOTE), max_turns=4
)
"""Answers with text, after at most four turns."""

TYPED = SUPPORT.model_copy(update={"name": "typed", "output_schema": an_object(category="string")})
"""Answers with `{"category": …}`."""

ARGS: dict[str, dict[str, Any]] = {
    "lookup": {"email": "ann@example.com"},
    "search": {"words": "late parcel"},
    "mail": {"text": "On its way."},
    "refund": {"customer": "c-1", "usd": 99.0},
    "suspend": {"customer": "c-1"},
    "note": {"text": "Called twice."},
}
"""Arguments that each tool's schema accepts."""
