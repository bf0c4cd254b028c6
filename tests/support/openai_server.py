"""A server on loopback that speaks both of OpenAI's wire formats, for tests of the provider through its real client.

It checks each request as the API does (headers, fields, the order of a conversation) and answers what breaks a rule
with the API's own error body; what keeps them gets the next scripted answer. A test reads `requests` afterwards.
"""

import json
from dataclasses import dataclass, field
from typing import Any, assert_never

from aiohttp import web

from tests.support.scripted_server import Raw, ScriptedServer, Silence, pieces

KEY = "sk-test-9d1c4f"

_CHAT_FIELDS = {"model", "messages", "max_tokens", "temperature", "tools", "stream", "stream_options"}
_RESPONSES_FIELDS = {
    "model", "input", "instructions", "max_output_tokens", "temperature", "tools", "store", "stream",
}  # fmt: skip


@dataclass(frozen=True, slots=True)
class Reply:
    """A turn of the model, in either dialect."""

    text: str = ""
    calls: tuple[tuple[str, str, str], ...] = ()
    """Of each its id, the tool and the written arguments."""
    reasoning: str = ""
    refusal: str = ""
    finish: str = ""
    """Chat's finish_reason, or why a response is incomplete; "": as it ends by itself."""
    cut_after: int | None = None
    """A stream of it ends after so many events."""
    reset: bool = False
    """Whether it then ends by a reset, not in peace."""


@dataclass(frozen=True, slots=True)
class Events:
    """A stream of these very events."""

    events: list[Any]


@dataclass(frozen=True, slots=True)
class Whole:
    """This very body."""

    body: Any


@dataclass(frozen=True, slots=True)
class Fault:
    """An error as the API words it."""

    status: int
    message: str
    headers: dict[str, str] = field(default_factory=dict)
    code: str | None = None


Answer = Reply | Events | Whole | Fault | Raw | Silence


class OpenAIServer(ScriptedServer[Answer]):
    """`async with OpenAIServer() as server`: listens on `server.base_url` and plays what was scripted."""

    def __init__(self, key: str = KEY) -> None:
        super().__init__("/v1/chat/completions", "/v1/responses", version="/v1")
        self.paths: list[str] = []
        self._key = key

    async def asked(self, request: web.Request) -> web.StreamResponse:
        if self._key and request.headers.get("authorization") != f"Bearer {self._key}":
            return _fault(Fault(401, "Incorrect API key provided.", code="invalid_api_key"))
        body = json.loads(await request.read())
        chat = request.path.endswith("/chat/completions")
        if problem := _chat_problem(body) if chat else _responses_problem(body):
            return _fault(Fault(400, problem))
        self.paths.append(request.path)
        return await self._answer(self.next_answer(body), request, body, chat)

    async def _answer(
        self, answer: Answer, request: web.Request, body: dict[str, Any], chat: bool
    ) -> web.StreamResponse:
        match answer:
            case Reply() if body.get("stream"):
                events = _chunks(answer, body) if chat else _response_events(answer, body)
                return await _stream(request, events[: answer.cut_after], answer)
            case Reply():
                return web.json_response(_completion(answer, body) if chat else _response(answer, body))
            case Events():
                return await _stream(request, answer.events)
            case Whole():
                return web.json_response(answer.body)
            case Fault():
                return _fault(answer)
            case Raw():
                return answer.response()
            case Silence():
                return await self.silence()
            case _:
                assert_never(answer)


async def _stream(request: web.Request, events: list[Any], reply: Reply | None = None) -> web.StreamResponse:
    response = web.StreamResponse(headers={"content-type": "text/event-stream"})
    await response.prepare(request)
    for event in events:
        kind = f"event: {event['type']}\n" if isinstance(event, dict) and "type" in event else ""
        await response.write(f"{kind}data: {event if isinstance(event, str) else json.dumps(event)}\n\n".encode())
    if reply is not None and reply.reset and request.transport is not None:
        request.transport.abort()
    return response


def _fault(fault: Fault) -> web.Response:
    error = {"message": fault.message, "type": "invalid_request_error", "param": None, "code": fault.code}
    headers = {"x-request-id": "req_0001", **fault.headers}
    return web.json_response({"error": error}, status=fault.status, headers=headers)


def _usage() -> dict[str, Any]:
    return {"prompt_tokens": 30, "completion_tokens": 7, "prompt_tokens_details": {"cached_tokens": 10}}


def _finish(reply: Reply) -> str:
    return reply.finish or ("tool_calls" if reply.calls else "stop")


def _completion(reply: Reply, body: dict[str, Any]) -> dict[str, Any]:
    message: dict[str, Any] = {"role": "assistant", "content": reply.text or None, "refusal": reply.refusal or None}
    if reply.reasoning:
        message["reasoning_content"] = reply.reasoning
    if reply.calls:
        message["tool_calls"] = [_chat_call(*call) for call in reply.calls]
    choice = {"index": 0, "message": message, "finish_reason": _finish(reply)}
    return {"id": "chatcmpl-1", "model": body["model"], "choices": [choice], "usage": _usage()}


def _chat_call(call_id: str, tool: str, arguments: str) -> dict[str, Any]:
    return {"id": call_id, "type": "function", "function": {"name": tool, "arguments": arguments}}


