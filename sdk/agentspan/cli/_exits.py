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


def explained(error: Exception) -> Explained | None:
    """What to say about an error; None for one that nobody foresaw."""
    match error:
        case AgentspanError():
            return Explained(_code(error), printable(str(error)))
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
