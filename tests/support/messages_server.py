"""A server on loopback that speaks the Messages API's wire format, for tests of the provider through its real client.

It checks each request as the API does (headers, fields, the order of a conversation) and answers what breaks a rule
with the API's own error body; what keeps them gets the next scripted answer. A test reads `requests` afterwards.
"""

import asyncio
import json
import re
from dataclasses import dataclass, field
from typing import Any, assert_never

from aiohttp import web

from tests.support.scripted_server import Raw, ScriptedServer, Silence, pieces

KEY = "sk-ant-test-4f1d9c"

_FIELDS = {
    "model", "max_tokens", "messages", "system", "tools", "tool_choice", "metadata", "stop_sequences", "stream",
    "temperature", "top_k", "top_p", "thinking", "service_tier", "cache_control", "container", "output_config",
}  # fmt: skip
_TOOL_NAME = re.compile(r"^[a-zA-Z0-9_-]{1,128}$")
_TOOL_USE_ID = re.compile(r"^[a-zA-Z0-9_-]+$")
_TYPES = {
    400: "invalid_request_error", 401: "authentication_error", 402: "billing_error", 403: "permission_error",
    404: "not_found_error", 408: "timeout_error", 413: "request_too_large", 429: "rate_limit_error",
    504: "timeout_error", 529: "overloaded_error",
}  # fmt: skip


@dataclass(frozen=True, slots=True)
class Reply:
    """A message of the model."""

    content: list[dict[str, Any]]
    stop_reason: str = "end_turn"
    usage: dict[str, Any] = field(default_factory=lambda: {"input_tokens": 11, "output_tokens": 7})
    stop_details: dict[str, Any] | None = None
    cut_after: int | None = None
    """A stream of it ends after so many events."""
    reset: bool = False
    """Whether it then ends by a reset, not in peace."""
    begins: asyncio.Event | None = None
    """What a stream of it waits for before it begins."""
    gate: asyncio.Event | None = None
    """What it waits for after its first words."""


@dataclass(frozen=True, slots=True)
class Events:
    """A stream of these very events."""

    events: list[dict[str, Any]]


