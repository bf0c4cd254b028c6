"""The plain doors past FastAPI: which of them a request is for, what is read of it, and who answers what goes wrong."""

import asyncio
import json
from collections.abc import Awaitable, Callable

import httpx
import pytest
from fastapi import APIRouter
from starlette.requests import ClientDisconnect
from starlette.routing import Route
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from agentspan.eventlog.commands import Unavailable
from agentspan_doors import Asked, DoorError, Plain, PlainDoor, Said, body_of, create_app, write_route
from agentspan_doors.plain import headers_of
from agentspan_doors.table import RouteTable
from agentspan_doors.unforeseen import Unforeseen
from agentspan_schemas import TooLarge
from agentspan_schemas.http import MessageRequest

DOOR = PlainDoor(method="POST", path="/notes/{name}", operation_id="note", summary="", description="", tag="notes")


async def nothing(scope: Scope, receive: Receive) -> Said:
    return Said(b"{}")


def route(path: str, *methods: str) -> Route:
    return Route(path, Plain(nothing), methods=list(methods), name=path)


TABLE = RouteTable(
    [
        route("/things", "POST"),
        route("/things/{thing}", "GET"),
        route("/things/{thing}", "DELETE"),
        route("/things/{id}/parts/{part}", "GET"),
        route("/things/newest", "GET"),
    ]
)


@pytest.mark.parametrize(
    ("method", "path", "expected"),
    [
        ("POST", "/things", ("/things", {})),
        ("GET", "/things/a%2Fb", ("/things/{thing}", {"thing": "a%2Fb"})),
        ("DELETE", "/things/7", ("/things/{thing}", {"thing": "7"})),
        ("HEAD", "/things/7", ("/things/{thing}", {"thing": "7"})),
        ("GET", "/things/7/parts/x", ("/things/{id}/parts/{part}", {"id": "7", "part": "x"})),
        ("GET", "/things/newest", ("/things/newest", {})),
        ("GET", "/things", None),
        ("GET", "/things/", None),
        ("GET", "/things/7/parts", None),
        ("GET", "/things/7/parts/x/y", None),
        ("PUT", "/things/7", None),
        ("GET", "things/7", None),
        ("GET", "", None),
    ],
)
def test_a_route_is_found_by_the_parts_of_its_path(
    method: str, path: str, expected: tuple[str, dict[str, str]] | None
) -> None:
    found = TABLE.find(method, path)
    assert (found and (found[0].path, found[1])) == expected


def asked(*bodies: bytes, gone: bool = False) -> Receive:
    """A body in these pieces, and maybe a client that leaves."""
    messages: list[Message] = [{"type": "http.request", "body": body, "more_body": True} for body in bodies]
    messages.append({"type": "http.disconnect"} if gone else {"type": "http.request"})
    coming = iter(messages)

    async def receive() -> Message:
        return next(coming)

    return receive


def test_a_body_is_read_whole_up_to_its_limit() -> None:
    assert asyncio.run(body_of(asked(b"ab", b"", b"cd"), 4)) == b"abcd"
    with pytest.raises(DoorError, match="more than 4 bytes") as refused:
        asyncio.run(body_of(asked(b"ab", b"cde"), 4))
    assert refused.value.problem.status == 413


def test_a_client_that_leaves_in_the_middle_of_a_body_has_sent_none() -> None:
    with pytest.raises(ClientDisconnect):
        asyncio.run(body_of(asked(b'{"text": "hel', gone=True)))


def post(
    act: Callable[[Asked[MessageRequest]], Awaitable[Said]], *headers: tuple[bytes, bytes], body: bytes
) -> tuple[int, dict[bytes, bytes], object]:
    """Status, headers and JSON of the answer to a write at the door."""
    app = create_app([], plain_routes=[write_route(DOOR, MessageRequest, act)])
    sent: list[Message] = []

    async def send(message: Message) -> None:
        sent.append(message)

    usual = {b"host": b"localhost", b"content-type": b"application/json"}
    named = [*((name, usual[name]) for name in usual.keys() - dict(headers).keys()), *headers]
    scope: Scope = {"type": "http", "method": "POST", "path": "/notes/n-1", "headers": named, "query_string": b""}
    asyncio.run(app(scope, asked(body), send))
    start, content = sent
    return start["status"], dict(start["headers"]), json.loads(content["body"])


async def echo(write: Asked[MessageRequest]) -> Said:
    said = {"text": write.body.text, "by": write.caller.by, "via": write.caller.channel, "key": write.key, **write.path}
    return Said(json.dumps(said).encode(), 201, ((b"x-more", b"1"),))


def test_a_write_comes_with_its_caller_its_key_and_its_path() -> None:
    who = ((b"agentspan-user", b"ada"), (b"agentspan-client", b"cli"), (b"idempotency-key", b"k-1"))
    status, headers, said = post(echo, *who, body=b'{"text": "hello"}')
    assert status == 201
    assert headers == {b"content-type": b"application/json", b"content-length": b"78", b"x-more": b"1"}
    assert said == {"text": "hello", "by": "user:ada", "via": "cli", "key": "k-1", "name": "n-1"}


