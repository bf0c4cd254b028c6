"""Puts the commands together, and turns what goes wrong in them into a sentence and an exit code.

Nothing heavy is imported here or by the modules that declare commands: `agentspan --help` has to be there at once.
"""

import os
import signal
import sys
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Annotated, Any, Never

import typer

from agentspan.cli import agent, approvals, completion, dlq, doctor, execution, query, server, topics
from agentspan.cli._exits import ExitCode, Explained, tell

PROGRAM = "agentspan"
COMPLETE = "_AGENTSPAN_COMPLETE"
"""Set by the shell's completion when it asks what may come next."""

EPILOG = """\b
Data goes to standard output, everything else to standard error.
The server is the one at AGENTSPAN_SERVER_URL (default http://localhost:6767).

\b
Exit codes:
  0    done
  1    refused or failed: the message says why and what to do next
  2    the command line is wrong, or not enough to act on
  3    no server answers, or no cluster
  4    there is no such run, call, approval or dead letter
  5    somebody else decided first, or handled the dead letter
  130  interrupted
  143  terminated
"""


class _InOrder(typer.core.TyperGroup):
    """Commands as they are listed: what a newcomer types first, and what is for a cluster last."""

    ORDER = (
        "agent",
        "approvals",
        "execution",
        "server",
        "tool-runner",
        "doctor",
        "completion",
        "topics",
        "dlq",
        "query",
    )

    def list_commands(self, ctx: Any) -> list[str]:
        """The names; those that have no place in the order come behind."""
        last = len(self.ORDER)
        return sorted(self.commands, key=lambda name: self.ORDER.index(name) if name in self.ORDER else last)


app = typer.Typer(
    cls=_InOrder,
    help="Durable agent runs that stop for a human where it matters.",
    epilog=EPILOG,
    no_args_is_help=True,
    context_settings={"help_option_names": ["-h", "--help"]},
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
    add_completion=False,
)


def _print_version(wanted: bool) -> None:
    if wanted:
        from importlib.metadata import version

        print(f"agentspan {version('agentspan')}")
        raise typer.Exit(0)


@app.callback()
def agentspan(
    version: Annotated[
        bool, typer.Option("--version", is_eager=True, callback=_print_version, help="Print the release.")
    ] = False,
) -> None:
    """Durable agent runs that stop for a human where it matters."""


app.add_typer(agent.app, name="agent")
app.add_typer(execution.app, name="execution")
app.add_typer(approvals.app, name="approvals")
app.add_typer(server.app, name="server")
app.add_typer(topics.app, name="topics")
app.add_typer(dlq.app, name="dlq", short_help="Dead letters: what could not be taken.")
app.add_typer(query.app, name="query", short_help="The query service alone; its ClickHouse tables.")
app.command()(server.orchestrator)
app.command(short_help="Run agents' tools without their author's program.")(server.tool_runner)
app.command(short_help="Look at what goes wrong most, and say what to do.")(doctor.doctor)
app.command(short_help="Print a shell's completion.")(completion.completion)


def main(argv: Sequence[str] | None = None) -> int:
    """Do what the command line says; the exit code. `argv` is what stands behind the program's name."""
    if COMPLETE in os.environ:
        from typer.completion import completion_init  # type: ignore[attr-defined]  # it names the shells

        completion_init()
    with _termination_as_interrupt() as terminated:
        code = _ended(argv)
    return ExitCode.TERMINATED if terminated and code == ExitCode.INTERRUPTED else code


def _ended(argv: Sequence[str] | None) -> int:
    try:
        ended = app(args=list(argv) if argv is not None else None, prog_name=PROGRAM, standalone_mode=False)
    except SystemExit as left:
        return _left(left.code)
    except KeyboardInterrupt:
        return ExitCode.INTERRUPTED
    except typer.Abort:
        return ExitCode.INTERRUPTED
    except Exception as error:
        return _told(error, sys.argv[1:] if argv is None else argv)
    return ended if isinstance(ended, int) else 0


