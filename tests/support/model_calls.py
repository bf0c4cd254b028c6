"""What tests ask a model's provider, whosever API it speaks, and how its reply goes back into the conversation.

Apart from the tests of each provider because a conversation is the same to all of them.
"""

from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

import pytest

from agentspan_schemas.agents import AgentDefinition, ToolDefinition
from agentspan_schemas.messages import AssistantMessage, Message, RequestedCall, ToolMessage, UserMessage
from agentspan_tool_runner.models import ModelError, ModelProvider, ModelRequest, ModelResponse

NOW = datetime(2026, 3, 1, 12, 0, tzinfo=UTC)
STATUSES = (
    (400, "invalid_request", False),
    (403, "permission", False),
    (404, "not_found", False),
    (408, "timeout", True),
    (409, "conflict", True),
    (422, "invalid_request", False),
    (429, "rate_limit", True),
    (500, "api_error", True),
    (503, "api_error", True),
)
"""What an HTTP status is called whosever it is, and whether asking again may help."""

LOOK_UP = ToolDefinition(name="look_up", description="Find an order.", input_schema={"type": "object"})


def asked(
    definition: AgentDefinition, *messages: Message, on_text: Callable[[str], None] | None = None
) -> ModelRequest:
    """The request of a turn; without messages, that of the first one."""
    return ModelRequest(
        definition=definition,
        messages=messages or (UserMessage(text="Where is order 7?"),),
        metadata={},
        execution_id="exec-1",
        turn=1,
        on_text=on_text,
    )


async def failed(model: ModelProvider, request: ModelRequest, key: str) -> ModelError:
    """The error that it ends with, which never has the key in it."""
    with pytest.raises(ModelError) as caught:
        await model.reply(request)
    assert key not in caught.value.message
    return caught.value


def as_message(response: ModelResponse) -> AssistantMessage:
    """The reply as the next request has it."""
    calls = tuple(
        RequestedCall(call_id=f"1-{at}", model_call_id=each.model_call_id, tool=each.tool, args=each.args)
        for at, each in enumerate(response.tool_calls)
    )
    return AssistantMessage(text=response.text, tool_calls=calls, blocks=response.blocks)


def as_result(call: RequestedCall, **outcome: Any) -> ToolMessage:
    """What came of a call."""
    return ToolMessage(call_id=call.call_id, model_call_id=call.model_call_id, tool=call.tool, **outcome)
