"""Which error ends in which exit code, and what to say about it."""

import os

from agentspan.agents import (
    AgentspanError,
    AlreadyDecided,
    ConfigurationError,
    NotFound,
    RequestFailed,
    ServerError,
    ServerUnavailable,
    SeveralPending,
)
from agentspan.cli._exits import ExitCode, Explained, Refused, code_of
from agentspan.cli._show import printable


def explained(error: Exception) -> Explained | None:
    """What to say about an error; None for one that nobody foresaw."""
    match error:
        case Refused():
            return Explained(error.exit_code, error.code, printable(str(error), lines=True))
        case RequestFailed():
            message = printable(str(error))
            code = error.code or code_of(error)
            return Explained(_exit_code(error), code, message, _next(error, message), error.status or None)
        case AgentspanError():
            message = printable(str(error), lines=isinstance(error, SeveralPending))
            return Explained(_exit_code(error), code_of(error), message, _next(error, message))
        case PermissionError(filename=str() | bytes() as file):
            detail = f"{os.fsdecode(file)!r} is not yours to read or to write"
            hint = "let this user at it, or name a data folder of your own: --data, AGENTSPAN_DATA"
            return Explained(ExitCode.REFUSED, "not_yours", printable(detail), hint)
        case _:
            return None


def _exit_code(error: AgentspanError) -> ExitCode:
    match error:
        case ServerUnavailable():
            return ExitCode.UNREACHABLE
        case ConfigurationError() | SeveralPending():
            return ExitCode.USAGE
        case NotFound(code="unknown_path") | NotFound(code="", status=404 | 410):  # it is no server of ours, or not all
            return ExitCode.REFUSED
        case NotFound():
            return ExitCode.NOT_FOUND
        case AlreadyDecided():
            return ExitCode.DECIDED
        case _:
            return ExitCode.REFUSED


def _next(error: AgentspanError, message: str) -> str | None:
    if "`agentspan " in message:
        return None
    if "check the address" in message:
        return "AGENTSPAN_SERVER_URL names the server; `agentspan doctor` says who answers there"
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