@contextmanager
def _termination_as_interrupt() -> Iterator[list[int]]:
    """A process manager's SIGTERM ends a command as Ctrl-C does; those that came. Only the main thread may say so."""
    came: list[int] = []
    if threading.current_thread() is not threading.main_thread():
        yield came
        return

    def interrupt(signum: int, _: object) -> Never:
        came.append(signum)
        raise KeyboardInterrupt

    before = signal.signal(signal.SIGTERM, interrupt)
    try:
        yield came
    finally:
        signal.signal(signal.SIGTERM, before)


def _left(code: object) -> int:
    """What an author's module ended with: `sys.exit("words")` at its top says them, as Python does."""
    if code is None or isinstance(code, int):
        return code or 0
    print(code, file=sys.stderr)
    return ExitCode.REFUSED


def _told(error: Exception, argv: Sequence[str]) -> int:
    """Say what went wrong, as the command line wants answers written; its exit code."""
    as_json = _wants_json(argv)
    describe = getattr(error, "format_message", None)
    message = None if describe is None else str(describe())
    if message is not None and message.startswith("Usage: ") and not as_json:  # a group without a command
        print(message, file=sys.stderr)
        return ExitCode.USAGE
    told = _explained(error) if message is None else _wrong_line(error, message, argv)
    tell(told, as_json=as_json)
    return told.exit_code


def _explained(error: Exception) -> Explained:
    """What a command raised. Raises it again where somebody looks for a fault of ours."""
    from agentspan.cli._explained import explained
    from agentspan.cli._show import printable

    if known := explained(error):
        return known
    if os.environ.get("AGENTSPAN_DEBUG"):
        raise error
    what = printable(f"{type(error).__name__}: {error}")
    hint = "AGENTSPAN_DEBUG=1 before the same command shows where: report that"
    return Explained(ExitCode.REFUSED, "fault", f"{what}; this is a fault of agentspan", hint)


def _wrong_line(error: Exception, message: str, argv: Sequence[str]) -> Explained:
    """Of a command line that is wrong: what, and where the help is."""
    from agentspan.cli._meant import meant

    message = meant(error, message)
    if message.startswith("Usage: "):
        message = "a command is missing"
    options = getattr(getattr(error, "param", None), "opts", [])
    hint = f"`{_path(argv)} --help` shows what it takes"
    return Explained(ExitCode.USAGE, "usage", _plain(message, _value(argv, options)), hint)


def _wants_json(argv: Sequence[str]) -> bool:
    """Whether the last that was said of the output's form is JSON, also on a line that is wrong otherwise."""
    short = [word.removeprefix("-o") for word in argv if word.startswith("-o") and word != "-o"]
    form = _value(argv, ("-o", "--output")) or (short[-1] if short else "")
    return form in ("json", "jsonl")


def _plain(message: str, value: str | None) -> str:
    """Without the parser's own opening, begun as all our sentences are, and with the value that it is about."""
    message = message.removeprefix("Invalid value: ").replace(": Value error, ", ": ")
    if value is not None:
        message = message.replace(": Input should be ", f": {value!r} should be ")
    for opening in ("Invalid value for", "Missing", "No such", "Got unexpected", "Option '"):
        if message.startswith(opening):
            return message[0].lower() + message[1:].removesuffix(".")
    return message


def _value(argv: Sequence[str], options: Sequence[str]) -> str | None:
    """What stands behind one of the options, where it does."""
    for word, after in zip(argv, [*argv[1:], ""], strict=False):
        name, equals, value = word.partition("=")
        if name in options:
            return value if equals else after
    return None


def _path(argv: Sequence[str]) -> str:
    """The command that was meant, as far as there is one."""
    found: Any = typer.main.get_command(app)
    path = [PROGRAM]
    for word in argv:
        if word in getattr(found, "commands", {}):
            found = found.commands[word]
            path.append(word)
    return " ".join(path)
