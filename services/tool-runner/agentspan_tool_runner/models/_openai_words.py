"""What both of OpenAI's dialects say alike: results of calls, counts of tokens, and why a model stopped."""

import json

from agentspan_schemas.agents import AgentDefinition
from agentspan_schemas.messages import ToolMessage
from agentspan_tool_runner.models.ports import ModelError


def result_text(message: ToolMessage) -> str:
    """A call's result as text; the dialects have no mark for errors, so the word stands there."""
    if message.error is None:
        return message.value if isinstance(message.value, str) else json.dumps(message.value, ensure_ascii=False)
    said = f"Error: {message.error.message or message.error.kind}"
    if message.error.details:
        said = f"{said}\n{json.dumps(message.error.details, ensure_ascii=False)}"
    return said


def count(told: object) -> int:
    """A number of tokens; 0 where a server tells none."""
    return told if isinstance(told, int) and told > 0 else 0


def stopped(reason: str, said: str | None, model: str, definition: AgentDefinition) -> ModelError:
    """A reply that is cut off is no answer, and a call cut off is no call: nothing goes on from half a sentence."""
    match reason:
        case "length" | "max_output_tokens":
            return ModelError(
                "max_tokens",
                f"the reply was cut off at max_tokens={definition.max_tokens}: "
                f"give agent {definition.name!r} a larger max_tokens",
                retryable=False,
            )
        case "refusal" | "content_filter":
            why = said or ("the provider's content filter cut the reply" if reason == "content_filter" else "")
            message = f"model {model!r} refused to answer{f': {why}' if why else ''}; change what it is asked"
            return ModelError("refusal", message, retryable=False)
        case _:
            message = f"model {model!r} stopped with {reason!r}, which no agent here asks for"
            return ModelError(reason, message, retryable=False)
