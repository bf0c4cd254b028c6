"""Which pages are run from top to bottom, and what the model says on them.

Apart from the test that runs them so that accounting for every block needs no server.
"""

from agentspan.agents.testing import MockEvent, ModelAsked
from agentspan_schemas.messages import AssistantMessage
from tests.support.docs import ROOT

DOCS = ROOT / "docs"
_NAMES = ("quickstart.md", "concepts.md", "migration.md", "faq.md", "sdk.md")
EXECUTED = sorted([ROOT / "README.md", *(DOCS / name for name in _NAMES), *(DOCS / "how-to").glob("*.md")])

SHELL = [page for page in EXECUTED if page.name not in ("README.md", "quickstart.md", "sdk.md", "operate.md")]
"""Whose commands are run, too; those of the others are parsed. The quickstart's run in a test of their own."""

NAMES = {
    "sdk.md": """
from agentspan.agents import Agent, AgentHandle, AgentRuntime, CallOutcome, ToolContext, start, tool
from pydantic import BaseModel

class Resolution(BaseModel):
    action_taken: str = ""

class payments:
    find = staticmethod(lambda idempotency_key: None)

prompt = "I was charged twice"
"""
}
"""What a reader of a page has beside: Python, by the page's name."""

MODEL = "anthropic/claude-sonnet-4-6"
"""What the pages name; a scripted one stands in for it."""

REFUND = MockEvent.tool_call("issue_refund", {"customer_id": "cust_123", "amount_usd": 99.0, "reason": "charged twice"})

SMALL = MockEvent.tool_call("issue_refund", {"customer_id": "cust_7", "amount_usd": 20.0, "reason": "goodwill"})
SAID: dict[str, list[MockEvent | str]] = {
    "charged twice": [REFUND, "Your refund of $99.00 is on its way."],
    "small refund": [SMALL, "Your 20 dollars are on their way."],
}
"""What a prompt has in it, and the replies to it, turn by turn."""


def reply(asked: ModelAsked) -> MockEvent | str:
    """The next turn of the conversation that the prompt began."""
    prompt = asked.messages[0].text  # type: ignore[union-attr]
    turns = next((turns for words, turns in SAID.items() if words in prompt), ["I have answered."])
    said = sum(isinstance(message, AssistantMessage) for message in asked.messages)
    return turns[min(said, len(turns) - 1)]
