"""Exit codes, and which error of the SDK ends in which. `agentspan --help` and docs/cli.md list them for people.

Apart from `_main` because the SDK's errors take a while to import, and most calls of the command end without one.
"""

from dataclasses import dataclass
from enum import IntEnum

from agentspan.agents import (
    AgentspanError,
    AlreadyDecided,
    ConfigurationError,
    NotFound,
    ServerError,
    ServerUnavailable,
    SeveralPending,
)
from agentspan.cli._show import printable


class ExitCode(IntEnum):
    """How a command ended; stable, for scripts."""

    OK = 0
    REFUSED = 1
    USAGE = 2
    UNREACHABLE = 3
    NOT_FOUND = 4
    DECIDED = 5
    INTERRUPTED = 130


@dataclass(frozen=True, slots=True)
class Explained:
    """An error as a person reads it and a script sees it."""

    code: ExitCode
    message: str
    next: str | None = None
    """What to do, where the message does not say it."""


def explained(error: Exception) -> Explained | None:
    """What to say about an error; None for one that nobody foresaw."""
    match error:
        case AgentspanError():
            message = printable(str(error), lines=isinstance(error, SeveralPending))
            return Explained(_code(error), message, _next(error, message))
        case _:
            return None


def _code(error: AgentspanError) -> ExitCode:
    match error:
        case ServerUnavailable():
            return ExitCode.UNREACHABLE
        case ConfigurationError() | SeveralPending():
            return ExitCode.USAGE
        case NotFound():
            return ExitCode.NOT_FOUND
        case AlreadyDecided():
            return ExitCode.DECIDED
        case _:
            return ExitCode.REFUSED


def _next(error: AgentspanError, message: str) -> str | None:
    if "`agentspan " in message:
        return None
    match error:
        case NotFound() if "approval" in error.code or "call" in error.code:
            return "`agentspan approvals list` shows what waits"
        case NotFound():
            return "`agentspan execution list` shows what there is"
        case ServerUnavailable():
            return "the same command again is safe; `agentspan doctor` says what is wrong with the server"
        case ServerError():
            return "`agentspan doctor` says what is wrong with the server, `agentspan server logs` what it did"
        case _:
            return None
