"""Between our conversation and the Messages API's: pure translation in both directions.

Apart from the client because it is all tables and no I/O. What the API asks of a conversation stands here: turns
alternate, tool results come first in the user's turn after the calls, and no text is blank.
"""

import json
from collections.abc import Iterable
from itertools import groupby
from typing import Any, assert_never

from pydantic import BaseModel, ConfigDict, JsonValue, ValidationError

from agentspan_schemas import JsonObject, Usage
from agentspan_schemas.agents import AgentDefinition, ToolDefinition
from agentspan_schemas.codec import describe
from agentspan_schemas.commands import AskedCall
from agentspan_schemas.messages import AssistantMessage, Message, ToolMessage, UserMessage
from agentspan_tool_runner.models.ports import ModelError, ModelRequest, ModelResponse

Block = dict[str, Any]

COMPLETE = ("end_turn", "tool_use", "stop_sequence")
"""The stop reasons of a whole reply."""


def request_body(request: ModelRequest) -> dict[str, Any]:
    """The arguments of `messages.create`."""
    definition = request.definition
    body: dict[str, Any] = {
        "model": request.model,
        "max_tokens": definition.max_tokens,
        "messages": conversation(request.messages),
    }
    if definition.temperature is not None:
        body["temperature"] = definition.temperature
    if system := system_prompt(definition):
        body["system"] = system
    if definition.tools:
        body["tools"] = [_tool(tool) for tool in definition.tools]
    return body


def system_prompt(definition: AgentDefinition) -> str:
    """The agent's instructions, and the shape of its answer where it has one."""
    parts = [definition.instructions.strip()]
    if definition.output_schema is not None:
        schema = json.dumps(definition.output_schema, ensure_ascii=False)
        parts.append(
            "When you are done and call no more tools, answer with one JSON value that is valid under this JSON "
            f"Schema, and with nothing else: no prose around it, no code fence.\n{schema}"
        )
    return "\n\n".join(part for part in parts if part)


def conversation(messages: Iterable[Message]) -> list[Block]:
    """Our messages as alternating turns of the API."""
    turns: list[Block] = []
    for is_assistant, group in groupby(messages, key=lambda message: isinstance(message, AssistantMessage)):
        blocks = [block for message in group for block in _blocks(message)]
        if not is_assistant:
            blocks.sort(key=lambda block: block["type"] != "tool_result")
        role = "assistant" if is_assistant else "user"
        if blocks and turns and turns[-1]["role"] == role:  # the turn between them was blank
            turns[-1]["content"] += blocks
        elif blocks:
            turns.append({"role": role, "content": blocks})
    return turns


def _blocks(message: Message) -> list[Block]:
    match message:
        case UserMessage():
            return _text(message.text)
        case AssistantMessage(blocks=None):
            return _text(message.text) + [
                {"type": "tool_use", "id": call.model_call_id, "name": call.tool, "input": call.args}
                for call in message.tool_calls
            ]
        case AssistantMessage():
            return [dict(block) for block in message.blocks or () if not _is_blank(block)]
        case ToolMessage():
            return [_tool_result(message)]
        case _:
            assert_never(message)


def _text(text: str) -> list[Block]:
    return [{"type": "text", "text": text}] if text.strip() else []


def _is_blank(block: JsonObject) -> bool:
    return block.get("type") == "text" and not str(block.get("text", "")).strip()


def _tool_result(message: ToolMessage) -> Block:
    if message.error is None:
        content = message.value if isinstance(message.value, str) else _json(message.value)
        return {"type": "tool_result", "tool_use_id": message.model_call_id, "content": content}
    content = message.error.message or message.error.kind
    if message.error.details:
        content = f"{content}\n{_json(message.error.details)}"
    return {"type": "tool_result", "tool_use_id": message.model_call_id, "content": content, "is_error": True}


def _tool(tool: ToolDefinition) -> Block:
    return {"name": tool.name, "description": tool.description, "input_schema": tool.input_schema}


def _json(value: JsonValue) -> str:
    return json.dumps(value, ensure_ascii=False)


class _Tokens(BaseModel):
    model_config = ConfigDict(extra="ignore")

    input_tokens: int = 0
    output_tokens: int = 0
    cache_read_input_tokens: int | None = None
    cache_creation_input_tokens: int | None = None


class _Reply(BaseModel):
    model_config = ConfigDict(extra="ignore")

    model: str
    content: tuple[JsonObject, ...]
    stop_reason: str
    stop_details: JsonObject | None = None
    usage: _Tokens


def response(raw: bytes, definition: AgentDefinition) -> ModelResponse:
    """The reply that these bytes are. Raises ModelError when they are none, or when the model stopped in the middle."""
    try:
        reply = _Reply.model_validate_json(raw)
    except ValidationError as error:
        raise ModelError(
            "malformed_reply", f"the Messages API answered with something else: {describe(error)}", retryable=True
        ) from error
    if reply.stop_reason not in COMPLETE:
        raise _stopped(reply, definition)
    return ModelResponse(
        model=reply.model,
        text="".join(str(block.get("text", "")) for block in reply.content if block.get("type") == "text"),
        tool_calls=tuple(_asked(block) for block in reply.content if block.get("type") == "tool_use"),
        blocks=reply.content,
        stop_reason=reply.stop_reason,
        usage=Usage(
            input_tokens=reply.usage.input_tokens,
            output_tokens=reply.usage.output_tokens,
            cache_read_tokens=reply.usage.cache_read_input_tokens or 0,
            cache_write_tokens=reply.usage.cache_creation_input_tokens or 0,
        ),
    )


def _asked(block: JsonObject) -> AskedCall:
    args, call_id, tool = block.get("input"), block.get("id"), block.get("name")
    if not isinstance(call_id, str) or not isinstance(tool, str):
        raise ModelError("malformed_reply", f"a tool_use block without id or name: {block!r}", retryable=True)
    if isinstance(args, dict):
        return AskedCall(model_call_id=call_id, tool=tool, args=args)
    error = f"the input of a call is a JSON object, not {_json(args)[:200]}"
    return AskedCall(model_call_id=call_id, tool=tool, args={}, args_error=error)


def _stopped(reply: _Reply, definition: AgentDefinition) -> ModelError:
    """A reply that is cut off is no answer, and a call cut off is no call: nothing goes on from half a sentence."""
    match reply.stop_reason:
        case "max_tokens":
            message = (
                f"the reply was cut off at max_tokens={definition.max_tokens}: "
                f"give agent {definition.name!r} a larger max_tokens"
            )
        case "refusal":
            why = (reply.stop_details or {}).get("explanation")
            message = f"model {reply.model!r} refused to answer{f': {why}' if why else ''}; change what it is asked"
        case "model_context_window_exceeded":
            message = (
                f"the conversation is longer than model {reply.model!r} can read: "
                "use a model with a larger context window, or tools that return less"
            )
        case other:
            message = f"model {reply.model!r} stopped with {other!r}, which no agent here asks for"
    return ModelError(reply.stop_reason, message, retryable=False)
