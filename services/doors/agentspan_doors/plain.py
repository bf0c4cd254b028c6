"""The doors that every execution passes: plain routes, which say the same things in the same words as FastAPI's.

Apart because FastAPI takes as long to solve a route's dependencies as all the rest of a start takes.
"""

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from typing import Generic, TypeVar

from pydantic import BaseModel, ValidationError
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from agentspan_doors.callers import Caller, caller_of, key_of
from agentspan_doors.openapi import PlainDoor
from agentspan_doors.problems import invalid_request, problem_response

M = TypeVar("M", bound=BaseModel)


@dataclass(frozen=True, slots=True)
class Asked(Generic[M]):
    """A write, as it came in."""

    body: M
    caller: Caller
    key: str
    """The caller's Idempotency-Key, or a new one."""
    path: Mapping[str, str]


@dataclass(frozen=True, slots=True)
class Said:
    """What the door answers."""

    body: BaseModel
    status: int = 200
    headers: Mapping[str, str] = field(default_factory=dict)


def write_route(door: PlainDoor, takes: type[M], act: Callable[[Asked[M]], Awaitable[Said]]) -> Route:
    """The route of a door that a caller writes through. What `act` raises is answered as everywhere."""

    async def endpoint(request: Request) -> Response:
        raw = await request.body()
        if not raw:
            return problem_response(invalid_request({"type": "missing", "loc": (), "msg": "a body is missing"}))
        try:
            body = takes.model_validate_json(raw)
        except ValidationError as error:
            return problem_response(invalid_request(error.errors(include_url=False)[0]))
        asked = Asked(body, caller_of(request.headers), key_of(request.headers), request.path_params)
        said = await act(asked)
        content = said.body.__pydantic_serializer__.to_json(said.body)
        return Response(content, said.status, dict(said.headers), media_type="application/json")

    return Route(door.path, endpoint, methods=[door.method], name=door.operation_id)
