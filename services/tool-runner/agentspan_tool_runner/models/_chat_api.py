"""Between our conversation and Chat Completions, which compatible servers speak: pure translation in both directions.

Servers differ in what they leave out (ids of calls, indexes, usage), so little is demanded of a reply. Reasoning that a
server shows is handed back to it within the conversation, as some demand.
"""

import json
from collections.abc import Callable, Iterable
from itertools import groupby
from typing import Any, assert_never

from agentspan_schemas import JsonObject, Usage
from agentspan_schemas.commands import AskedCall
from agentspan_schemas.messages import AssistantMessage, Message, ToolMessage, UserMessage
from agentspan_tool_runner.models._failures import cut_off
from agentspan_tool_runner.models._messages_api import system_prompt
from agentspan_tool_runner.models._openai_words import count, result_text, stopped
from agentspan_tool_runner.models._reading import asked, malformed
from agentspan_tool_runner.models.ports import ModelRequest, ModelResponse

PATH = "/chat/completions"

REASONING = "reasoning_content"
"""The field that servers show reasoning in, and the type of the block that we keep it in."""

Turn = dict[str, Any]


def request_body(request: ModelRequest) -> dict[str, Any]:
    """The body of one call."""
    definition = request.definition
    system = system_prompt(definition)
    body: dict[str, Any] = {
        "model": request.model,
        "max_tokens": definition.max_tokens,
        "messages": [{"role": "system", "content": system}] * bool(system) + conversation(request.messages),
    }
    if definition.temperature is not None:
        body["temperature"] = definition.temperature
    if definition.tools:
        body["tools"] = [
            {
                "type": "function",
                "function": {"name": tool.name, "description": tool.description, "parameters": tool.input_schema},
            }
            for tool in definition.tools
        ]
    return body


def conversation(messages: Iterable[Message]) -> list[Turn]:
    """Our messages in the API's order: the results of calls follow them at once."""
    turns: list[Turn] = []
    for _, group in groupby(messages, key=lambda message: isinstance(message, AssistantMessage)):
        turns += sorted((_turn(message) for message in group), key=lambda turn: turn["role"] == "user")
    return turns


def _turn(message: Message) -> Turn:
    match message:
        case UserMessage():
            return {"role": "user", "content": message.text}
        case AssistantMessage():
            return _assistant(message)
        case ToolMessage():
            return {"role": "tool", "tool_call_id": message.model_call_id, "content": result_text(message)}
        case _:
            assert_never(message)


def _assistant(message: AssistantMessage) -> Turn:
    turn: Turn = {"role": "assistant", "content": message.text}
    if message.tool_calls:
        turn["tool_calls"] = [
            {
                "id": call.model_call_id,
                "type": "function",
                "function": {"name": call.tool, "arguments": json.dumps(call.args, ensure_ascii=False)},
            }
            for call in message.tool_calls
        ]
    for block in message.blocks or ():
        if block.get("type") == REASONING:
            turn[REASONING] = block.get(REASONING)
    return turn


