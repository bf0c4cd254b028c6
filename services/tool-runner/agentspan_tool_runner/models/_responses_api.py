"""Between our conversation and OpenAI's Responses: pure translation in both directions.

Nothing is stored at the other side: each turn hands back all items of those before, reasoning (encrypted) included.
"""

import json
from collections.abc import Callable, Iterable, Mapping
from typing import Any, assert_never

from agentspan_schemas import JsonObject, Usage
from agentspan_schemas.commands import AskedCall
from agentspan_schemas.messages import AssistantMessage, Message, ToolMessage, UserMessage
from agentspan_tool_runner.models import _failures as failures
from agentspan_tool_runner.models._messages_api import system_prompt
from agentspan_tool_runner.models._openai_words import count, result_text, stopped
from agentspan_tool_runner.models._reading import asked, malformed, storable
from agentspan_tool_runner.models.ports import ModelError, ModelRequest, ModelResponse

PATH = "/responses"

Item = dict[str, Any]

_FOREIGN = ("text", "tool_use", "thinking", "redacted_thinking", "reasoning_content")
"""Blocks of the other dialects: a run may have begun with another model."""


def request_body(request: ModelRequest) -> dict[str, Any]:
    """The body of one call."""
    definition = request.definition
    body: dict[str, Any] = {
        "model": request.model,
        "max_output_tokens": definition.max_tokens,
        "input": [item for message in request.messages for item in _items(message)],
        "store": False,
    }
    if system := system_prompt(definition):
        body["instructions"] = system
    if definition.temperature is not None:
        body["temperature"] = definition.temperature
    if definition.tools:
        body["tools"] = [
            {
                "type": "function",
                "name": tool.name,
                "description": tool.description,
                "parameters": tool.input_schema,
                "strict": False,  # a strict schema allows no defaults and no free objects
            }
            for tool in definition.tools
        ]
    return body


def _items(message: Message) -> list[Item]:
    match message:
        case UserMessage():
            return [{"role": "user", "content": message.text}]
        case AssistantMessage():
            return _handed_back(message.blocks) or _told_anew(message)
        case ToolMessage():
            return [{"type": "function_call_output", "call_id": message.model_call_id, "output": result_text(message)}]
        case _:
            assert_never(message)


def _handed_back(blocks: tuple[JsonObject, ...] | None) -> list[Item]:
    """The items of a reply as they came; [] when they are another dialect's, or reasoning is nothing but its id.

    An item that was made after reasoning is refused without it, so it is all of them or none.
    """
    items = [dict(block) for block in blocks or ()]
    whole = all(
        item.get("type") not in _FOREIGN and (item.get("type") != "reasoning" or item.get("encrypted_content"))
        for item in items
    )
    return items if whole else []


def _told_anew(message: AssistantMessage) -> list[Item]:
    said: list[Item] = [{"role": "assistant", "content": message.text}] if message.text else []
    return said + [
        {
            "type": "function_call",
            "call_id": call.model_call_id,
            "name": call.tool,
            "arguments": json.dumps(call.args, ensure_ascii=False),
        }
        for call in message.tool_calls
    ]


class Assembly:
    """Takes a reply's events; the last of them has it whole."""

    def __init__(self, api: failures.Api, on_text: Callable[[str], None] | None) -> None:
        self._api = api
        self._on_text = on_text
        self._response: dict[str, Any] | None = None
        self._items: list[Item] = []

    def take(self, event: Any) -> None:
        """One event of the stream. Raises ModelError for an error, and for what is none."""
        match event:
            case {"type": "response.output_text.delta", "delta": str() as words}:
                if self._on_text is not None:
                    self._on_text(words)
            case {"type": "response.output_item.done", "item": dict() as item}:
                self._items.append(item)
            case {
                "type": "response.completed" | "response.incomplete" | "response.failed",
                "response": dict() as response,
            }:
                self._response = response
            case {"type": "error", **error}:
                raise _failed(error, self._api)
            case {"type": str()}:
                pass
            case _:
                raise malformed(self._api.name, f"an event {str(event)[:200]}")

    def whole(self) -> dict[str, Any]:
        """The whole response. Raises ModelError when the stream ended before it did."""
        if self._response is None:
            raise failures.cut_off(self._api.name)
        if self._items and not self._response.get("output"):  # some servers tell each item once
            return {**self._response, "output": self._items}
        return self._response


def response(answer: Any, request: ModelRequest, api: failures.Api) -> ModelResponse:
    """The turn that this response is. Raises ModelError when it is none, or when the model stopped in the middle."""
    output, rest = _output(answer, api)
    model = str(rest.get("model") or request.model)
    parts = [part for item in output if item.get("type") == "message" for part in _parts(item)]
    for part in parts:
        if part.get("type") == "refusal":
            raise stopped("refusal", str(part.get("refusal") or ""), model, request.definition)
    if rest.get("status") != "completed":
        reason = (rest.get("incomplete_details") or {}).get("reason") or rest.get("status")
        raise stopped(str(reason), None, model, request.definition)
    calls = tuple(_call(item, api.name) for item in output if item.get("type") == "function_call")
    return ModelResponse(
        model=model,
        text="".join(str(part.get("text") or "") for part in parts if part.get("type") == "output_text"),
        tool_calls=calls,
        blocks=tuple(_returnable(output, calls)),
        stop_reason="completed",
        usage=_usage(rest.get("usage")),
    )


def _output(answer: Any, api: failures.Api) -> tuple[list[Item], dict[str, Any]]:
    match answer:
        case {"status": "failed", "error": dict() as error}:
            raise _failed(error, api)
        case {"output": list() as output, **rest} if all(isinstance(item, dict) for item in output):
            return output, {str(name): value for name, value in rest.items()}
        case _:
            raise malformed(api.name, str(answer)[:200] or "nothing")


def _parts(item: Item) -> list[Item]:
    content = item.get("content")
    return [part for part in content if isinstance(part, dict)] if isinstance(content, list) else []


def _call(item: Item, api: str) -> AskedCall:
    return asked(item.get("call_id"), item.get("name"), item.get("arguments"), api)


def _returnable(output: list[Item], calls: tuple[AskedCall, ...]) -> Iterable[Item]:
    """The items as the API takes them back: arguments that are no JSON (the model is told so) it may refuse."""
    broken = {call.model_call_id for call in calls if call.args_error}
    for item in output:
        yield storable({**item, "arguments": "{}"} if item.get("call_id") in broken else item)


def _failed(error: Mapping[Any, Any], api: failures.Api) -> ModelError:
    inner = error.get("error")
    told = inner if isinstance(inner, dict) else error
    kind = str(told.get("code") or told.get("type") or "")
    refused = failures.Refused(status=failures.status_of(kind), said=str(told.get("message") or ""), type=kind)
    return failures.refused(api, refused)


def _usage(usage: object) -> Usage:
    """Cached tokens are among the input's there, and beside them here."""
    told = usage if isinstance(usage, dict) else {}
    details = told.get("input_tokens_details") or {}
    read, written = count(details.get("cached_tokens")), count(details.get("cache_write_tokens"))
    return Usage(
        input_tokens=max(0, count(told.get("input_tokens")) - read - written),
        output_tokens=count(told.get("output_tokens")),
        cache_read_tokens=read,
        cache_write_tokens=written,
    )
