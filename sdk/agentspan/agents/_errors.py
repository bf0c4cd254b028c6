"""What can go wrong for an agent's author, each with what to do next.

    AgentspanError
    ├── ConfigurationError      an agent, a tool or a setting that cannot work (also a ValueError)
    ├── NotSupported            a name or option of other products that is not here (also ImportError, TypeError)
    ├── ServerUnavailable       nobody answers, or not now: the same call again is safe
    │   └── ServerNotInstalled  none answers, and none can be started: pip install 'agentspan[server]'
    ├── RequestFailed           the server said no: .status, .code
    │   ├── InvalidRequest      .field is the one that is wrong
    │   ├── NotAllowed
    │   ├── NotFound
    │   ├── Conflict            .winner is who came first
    │   │   └── AlreadyDecided
    │   └── ServerError
    ├── NothingPending          there is no call to decide
    ├── SeveralPending          .call_ids says which: name one
    └── ResultTimeout           the run goes on without you (also a TimeoutError)

Apart from the HTTP adapter because the handle, the worker and the simulation's transport raise the same ones.
"""

from pydantic import ValidationError

from agentspan_schemas.answers import Winner
from agentspan_schemas.http import Problem


class AgentspanError(Exception):
    """The root of this package's errors."""


class ConfigurationError(AgentspanError, ValueError):
    """An agent, a tool or a setting that cannot work as written."""


class NotSupported(AgentspanError, ImportError, TypeError):
    """Something that comparable products have and this release has not; it says what to do instead."""


class ServerUnavailable(AgentspanError):
    """Nobody answers at the server's address, or not now. The same call again is safe."""


class ServerNotInstalled(ServerUnavailable):
    """No server answers and none can be started here: the `server` extra is missing."""


class RequestFailed(AgentspanError):
    """The server refused a request; `.status` is HTTP's, `.code` is stable and to match on."""

    def __init__(self, message: str, *, status: int = 0, code: str = "") -> None:
        super().__init__(message)
        self.status = status
        self.code = code


class InvalidRequest(RequestFailed):
    """The request was wrong; `.field` names the field, where one is."""

    field: str | None = None


class NotAllowed(RequestFailed):
    """You may not do this."""


class NotFound(RequestFailed):
    """There is no such agent, execution, call or session."""


class Conflict(RequestFailed):
    """The execution has moved on; `.winner` is who came first, where somebody did."""

    winner: Winner | None = None


class AlreadyDecided(Conflict):
    """Somebody decided this call before; `.winner` says who, what and when."""


class ServerError(RequestFailed):
    """The server failed in a way that it did not foresee."""


class NothingPending(AgentspanError):
    """No call of this execution waits for a decision."""


class SeveralPending(AgentspanError):
    """More than one call waits: name one with `call_id=`; `.call_ids` has them."""

    def __init__(self, message: str, call_ids: tuple[str, ...]) -> None:
        super().__init__(message)
        self.call_ids = call_ids


class ResultTimeout(AgentspanError, TimeoutError):
    """The execution had not ended in the time you gave; it goes on."""


def error_from(status: int, body: bytes, what: str) -> AgentspanError:
    """The error that an HTTP answer of 400 or more stands for; `what` is the request, for a body that is no problem."""
    return error_of(_problem(status, body, what), status)


def error_of(problem: Problem, status: int | None = None) -> AgentspanError:
    """The error that a problem stands for."""
    status = problem.status if status is None else status
    message = problem.detail or problem.title
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
        said = body[:200].decode(errors="replace").strip()
        detail = f"{what} answered {status} {said!r}, which is no answer of an Agentspan server: check the address"
        return Problem(type="about:blank", title="Not an Agentspan answer", status=status, detail=detail, code="")


def _winner(problem: Problem) -> Winner | None:
    try:
        return Winner.model_validate(problem.winner)
    except ValidationError:
        return None
