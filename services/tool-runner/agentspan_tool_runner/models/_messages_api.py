"""Between our conversation and the Messages API's: pure translation in both directions.

Apart from the client because it is all tables and no I/O. What the API asks of a conversation stands here: turns
alternate, tool results come first in the user's turn after the calls, and no text is blank.
"""

import json
from collections.abc import Iterable
from itertools import groupby
from typing import Any, assert_never

from pydantic import BaseModel, ConfigDict, Field, JsonValue, ValidationError

from agentspan_schemas import JsonObject, Usage
from agentspan_schemas.agents import AgentDefinition, ToolDefinition
from agentspan_schemas.codec import describe
from agentspan_schemas.commands import AskedCall
from agentspan_schemas.messages import AssistantMessage, Message, ToolMessage, UserMessage
from agentspan_tool_runner.models._reading import asked, malformed, storable
from agentspan_tool_runner.models.ports import ModelError, ModelRequest, ModelResponse

Block = dict[str, Any]

COMPLETE = ("end_turn", "tool_use", "stop_sequence")
"""The stop reasons of a whole reply."""

PAUSED = "pause_turn"
"""The model goes on when it is handed back what it said so far."""

FOREIGN = ("message", "function_call", "reasoning", "reasoning_content")
"""Blocks of the other dialects: a run may have begun with another model."""

_CACHED = {"cache_control": {"type": "ephemeral"}}


def request_body(request: ModelRequest) -> dict[str, Any]:
    """The arguments of `messages.create`."""
    definition = request.definition
    body: dict[str, Any] = {
        "model": request.model,
        "max_tokens": definition.max_tokens,
        "messages": conversation(request.messages),
    }
    if definition.tools or len(body["messages"]) > 1:  # or there is no next turn that would read it
        _mark_cached(body["messages"])
    if definition.temperature is not None:
        body["temperature"] = definition.temperature
    if system := system_prompt(definition):
        body["system"] = [{"type": "text", "text": system, **_CACHED}]
    if definition.tools:
        body["tools"] = [_tool(tool) for tool in definition.tools]
    return body


def _mark_cached(turns: list[Block]) -> None:
    """The conversation is cached up to its end, and read up to the end that it had one turn ago.

    Both are marked because the API looks back over twenty blocks alone, and one turn may have more results than that.
    """
    for turn in [turn for turn in turns if turn["role"] == "user"][-2:]:
        turn["content"][-1] = {**turn["content"][-1], **_CACHED}


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
        case AssistantMessage() if any(block.get("type") in FOREIGN for block in message.blocks or ()):
            return _blocks(message.model_copy(update={"blocks": None}))
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

    def usage(self) -> Usage:
        """As our messages count them."""
        return Usage(
            input_tokens=self.input_tokens,
            output_tokens=self.output_tokens,
            cache_read_tokens=self.cache_read_input_tokens or 0,
            cache_write_tokens=self.cache_creation_input_tokens or 0,
        )


class Reply(BaseModel):
    """One answer of the API."""

    model_config = ConfigDict(extra="ignore")

    model: str
    content: tuple[JsonObject, ...]
    stop_reason: str
    stop_details: JsonObject | None = None
    usage: _Tokens = Field(default_factory=_Tokens)


def reply(message: Any, api: str) -> Reply:
    """The answer that this value is. Raises ModelError when it is none."""
    try:
        return Reply.model_validate(message)
    except ValidationError as error:
        raise malformed(api, describe(error)) from error


def response(replies: list[Reply], definition: AgentDefinition, api: str) -> ModelResponse:
    """One turn of these answers, of which each goes on where the one before paused.

    Raises ModelError when the model stopped in the middle.
    """
    last = replies[-1]
    if last.stop_reason not in COMPLETE:
        raise _stopped(last, definition)
    content = [block for each in replies for block in each.content]
    calls = tuple(
        asked(block.get("id"), block.get("name"), block.get("input"), api)
        for block in content
        if block.get("type") == "tool_use"
    )
    return ModelResponse(
        model=last.model,
        text="".join(str(block.get("text", "")) for block in content if block.get("type") == "text"),
        tool_calls=calls,
        blocks=tuple(_returnable(block, calls) for block in content),
        stop_reason=last.stop_reason,
        usage=_total([each.usage.usage() for each in replies]),
    )


def _returnable(block: JsonObject, calls: tuple[AskedCall, ...]) -> JsonObject:
    """The block as the API takes it back: input that is no object (the model is told so) it would refuse."""
    broken = any(call.args_error for call in calls if call.model_call_id == block.get("id"))
    kept: JsonObject = storable({**block, "input": {}} if block.get("type") == "tool_use" and broken else block)
    return kept


def _total(parts: list[Usage]) -> Usage:
    return Usage(**{name: sum(getattr(part, name) for part in parts) for name in Usage.model_fields})


def _stopped(reply: Reply, definition: AgentDefinition) -> ModelError:
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
        case "pause_turn":
            message = f"model {reply.model!r} paused its turn again and again; ask it for less at a time"
        case other:
            message = f"model {reply.model!r} stopped with {other!r}, which no agent here asks for"
    return ModelError(reply.stop_reason, message, retryable=False)
