"""Errors as RFC 9457 problems: one shape, a stable code, and a sentence that says what to do next."""

from collections.abc import Mapping
from typing import Any

from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response

from agentspan_schemas import NameRepeated
from agentspan_schemas.answers import Answer, RefusalCode
from agentspan_schemas.http import PROBLEM_TYPE, Problem

STATUS_OF: Mapping[RefusalCode, int] = {
    "unknown_execution": 404,
    "unknown_agent": 404,
    "unknown_call": 404,
    "id_reused": 409,
    "finished": 409,
    "paused": 409,
    "already_decided": 409,
    "args_changed": 409,
    "invalid_args": 422,
    "stale": 409,
    "already_claimed": 409,
    "not_in_doubt": 409,
    "not_gated": 409,
    "nothing_to_do": 409,
}

MEDIA_TYPE = "application/problem+json"

_TITLES = {
    400: "Bad request",
    401: "Who are you?",
    403: "Not allowed",
    404: "Not found",
    405: "Method not allowed",
    409: "Conflict",
    413: "Too large",
    415: "Unsupported media type",
    422: "Invalid request",
    500: "Not foreseen",
    503: "Not available now",
    504: "No outcome in time",
}


class DoorError(HTTPException):
    """An error with its HTTP status; whoever raises it says what the caller can do.

    An HTTPException, as those alone get out of a body that FastAPI reads: all else there would be its own 400.
    """

    def __init__(self, status: int, code: str, detail: str, **more: object) -> None:
        super().__init__(status, detail)
        self.problem = _problem(status, code, detail, **more)


def _problem(status: int, code: str, detail: str, **more: object) -> Problem:
    fields = {"type": PROBLEM_TYPE + code, "title": _TITLES.get(status, "Error"), "status": status}
    return Problem.model_validate({**fields, "detail": detail, "code": code, **more})


def not_found(what: str, name: str, hint: str) -> DoorError:
    """404 for a thing of that name."""
    return DoorError(404, f"unknown_{what}", f"there is no {what} {name!r}; {hint}")


def name_repeated(error: NameRepeated) -> DoorError:
    """400 for a body that no two readers need take alike."""
    return DoorError(400, "field_repeated", f"the body: {error}", field=error.name)


def accepted(answer: Answer) -> Answer:
    """The answer, if the command did what it asked. Raises DoorError with the winner, where somebody was first."""
    if answer.refusal is None:
        return answer
    refusal = answer.refusal
    winner = refusal.winner.model_dump(mode="json") if refusal.winner else None
    raise DoorError(STATUS_OF[refusal.code], refusal.code, refusal.message, winner=winner)


def problem_response(problem: Problem) -> Response:
    """The problem as it goes over the wire."""
    headers = {"Retry-After": "1"} if problem.status == 503 else {}
    body = problem.model_dump_json(exclude_none=True)
    return Response(body, problem.status, headers, media_type=MEDIA_TYPE)


async def on_door_error(request: Request, error: Exception) -> Response:
    """For DoorError."""
    assert isinstance(error, DoorError)
    return problem_response(error.problem)


async def on_invalid_request(request: Request, error: Exception) -> Response:
    """For FastAPI's RequestValidationError and pydantic's own: name the first field that is wrong."""
    assert hasattr(error, "errors")
    first = dict(error.errors()[0])
    first["loc"] = first["loc"][1:] or first["loc"]  # FastAPI says first where it was: in the body, a header, the path
    return problem_response(invalid_request(first).problem)


def invalid_request(first: Mapping[str, Any]) -> DoorError:
    """For a body that is no JSON, or breaks its schema: `first` is the first error that pydantic found."""
    if first["type"] == "json_invalid":
        why = first.get("ctx", {}).get("error", "")
        return DoorError(400, "not_json", f"the body is not JSON: {why}; send application/json")
    field = ".".join(str(part) for part in first["loc"]) or "body"
    message = f"{field}: {first['msg'].removeprefix('Value error, ')}; see /api/v1/openapi.json for what it takes"
    return DoorError(422, "invalid_request", message, field=field)