def test_of_a_header_that_stands_there_twice_the_first_counts() -> None:
    assert headers_of({"headers": [(b"x-more", b"1"), (b"x-more", b"2")]}) == {b"x-more": b"1"}


def test_a_key_is_read_as_the_text_that_it_is() -> None:
    key = "Müller №5"
    _, _, said = post(echo, (b"idempotency-key", key.encode()), body=b'{"text": "hello"}')
    assert isinstance(said, dict)
    assert said["key"] == key


def test_a_key_that_stands_there_twice_is_refused() -> None:
    twice = ((b"idempotency-key", b"k-1"), (b"idempotency-key", b"k-2"))
    status, _, said = post(echo, *twice, body=b'{"text": "hello"}')
    assert isinstance(said, dict)
    assert (status, said["code"], said["field"]) == (400, "header_repeated", "Idempotency-Key")


@pytest.mark.parametrize(
    ("error", "status", "code"),
    [
        (DoorError(409, "finished", "it is over"), 409, "finished"),
        (Unavailable("starting"), 503, "unavailable"),
        (TooLarge("a Pause of 2 bytes; one message is at most 1 bytes"), 413, "too_large"),
        (ZeroDivisionError("of our own"), 500, "internal"),
    ],
)
def test_what_a_door_raises_is_answered_as_a_problem(error: Exception, status: int, code: str) -> None:
    async def act(write: Asked[MessageRequest]) -> Said:
        raise error

    answered, headers, problem = post(act, body=b'{"text": "hello"}')
    assert isinstance(problem, dict)
    assert (answered, problem["status"], problem["code"]) == (status, status, code)
    assert headers[b"content-type"] == b"application/problem+json"
    assert headers.get(b"retry-after") == (b"1" if status == 503 else None)


def test_what_nobody_expects_is_for_the_log_and_not_for_the_caller(caplog: pytest.LogCaptureFixture) -> None:
    async def act(write: Asked[MessageRequest]) -> Said:
        raise ZeroDivisionError("of our own")

    _, _, problem = post(act, body=b'{"text": "hello"}')
    assert "of our own" not in str(problem)
    assert "ZeroDivisionError" not in str(problem)
    [said] = caplog.records
    assert (said.getMessage(), said.exc_info is not None) == ("POST /notes/n-1 failed", True)


async def run(app: ASGIApp, receive: Receive) -> list[Message]:
    """What the last answer makes of it."""
    sent: list[Message] = []

    async def send(message: Message) -> None:
        sent.append(message)

    await Unforeseen(app)({"type": "http", "method": "GET", "path": "/"}, receive, send)
    return sent


async def test_an_answer_that_had_begun_is_left_to_the_server_to_cut_off() -> None:
    async def half(scope: Scope, receive: Receive, send: Send) -> None:
        await send({"type": "http.response.start", "status": 200, "headers": []})
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        await run(half, asked())


async def test_a_client_that_has_left_is_not_answered() -> None:
    async def reading(scope: Scope, receive: Receive, send: Send) -> None:
        await body_of(receive)

    assert await run(reading, asked(b"{", gone=True)) == []


async def test_what_fastapis_doors_raise_is_answered_alike() -> None:
    router = APIRouter()

    @router.get("/odd")
    async def odd(large: bool) -> None:
        raise TooLarge("a Pause of 2 bytes") if large else ZeroDivisionError

    transport = httpx.ASGITransport(create_app([router]))
    async with httpx.AsyncClient(transport=transport, base_url="http://localhost") as http:
        answers = [await http.get("/odd", params={"large": large}) for large in (True, False)]
    assert [(answer.status_code, answer.json()["code"]) for answer in answers] == [
        (413, "too_large"),
        (500, "internal"),
    ]
    assert {answer.headers["content-type"] for answer in answers} == {"application/problem+json"}


@pytest.mark.parametrize(
    ("headers", "status", "code"),
    [
        (((b"origin", b"http://evil.example"),), 403, "origin_refused"),
        (((b"origin", b""),), 403, "origin_refused"),
        (((b"sec-fetch-site", b"cross-site"),), 403, "origin_refused"),
        (((b"sec-fetch-site", b"same-site"),), 403, "origin_refused"),
        (((b"host", b"evil.example"),), 403, "host_refused"),
        (((b"content-length", b"1048577"),), 413, "too_large"),
        (((b"content-length", b"17"), (b"content-type", b"text/plain")), 415, "unsupported_media_type"),
        (((b"agentspan-user", b"a b"),), 422, "invalid_request"),
        (((b"idempotency-key", b"k" * 257),), 422, "invalid_request"),
        (((b"idempotency-key", "Müller".encode("latin-1")),), 422, "invalid_request"),
    ],
)
def test_a_plain_door_is_guarded_as_all_are(headers: tuple[tuple[bytes, bytes], ...], status: int, code: str) -> None:
    answered, _, problem = post(echo, *headers, body=b'{"text": "hello"}')
    assert isinstance(problem, dict)
    assert (answered, problem["code"]) == (status, code)
