"""The stub model `bench/stub`, a plug-in of the server like any other provider: it replies at once, or after
BENCH_MODEL_S seconds.

Apart because it runs inside of the server: `plugin` writes what an installed package would have, the entry point.
"""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Final

from agentspan_schemas import JsonObject, Usage
from agentspan_schemas.agents import AgentDefinition
from agentspan_schemas.commands import AskedCall
from agentspan_schemas.messages import AssistantMessage, ToolMessage, UserMessage
from agentspan_tool_runner.models.ports import ModelError, ModelRequest, ModelResponse, ModelSettings

from . import job

DELAY_S: Final = "BENCH_MODEL_S"
USAGE: Final = Usage(input_tokens=100, output_tokens=20)

Turn = tuple[str, tuple[AskedCall, ...]]
"""What the model says, and the calls that it asks for."""


class StubModel:
    """Asks for two look-ups, then for the refund, then answers from what the tools gave."""

    def __init__(self, delay_s: float) -> None:
        self._delay_s = delay_s

    def check(self, definition: AgentDefinition) -> str | None:
        """Nothing is ever missing."""
        return None

    async def reply(self, request: ModelRequest) -> ModelResponse:
        """The next turn; which one it is follows from the conversation."""
        if self._delay_s:
            await asyncio.sleep(self._delay_s)
        match request.messages:
            case (UserMessage(text=prompt), *rest):
                text, calls = _turn(job.ticket_name(prompt), rest)
            case _:
                raise ModelError("invalid_request", "the conversation does not begin with a ticket", retryable=False)
        return ModelResponse(
            model=job.MODEL,
            text=text,
            tool_calls=calls,
            stop_reason="tool_use" if calls else "end_turn",
            usage=USAGE,
        )

    async def aclose(self) -> None:
        """Nothing is kept open."""


def look_ups(name: str) -> Turn:
    """The first turn of a ticket."""
    ticket: JsonObject = {"ticket": name}
    return "Let me look.", (_call("1", "lookup_customer", ticket), _call("2", "lookup_orders", ticket))


def wanted_refund(name: str) -> Turn:
    """The second one, after which it waits for a person."""
    wanted: JsonObject = {"ticket": name, "amount_usd": job.amount(name), "reason": "charged twice"}
    return "This was charged twice.", (_call("3", "issue_refund", wanted),)


def _turn(name: str, messages: list[UserMessage | AssistantMessage | ToolMessage]) -> Turn:
    match sum(isinstance(message, AssistantMessage) for message in messages):
        case 0:
            return look_ups(name)
        case 1:
            return wanted_refund(name)
        case _:
            return job.answer([message.value for message in messages if isinstance(message, ToolMessage)]), ()


def _call(model_call_id: str, tool: str, args: JsonObject) -> AskedCall:
    return AskedCall(model_call_id=model_call_id, tool=tool, args=args)


def provider(settings: ModelSettings) -> StubModel:
    """The entry point."""
    return StubModel(float(settings.environment.get(DELAY_S, "0")))


def plugin(folder: Path) -> Path:
    """A folder for PYTHONPATH in which this module is installed as a model provider."""
    metadata = folder / "bench_model-1.dist-info"
    metadata.mkdir(parents=True, exist_ok=True)
    (metadata / "METADATA").write_text("Metadata-Version: 2.1\nName: bench-model\nVersion: 1\n")
    (metadata / "entry_points.txt").write_text(f"[agentspan.models]\nbench = {__name__}:provider\n")
    return folder
