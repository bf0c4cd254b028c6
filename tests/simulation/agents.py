"""The agent of the simulation: tools of every kind that the core treats differently, and a model that asks by chance.

The tools are real ones, run by the real worker. Each begins with its effect, so that what a tool did is certain the
moment its code runs, and then takes its time, fails, or never gets to answer.
"""

import random
from typing import Any

from agentspan.agents import Agent, ToolContext, tool
from agentspan_schemas import Usage
from agentspan_schemas.agents import AgentDefinition
from agentspan_schemas.commands import AskedCall
from agentspan_tool_runner.models import ModelError, ModelRequest, ModelResponse
from tests.simulation.effects import LEDGER
from tests.simulation.process import HERE


async def _take_time(longest_s: float, fails: float = 0.0) -> None:
    process = HERE.get()
    await process.sleep(process.chance() * longest_s)
    if process.chance() < fails:
        raise RuntimeError("the tool failed after its effect")


@tool
async def lookup(email: str, context: ToolContext) -> dict[str, str]:
    """Ungated, run again after a lost worker."""
    value = LEDGER.get().ran("lookup", context, {"email": email})
    await _take_time(0.3)
    return value


@tool(retries=2, timeout_s=2)
async def search(words: str, context: ToolContext) -> dict[str, str]:
    """Fails and is tried again; sometimes takes longer than it may."""
    value = LEDGER.get().ran("search", context, {"words": words})
    await _take_time(3.0, fails=0.3)
    return value


@tool(effects="once")
async def mail(text: str, context: ToolContext) -> dict[str, str]:
    """Ungated, and must not run twice."""
    value = LEDGER.get().ran("mail", context, {"text": text})
    await _take_time(1.0, fails=0.1)
    return value


@tool(approval_required=True)
async def refund(customer: str, usd: float, context: ToolContext) -> dict[str, str]:
    """Money moves: gated, once."""
    value = LEDGER.get().ran("refund", context, {"customer": customer, "usd": usd})
    await _take_time(2.0, fails=0.1)
    return value


@tool(approval_required=True, timeout_s=2, approval_expires_s=12)
async def suspend(customer: str, context: ToolContext) -> dict[str, str]:
    """Gated, once; an undecided one expires, a slow one is in doubt."""
    value = LEDGER.get().ran("suspend", context, {"customer": customer})
    await _take_time(4.0)
    return value


@tool(approval_required=True, effects="idempotent")
async def note(text: str, context: ToolContext) -> dict[str, str]:
    """Gated, may be run again."""
    value = LEDGER.get().ran("note", context, {"text": text})
    await _take_time(0.5)
    return value


AGENT = Agent(name="support", model="script/chance", tools=[lookup, search, mail, refund, suspend, note], max_turns=3)

VERSION = AGENT.definition.version
"""Computed once: it is a hash of the whole definition."""

TOOL_HASHES = AGENT.tool_hashes

GATED = frozenset(tool.name for tool in AGENT.definition.tools if tool.approval_required)
"""The tools that must not run before somebody approved the call."""

TOOLS = ("lookup", "search", "mail", "mail", "refund", "refund", "refund", "suspend", "note")


def args_of(name: str, chances: random.Random) -> dict[str, Any]:
    """Arguments that the tool's schema accepts; rarely, some that it does not."""
    if chances.random() < 0.03:
        return {"nonsense": 1}
    which = chances.randrange(1000)
    match name:
        case "lookup":
            return {"email": f"ann{which}@example.com"}
        case "search":
            return {"words": f"parcel {which}"}
        case "refund":
            return {"customer": f"c-{which}", "usd": which + 0.5}
        case "suspend":
            return {"customer": f"c-{which}"}
        case _:
            return {"text": f"note {which}"}


class Script:
    """A model provider: by chance slow, failing, or asking for up to three calls at once."""

    def __init__(self, chances: random.Random) -> None:
        self._chances = chances
        self.troubled = True

    def check(self, definition: AgentDefinition) -> str | None:
        """Nothing is ever missing."""
        return None

    async def reply(self, request: ModelRequest) -> ModelResponse:
        """The next turn. Raises ModelError."""
        chances = self._chances
        await HERE.get().sleep(chances.random() * 0.5)
        if self.troubled and chances.random() < 0.1:
            retryable = chances.random() < 0.9
            raise ModelError("overloaded", "the model is overloaded", retryable=retryable)
        usage = Usage(input_tokens=10, output_tokens=5)
        if request.turn > 1 and chances.random() < 0.6:
            return ModelResponse("script", text="All done.", usage=usage)
        asked = [chances.choice(TOOLS) for _ in range(chances.choice((1, 1, 2, 3)))]
        calls = tuple(AskedCall(model_call_id="again", tool=name, args=args_of(name, chances)) for name in asked)
        return ModelResponse("script", tool_calls=calls, usage=usage)

    async def aclose(self) -> None:
        """There is nothing to let go of."""
