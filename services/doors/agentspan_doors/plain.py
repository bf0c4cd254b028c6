"""The doors that every execution passes: plain routes, which say the same things in the same words as FastAPI's.

Apart because FastAPI takes as long to solve a route's dependencies as all the rest of a start takes; each is an ASGI
application that reads the headers once, and answers by two messages.
"""

from collections.abc import Awaitable, Callable, Mapping
from typing import Generic, NamedTuple, TypeVar

from pydantic import BaseModel, ValidationError
from starlette.requests import ClientDisconnect, Request
from starlette.routing import Route
from starlette.types import Receive, Scope, Send

from agentspan_doors.callers import Caller, Headers, caller_of, key_of
from agentspan_doors.openapi import PlainDoor
from agentspan_doors.parameters import refuse_unknown
from agentspan_doors.problems import MEDIA_TYPE, DoorError, invalid_request, name_repeated
from agentspan_schemas import MAX_VALUE_BYTES, NameRepeated
from agentspan_schemas.http import Problem
from agentspan_schemas.names import refuse_repeated

M = TypeVar("M", bound=BaseModel)


class Asked(NamedTuple, Generic[M]):
    """A write, as it came in."""

    body: M
    caller: Caller
    key: str
    """The caller's Idempotency-Key, or a new one."""
    path: Mapping[str, str]


class Said(NamedTuple):
    """What a door answers: the bytes of its body."""

    body: bytes
    status: int = 200
    headers: tuple[tuple[bytes, bytes], ...] = ()
    media_type: bytes = b"application/json"


class Plain:
    """The ASGI application of one door. A DoorError is answered here, all else that is raised by the application."""

    def __init__(self, answer: Callable[[Scope, Receive], Awaitable[Said]]) -> None:
        self._answer = answer

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        try:
            said = await self._answer(scope, receive)
        except DoorError as error:
            said = said_of(error.problem)
        length = b"%d" % len(said.body)
        headers = [(b"content-length", length), (b"content-type", said.media_type), *said.headers]
        await send({"type": "http.response.start", "status": said.status, "headers": headers})
        await send({"type": "http.response.body", "body": said.body})


def write_route(door: PlainDoor, takes: type[M], act: Callable[[Asked[M]], Awaitable[Said]]) -> Route:
    """The route of a door that a caller writes through. What `act` raises is answered as everywhere.

    A body in which a name stands twice in one object is refused. That reads it a second time, 2 µs. So are parameters
    in the URL, which would say nothing here.
    """

    async def answer(scope: Scope, receive: Receive) -> Said:
        if scope["query_string"]:
            refuse_unknown(Request(scope), ())
        raw = await body_of(receive)
        if not raw:
            raise invalid_request({"type": "missing", "loc": (), "msg": "a body is missing"})
        body = read_once(takes, raw)
        headers = headers_of(scope)
        return await act(Asked(body, caller_of(headers), key_of(headers), scope["path_params"]))

    return Route(door.path, Plain(answer), methods=[door.method], name=door.operation_id)


def read(takes: type[M], raw: bytes) -> M:
    """What a body says. Raises DoorError for one that is no JSON, or breaks the schema."""
    try:
        said: M = takes.__pydantic_validator__.validate_json(raw)
    except ValidationError as error:
        raise invalid_request(error.errors(include_url=False)[0]) from None
    return said


def read_once(takes: type[M], raw: bytes) -> M:
    """The same, of a body with each name once. Raises DoorError for one in which a name stands twice in one object."""
    body = read(takes, raw)
    try:
        refuse_repeated(raw)
    except NameRepeated as error:
        raise name_repeated(error) from error
    return body


def json_of(message: BaseModel) -> bytes:
    """The body that says this."""
    return message.__pydantic_serializer__.to_json(message)


def headers_of(scope: Scope) -> Headers:
    """A request's headers; of one that stands there twice the first counts."""
    return dict(reversed(scope["headers"]))


async def body_of(receive: Receive, most: int = MAX_VALUE_BYTES) -> bytes:
    """A request's whole body. Raises DoorError when it has more than so many bytes."""
    raw, more = b"", True
    while more:
        message = await receive()
        if message["type"] == "http.disconnect":
            raise ClientDisconnect
        raw, more = raw + message.get("body", b""), message.get("more_body", False)
        if len(raw) > most:
            raise DoorError(413, "too_large", f"the body has more than {most} bytes; send less at a time")
    return raw


def said_of(problem: Problem) -> Said:
    """The problem as it goes over the wire."""
    body = problem.model_dump_json(exclude_none=True).encode()
    headers = ((b"retry-after", b"1"),) if problem.status == 503 else ()
    return Said(body, problem.status, headers, MEDIA_TYPE.encode())