def _chunks(reply: Reply, body: dict[str, Any]) -> list[Any]:
    deltas: list[dict[str, Any]] = [{"role": "assistant", "content": ""}]
    deltas += [{"reasoning_content": piece} for piece in pieces(reply.reasoning)]
    deltas += [{"content": piece} for piece in pieces(reply.text)]
    deltas += [{"refusal": piece} for piece in pieces(reply.refusal)]
    for at, (call_id, tool, arguments) in enumerate(reply.calls):
        deltas.append({"tool_calls": [{"index": at, **_chat_call(call_id, tool, "")}]})
        deltas += [{"tool_calls": [{"index": at, "function": {"arguments": piece}}]} for piece in pieces(arguments)]
    chunks: list[Any] = [_chunk(body, delta, None) for delta in deltas]
    chunks.append(_chunk(body, {}, _finish(reply)))
    if body.get("stream_options", {}).get("include_usage"):
        chunks.append({"id": "chatcmpl-1", "model": body["model"], "choices": [], "usage": _usage()})
    return [*chunks, "[DONE]"]


def _chunk(body: dict[str, Any], delta: dict[str, Any], finish: str | None) -> dict[str, Any]:
    return {
        "id": "chatcmpl-1",
        "object": "chat.completion.chunk",
        "model": body["model"],
        "choices": [{"index": 0, "delta": delta, "finish_reason": finish}],
    }


def _response(reply: Reply, body: dict[str, Any]) -> dict[str, Any]:
    output: list[dict[str, Any]] = []
    if reply.reasoning:
        output.append({"type": "reasoning", "id": "rs_1", "summary": [], "encrypted_content": reply.reasoning})
    if reply.text or reply.refusal:
        part = (
            {"type": "refusal", "refusal": reply.refusal}
            if reply.refusal
            else {"type": "output_text", "text": reply.text, "annotations": []}
        )
        output.append({"type": "message", "id": "msg_1", "role": "assistant", "status": "completed", "content": [part]})
    output += [
        {"type": "function_call", "id": f"fc_{call_id}", "call_id": call_id, "name": tool, "arguments": arguments}
        for call_id, tool, arguments in reply.calls
    ]
    return {
        "id": "resp_1",
        "object": "response",
        "model": body["model"],
        "status": "incomplete" if reply.finish else "completed",
        "incomplete_details": {"reason": reply.finish} if reply.finish else None,
        "error": None,
        "output": output,
        "usage": {
            "input_tokens": 30,
            "output_tokens": 7,
            "input_tokens_details": {"cached_tokens": 10, "cache_write_tokens": 5},
        },
    }


def _response_events(reply: Reply, body: dict[str, Any]) -> list[Any]:
    whole = _response(reply, body)
    events: list[Any] = [{"type": "response.created", "response": {**whole, "status": "in_progress", "output": []}}]
    events += [{"type": "response.output_text.delta", "delta": piece} for piece in pieces(reply.text)]
    events.append({"type": "response.of_later", "of": "event"})
    return [*events, {"type": f"response.{whole['status']}", "response": whole}]


def _chat_problem(body: dict[str, Any]) -> str | None:
    """What the API would refuse in this body, in its words, or None."""
    if extra := sorted(body.keys() - _CHAT_FIELDS):
        return f"Unrecognized request argument supplied: {extra[0]}"
    if "stream_options" in body and not body.get("stream"):
        return "The 'stream_options' parameter is only allowed when 'stream' is enabled."
    open_calls: set[str] = set()
    for at, message in enumerate(body["messages"]):
        if message["role"] == "tool":
            if message["tool_call_id"] not in open_calls:
                return f"messages.{at}: 'tool' must be a response to a preceding message with 'tool_calls'."
            open_calls.remove(message["tool_call_id"])
            continue
        if open_calls:
            return f"An assistant message with 'tool_calls' must be followed by tool messages: {sorted(open_calls)}"
        for call in message.get("tool_calls", ()):
            json.loads(call["function"]["arguments"])
            open_calls.add(call["id"])
    return None


def _responses_problem(body: dict[str, Any]) -> str | None:
    if extra := sorted(body.keys() - _RESPONSES_FIELDS):
        return f"Unknown parameter: '{extra[0]}'."
    if body.get("store") is not False:
        return "this server stores nothing"
    open_calls: set[str] = set()
    thought = False
    for at, item in enumerate(body["input"]):
        match item:
            case {"type": "reasoning", "encrypted_content": str()}:
                thought = True
            case {"type": "function_call", "call_id": str() as call_id, "arguments": str() as arguments}:
                json.loads(arguments)
                open_calls.add(call_id)
                if item.get("id") == "fc_thought" and not thought:
                    return f"Item '{item['id']}' was provided without its required 'reasoning' item."
            case {"type": "function_call_output", "call_id": str() as call_id, "output": str()}:
                if call_id not in open_calls:
                    return f"No tool call found for function call output with call_id {call_id}."
                open_calls.remove(call_id)
            case {"role": "user" | "assistant", "content": str() | list()}:
                pass
            case _:
                return f"Invalid value: input[{at}]"
    return f"No tool output found for function call {min(open_calls)}." if open_calls else None