class Assembly:
    """A completion put together from its chunks, so that it reads like one that came as a whole."""

    def __init__(self, api: str, on_text: Callable[[str], None] | None) -> None:
        self._api = api
        self._on_text = on_text
        self._model: str | None = None
        self._usage: object = None
        self._finish: object = None
        self._parts: dict[str, list[str]] = {"content": [], "refusal": [], REASONING: []}
        self._calls: dict[int, dict[str, Any]] = {}

    def take(self, chunk: object) -> None:
        """One chunk of the stream. Raises ModelError for what is none."""
        if not isinstance(chunk, dict):
            raise malformed(self._api, f"a chunk {str(chunk)[:200]}")
        self._model = self._model or chunk.get("model")
        self._usage = chunk.get("usage") or self._usage
        match chunk.get("choices"):
            case [{"delta": dict() as delta} as choice, *_]:
                self._delta(delta)
                self._finish = choice.get("finish_reason") or self._finish
            case [{"finish_reason": str() as finish}, *_]:
                self._finish = finish
            case None | []:
                pass
            case other:
                raise malformed(self._api, f"choices {str(other)[:200]}")

    def completion(self) -> dict[str, Any]:
        """The whole completion. Raises ModelError when the stream ended before it did."""
        if not self._finish:
            raise cut_off(self._api)
        message: dict[str, Any] = {name: "".join(parts) for name, parts in self._parts.items()}
        message["tool_calls"] = [self._calls[at] for at in sorted(self._calls)]
        choice = {"message": message, "finish_reason": self._finish}
        return {"model": self._model, "choices": [choice], "usage": self._usage}

    def _delta(self, delta: dict[str, Any]) -> None:
        for name, parts in self._parts.items():
            words = _text(delta.get(name))
            if name == REASONING and not words:
                words = _text(delta.get("reasoning"))
            if words:
                parts.append(words)
                if name == "content" and self._on_text is not None:
                    self._on_text(words)
        for call in delta.get("tool_calls") or ():
            self._call(call)

    def _call(self, part: object) -> None:
        match part:
            case {"function": dict() as function, **rest}:
                pass
            case _:
                raise malformed(self._api, f"a part of a tool call {str(part)[:200]}")
        at = rest.get("index")
        if not isinstance(at, int):  # some servers number none, and give an id to each new one
            at = len(self._calls) - (0 if rest.get("id") or not self._calls else 1)
        call = self._calls.setdefault(at, {"id": "", "function": {"name": "", "arguments": ""}})
        call["id"] = rest.get("id") or call["id"]
        call["function"]["name"] += str(function.get("name") or "")
        arguments = function.get("arguments")
        if isinstance(arguments, str) and isinstance(call["function"]["arguments"], str):
            call["function"]["arguments"] += arguments
        elif arguments is not None:
            call["function"]["arguments"] = arguments


def response(completion: object, request: ModelRequest, api: str) -> ModelResponse:
    """The turn that this completion is. Raises ModelError when it is none, or when the model stopped in the middle."""
    match completion:
        case {"choices": [{"message": dict() as message} as choice, *_], **rest}:
            finish = str(choice.get("finish_reason") or "stop")
        case _:
            raise malformed(api, str(completion)[:200] or "nothing")
    model = str(rest.get("model") or request.model)
    if message.get("refusal"):
        raise stopped("refusal", str(message["refusal"]), model, request.definition)
    if finish in ("length", "content_filter"):
        raise stopped(finish, None, model, request.definition)
    return ModelResponse(
        model=model,
        text=_text(message.get("content")),
        tool_calls=tuple(_calls(message.get("tool_calls"), request, api)),
        blocks=_reasoning(message),
        stop_reason=finish,
        usage=_usage(rest.get("usage")),
    )


def _calls(calls: object, request: ModelRequest, api: str) -> Iterable[AskedCall]:
    for at, call in enumerate(calls if isinstance(calls, list) else ()):
        match call:
            case {"function": dict() as function, **rest}:
                call_id = rest.get("id") or f"call_{request.turn}_{at}"
                yield asked(call_id, function.get("name"), function.get("arguments") or {}, api)
            case _:
                raise malformed(api, f"a tool call {str(call)[:200]}")


def _text(content: object) -> str:
    match content:
        case str():
            return content
        case list():
            return "".join(
                str(part.get("text") or "")
                for part in content
                if isinstance(part, dict) and part.get("type") in ("text", "output_text")
            )
        case _:
            return ""


def _reasoning(message: dict[str, Any]) -> tuple[JsonObject, ...] | None:
    words = _text(message.get(REASONING) or message.get("reasoning"))
    return ({"type": REASONING, REASONING: words},) if words else None


def _usage(usage: object) -> Usage:
    """Cached tokens are among the prompt's there, and beside them here."""
    told = usage if isinstance(usage, dict) else {}
    cached = count((told.get("prompt_tokens_details") or {}).get("cached_tokens"))
    return Usage(
        input_tokens=max(0, count(told.get("prompt_tokens")) - cached),
        output_tokens=count(told.get("completion_tokens")),
        cache_read_tokens=cached,
    )