@dataclass(frozen=True, slots=True)
class Fault:
    """An error as the API words it."""

    status: int
    message: str
    headers: dict[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class CutOff:
    """The connection ends after so many bytes of a longer reply; 0: before the response begins."""

    after: int = 0


Answer = Reply | Events | Fault | Raw | CutOff | Silence


def text(words: str) -> dict[str, Any]:
    """A text block."""
    return {"type": "text", "text": words, "citations": None}


def tool_use(call_id: str, name: str, args: object) -> dict[str, Any]:
    """A tool_use block."""
    return {"type": "tool_use", "id": call_id, "name": name, "input": args}


class MessagesServer(ScriptedServer[Answer]):
    """`async with MessagesServer() as server`: listens on `server.base_url` and plays what was scripted."""

    path = "/v1/messages"
    stream_type = "text/event-stream"

    def __init__(self) -> None:
        super().__init__(self.path)
        self._count = 0

    async def asked(self, request: web.Request) -> web.StreamResponse:
        self._count += 1
        request_id = f"req_{self._count:04}"
        if refusal := self.bad_headers(request):
            return _fault(refusal, request_id)
        try:
            body = self.body_of(request, json.loads(await request.read()))
        except ValueError:
            return _fault(Fault(400, "The request body is not valid JSON"), request_id)
        if problem := self.version_problem(request, body) or _problem(body):
            return _fault(Fault(400, problem), request_id)
        return await self._answer(self.next_answer(body), request, body, request_id)

    def bad_headers(self, request: web.Request) -> Fault | None:
        """What the API would refuse in these headers."""
        key = request.headers.get("x-api-key") or request.headers.get("authorization", "").removeprefix("Bearer ")
        if key != KEY:
            return Fault(401, "invalid x-api-key" if key else "x-api-key header is required")
        if "anthropic-version" not in request.headers:
            return Fault(400, "anthropic-version: header is required")
        if request.content_type != "application/json":
            return Fault(400, "content-type: application/json is required")
        return None

    def version_problem(self, request: web.Request, body: Any) -> str | None:
        """What the version of the API that is asked for does not take."""
        if request.headers["anthropic-version"] != "2023-06-01" and "temperature" in body:
            return "temperature: Extra inputs are not permitted"
        return None

    def body_of(self, request: web.Request, body: Any) -> Any:
        """The request as it would be at the API itself."""
        return body

    def frame(self, event: dict[str, Any]) -> bytes:
        """An event as a stream carries it."""
        return f"event: {event['type']}\ndata: {json.dumps(event)}\n\n".encode()

    async def _answer(
        self, answer: Answer, request: web.Request, body: dict[str, Any], request_id: str
    ) -> web.StreamResponse:
        match answer:
            case Reply() if body.get("stream"):
                if answer.begins is not None:
                    await answer.begins.wait()
                events = events_of(_message(answer, body, request_id))[: answer.cut_after]
                return await self._stream(request, events, reset=answer.reset, gate=answer.gate)
            case Reply():
                return _json(200, _message(answer, body, request_id), request_id)
            case Events():
                return await self._stream(request, answer.events)
            case Fault():
                return _fault(answer, request_id)
            case Raw():
                return answer.response()
            case CutOff():
                return await _cut_off(answer, request)
            case Silence():
                return await self.silence()
            case _:
                assert_never(answer)

    async def _stream(
        self,
        request: web.Request,
        events: list[dict[str, Any]],
        *,
        reset: bool = False,
        gate: asyncio.Event | None = None,
    ) -> web.StreamResponse:
        response = web.StreamResponse(headers={"content-type": self.stream_type})
        await response.prepare(request)
        for event in events:
            await response.write(self.frame(event))
            if gate is not None and event["type"] == "content_block_delta":
                await gate.wait()
        if reset and request.transport is not None:
            request.transport.abort()
        return response


def events_of(message: dict[str, Any]) -> list[dict[str, Any]]:
    """The events that a stream of this message has: every text in pieces, pings and what is new in between."""
    usage = {**message["usage"], "output_tokens": 1}
    began = {**message, "content": [], "stop_reason": None, "stop_details": None, "usage": usage}
    events: list[dict[str, Any]] = [{"type": "message_start", "message": began}, {"type": "ping"}]
    for at, block in enumerate(message["content"]):
        start, deltas = _in_pieces(block)
        events.append({"type": "content_block_start", "index": at, "content_block": start})
        events += [{"type": "content_block_delta", "index": at, "delta": delta} for delta in deltas]
        events.append({"type": "content_block_stop", "index": at})
    delta = {"stop_reason": message["stop_reason"], "stop_sequence": None, "stop_details": message["stop_details"]}
    events.append({"type": "message_delta", "delta": delta, "usage": {"output_tokens": usage_of(message)}})
    return [*events, {"type": "a_later_kind", "of": "event"}, {"type": "message_stop"}]


def usage_of(message: dict[str, Any]) -> int:
    """The tokens of the reply."""
    count: int = message["usage"]["output_tokens"]
    return count


def _in_pieces(block: dict[str, Any]) -> tuple[dict[str, Any], list[dict[str, Any]]]:
    match block:
        case {"type": "text", "text": str(words)}:
            return {**block, "text": ""}, [{"type": "text_delta", "text": piece} for piece in pieces(words)]
        case {"type": "thinking", "thinking": str(words), "signature": str(signature)}:
            deltas = [{"type": "thinking_delta", "thinking": piece} for piece in pieces(words)]
            start = {**block, "thinking": "", "signature": ""}
            return start, [*deltas, {"type": "signature_delta", "signature": signature}]
        case {"type": "tool_use", "input": args}:
            written = args if isinstance(args, str) else json.dumps(args)
            deltas = [{"type": "input_json_delta", "partial_json": piece} for piece in ["", *pieces(written)]]
            return {**block, "input": {}}, deltas
        case _:
            return block, []


def _message(reply: Reply, body: dict[str, Any], request_id: str) -> dict[str, Any]:
    return {
        "id": f"msg_{request_id}",
        "type": "message",
        "role": "assistant",
        "model": body["model"],
        "content": reply.content,
        "stop_reason": reply.stop_reason,
        "stop_sequence": None,
        "stop_details": reply.stop_details,
        "usage": {
            "cache_creation_input_tokens": 0,
            "cache_read_input_tokens": 0,
            "cache_creation": {"ephemeral_5m_input_tokens": 0, "ephemeral_1h_input_tokens": 0},
            "service_tier": "standard",
            **reply.usage,
        },
    }


def _fault(fault: Fault, request_id: str) -> web.Response:
    error = {"type": _TYPES.get(fault.status, "api_error"), "message": fault.message}
    return _json(fault.status, {"type": "error", "error": error, "request_id": request_id}, request_id, fault.headers)


def _json(status: int, body: object, request_id: str, headers: dict[str, str] | None = None) -> web.Response:
    return web.json_response(body, status=status, headers={"request-id": request_id, **(headers or {})})


async def _cut_off(cut: CutOff, request: web.Request) -> web.StreamResponse:
    response = web.StreamResponse(headers={"content-type": "application/json", "content-length": "5000"})
    if cut.after:
        await response.prepare(request)
        await response.write(b'{"type": "message", "content": [' + b" " * cut.after)
    if request.transport is not None:
        request.transport.close()
    return response


def _problem(body: object) -> str | None:
    """What the API would refuse in this body, in its words, or None."""
    if not isinstance(body, dict):
        return "Input should be an object"
    for name in ("model", "max_tokens", "messages"):
        if name not in body:
            return f"{name}: Field required"
    if extra := sorted(body.keys() - _FIELDS):
        return f"{extra[0]}: Extra inputs are not permitted"
    if not isinstance(body["max_tokens"], int) or body["max_tokens"] < 1:
        return "max_tokens: Input should be greater than or equal to 1"
    return _tools_problem(body.get("tools", [])) or _messages_problem(body["messages"])


def _tools_problem(tools: list[dict[str, Any]]) -> str | None:
    for at, tool in enumerate(tools):
        if not _TOOL_NAME.match(tool.get("name", "")):
            return f"tools.{at}.custom.name: String should match pattern '^[a-zA-Z0-9_-]{{1,128}}$'"
        if tool.get("input_schema", {}).get("type") != "object":
            return f"tools.{at}.custom.input_schema.type: Field required"
    return None


def _messages_problem(messages: list[dict[str, Any]]) -> str | None:
    if not messages:
        return "messages: at least one message is required"
    if messages[0].get("role") != "user":
        return 'messages: first message must use the "user" role'
    open_calls: list[str] = []
    for at, message in enumerate(messages):
        blocks = message["content"]
        if not blocks and at < len(messages) - 1:
            return (
                f"messages.{at}: all messages must have non-empty content except for the optional final assistant "
                "message"
            )
        if problem := _blocks_problem(at, message["role"], blocks) or _results_problem(at, blocks, open_calls):
            return problem
        open_calls = [block["id"] for block in blocks if block["type"] == "tool_use"]
        if len(set(open_calls)) < len(open_calls):
            return f"messages.{at}: `tool_use` ids must be unique"
    return None


def _blocks_problem(at: int, role: str, blocks: list[dict[str, Any]]) -> str | None:
    for place, block in enumerate(blocks):
        where = f"messages.{at}.content.{place}"
        match block:
            case {"type": "text", "text": str(words)}:
                if not words.strip():
                    return f"{where}: text content blocks must contain non-whitespace text"
            case {"type": "tool_use", "id": str(call_id), "name": str(), "input": dict()} if role == "assistant":
                if not _TOOL_USE_ID.match(call_id):
                    return f"{where}.tool_use.id: String should match pattern '^[a-zA-Z0-9_-]+$'"
            case {"type": "thinking", "thinking": str(), "signature": str()} if role == "assistant":
                pass
            case {"type": "redacted_thinking", "data": str()} if role == "assistant":
                pass
            case {"type": "a_later_kind"} if role == "assistant":
                pass
            case {"type": "tool_result", "tool_use_id": str(), "content": str()} if role == "user":
                if place and blocks[place - 1]["type"] != "tool_result":
                    return f"{where}: tool_result blocks must come first in the content array"
            case _:
                return f"{where}: Input tag {block.get('type')!r} found using 'type' does not match the expected tags"
    return None


def _results_problem(at: int, blocks: list[dict[str, Any]], open_calls: list[str]) -> str | None:
    results = [block["tool_use_id"] for block in blocks if block["type"] == "tool_result"]
    missing = [call_id for call_id in open_calls if call_id not in results]
    if missing:
        return (
            f"messages.{at}: `tool_use` ids were found without `tool_result` blocks immediately after: "
            f"{', '.join(missing)}. Each `tool_use` block must have a corresponding `tool_result` block in the next "
            "message."
        )
    for call_id in results:
        if call_id not in open_calls:
            return (
                f"messages.{at}: unexpected `tool_use_id` found in `tool_result` blocks: {call_id}. Each "
                "`tool_result` block must have a corresponding `tool_use` block in the previous message."
            )
    if len(set(results)) < len(results):
        return f"messages.{at}: each `tool_use` must have a single result"
    return None
