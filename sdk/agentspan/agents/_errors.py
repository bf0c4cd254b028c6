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

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from agentspan_schemas.answers import Winner


class AgentspanError(Exception):
    """The root of this package's errors."""


class ConfigurationError(AgentspanError, ValueError):
    """An agent, a tool or a setting that cannot work as written."""


class NotSupported(AgentspanError, ImportError, TypeError):
    """Something that comparable products have and this release does not; it says what to do instead."""


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

    winner: "Winner | None" = None


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
