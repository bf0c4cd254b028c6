"""The server's packages, which the extra `server` brings: imported only when a command needs them, and what they refuse
as the errors that the command line knows."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from importlib import import_module
from types import ModuleType
from typing import TYPE_CHECKING, TypeVar

from agentspan.cli._exits import ExitCode, Refused, code_of

if TYPE_CHECKING:
    from agentspan_standalone.errors import StartError

T = TypeVar("T")


@contextmanager
def packages_of_a_server() -> Iterator[None]:
    """Around their import: where one is missing, says what to install. Raises Refused."""
    try:
        yield
    except ModuleNotFoundError as error:
        package = (error.name or "").partition(".")[0]
        if package.startswith("agentspan"):
            raise
        extras = "server,kafka" if package == "confluent_kafka" else "server"
        said = f"the server's packages are not installed ({error.name}): pip install 'agentspan[{extras}]'"
        raise Refused(said, code="server_not_installed") from error


def asked(part: str, ask: Callable[[ModuleType], T]) -> T:
    """What a module of the server's packages answers. Raises Refused."""
    with packages_of_a_server():
        from agentspan_standalone import errors

        try:
            return ask(import_module(f"agentspan_standalone.{part}"))
        except errors.StartError as error:
            raise Refused(str(error), _exit_code(error), code_of(error)) from error


def _exit_code(error: "StartError") -> ExitCode:
    from agentspan_standalone import errors

    match error:
        case errors.OutOfReach():
            return ExitCode.UNREACHABLE
        case errors.SettingsError():
            return ExitCode.USAGE
        case errors.NoSuchLetter():
            return ExitCode.NOT_FOUND
        case errors.LetterHandled():
            return ExitCode.DECIDED
        case _:
            return ExitCode.REFUSED
