"""Which error an answer of the server stands for.

Apart from the errors because whoever catches one needs nothing of the wire.
"""

from pydantic import ValidationError

from agentspan.agents._errors import (
    AgentspanError,
    AlreadyDecided,
    Conflict,
    InvalidRequest,
    NotAllowed,
    NotFound,
    RequestFailed,
    ServerError,
    ServerUnavailable,
)
from agentspan_schemas.answers import Winner
from agentspan_schemas.http import Problem

UNKNOWN_PATH = "unknown_path"
"""The server has not what every server has: another path stands before it, or another release answers."""


def error_from(status: int, body: bytes, what: str) -> AgentspanError:
    """The error that an HTTP answer of 400 or more stands for; `what` is the request, for a body that is no problem."""
    return error_of(_problem(status, body, what), status)


def error_of(problem: Problem, status: int | None = None) -> AgentspanError:
    """The error that a problem stands for."""
    status = problem.status if status is None else status
    message = problem.detail or problem.title
    if problem.code == UNKNOWN_PATH and ("'/api/v1/" not in message or "'/api/v1/api/" in message):
        message += "; check the address: it is the server's alone, as in http://localhost:6767, without /api"
    if status in (429, 502, 503, 504):
        return ServerUnavailable(message)
    error = _kind(status, problem.code)(message, status=status, code=problem.code)
    match error:
        case InvalidRequest():
            error.field = problem.field
        case Conflict():
            error.winner = _winner(problem)
        case _:
            pass
    return error


def _kind(status: int, code: str) -> type[RequestFailed]:
    match status:
        case 401 | 403:
            return NotAllowed
        case 404 | 410:
            return NotFound
        case 409:
            return AlreadyDecided if code == "already_decided" else Conflict
        case _ if status < 500:
            return InvalidRequest
        case _:
            return ServerError


def _problem(status: int, body: bytes, what: str) -> Problem:
    try:
        return Problem.model_validate_json(body)
    except ValidationError:
        said = body[:80].decode(errors="replace").strip()
        detail = f"{what} answered {status} {said!r}, which is no answer of an Agentspan server: check the address"
        return Problem(type="about:blank", title="Not an Agentspan answer", status=status, detail=detail, code="")


def _winner(problem: Problem) -> Winner | None:
    try:
        return Winner.model_validate(problem.winner)
    except ValidationError:
        return None
