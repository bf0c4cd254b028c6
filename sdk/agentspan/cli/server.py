"""`agentspan server …`: services on this machine, which the extra `server` brings. And `agentspan orchestrator`
and `tool-runner`: one of them alone, beside others on the log of a cluster (`query` has a module of its own)."""

import os
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from types import ModuleType
from typing import Annotated, NoReturn

import typer

from agentspan.cli._exits import ExitCode
from agentspan.cli._extra import asked
from agentspan.cli._options import Format, Level, Output

app = typer.Typer(help="The server on this machine.", no_args_is_help=True, rich_markup_mode=None)

Data = Annotated[
    Path | None,
    typer.Option(
        metavar="DIR", file_okay=False, help="Where everything is kept (AGENTSPAN_DATA, else your data folder)."
    ),
]
Detach = Annotated[bool, typer.Option("--detach", help="Return when it is ready; it keeps running.")]
Port = Annotated[int | None, typer.Option(min=0, max=65535, help="AGENTSPAN_PORT, else 6767; 0 takes a free one.")]
Host = Annotated[str | None, typer.Option(help="AGENTSPAN_HOST, else 127.0.0.1.")]
Log = Annotated[
    str | None,
    typer.Option(
        metavar="URL", help="AGENTSPAN_LOG, as kafka://host:port,host:port?prefix=agentspan; else a file in DIR."
    ),
]
Roles = Annotated[
    str | None,
    typer.Option(
        metavar="ROLES", help="AGENTSPAN_ROLES: some of orchestrator,tool-runner,approvals,query, with --log; else all."
    ),
]
ClickHouse = Annotated[
    str | None, typer.Option("--clickhouse", metavar="URL", help="AGENTSPAN_CLICKHOUSE, else one that is embedded.")
]


@app.command()
def start(
    detach: Detach = False,
    data: Data = None,
    port: Port = None,
    host: Host = None,
    log: Log = None,
    roles: Roles = None,
    clickhouse: ClickHouse = None,
) -> NoReturn:
    """Start a server, here or detached."""
    _tell_of_names(data)
    _end_with(
        lambda commands: commands.start(data, host, port, detach=detach, log=log, roles=roles, clickhouse=clickhouse)
    )


@app.command()
def stop(data: Data = None) -> None:
    """Stop the server of a data folder, and wait until it has stopped. AGENTSPAN_SERVER_URL is not looked at."""
    _end_with(lambda commands: commands.stop(data))


@app.command()
def status(data: Data = None, output: Output = Format.TABLE) -> None:
    """Whether a server runs, where, and whether it takes work. Exit code 1 when it does not.

    It is the one at AGENTSPAN_SERVER_URL, as for all other commands, where that is set and no --data is given; else
    that of the data folder.
    """

    def show(standing: Mapping[str, object]) -> None:
        from agentspan.cli._show import one, out

        if output is not Format.TABLE:
            return one(dict(standing), output)
        for name, value in standing.items():
            out(f"{name:<10} {value}")

    if data is None and os.environ.get("AGENTSPAN_SERVER_URL"):
        from agentspan.cli._ask import standing

        told = standing()
        show(told)
        raise typer.Exit(0 if told["status"] == "ok" else 1)
    _end_with(lambda commands: commands.status(data, show))


@app.command()
def logs(
    data: Data = None,
    lines: Annotated[int, typer.Option("-n", "--lines", min=0, help="How many of the last lines that fit.")] = 50,
    follow: Annotated[bool, typer.Option("--follow", "-f", help="Go on as more come, until interrupted.")] = False,
    level: Annotated[Level, typer.Option(help="Only this level and above.")] = Level.DEBUG,
    output: Output = Format.TABLE,
) -> None:
    """What a server that was started with --detach has logged."""
    if follow and output is Format.JSON:
        raise typer.BadParameter("--follow has no end, and -o json is one document: take -o jsonl, one a line")
    folder: Path = asked("settings", lambda settings: settings.Settings.given(data=data and data.absolute()).data)

    from agentspan.cli import _logs

    _logs.show(folder, lines, level, output, follow=follow)


def given_options(context: typer.Context) -> list[str]:
    """The names of those that stand on the command line."""
    return [name for name, value in context.params.items() if value is not None and value is not False]


def help_unless_meant(context: typer.Context) -> None:
    """The help, where neither an option nor a log in the environment says that the service itself is meant."""
    if not given_options(context) and not os.environ.get("AGENTSPAN_LOG"):
        print(context.get_help(), file=sys.stderr)
        raise typer.Exit(ExitCode.USAGE)


def refuse_options(context: typer.Context) -> None:
    """Before a command, the options of the service that starts without one would be ignored."""
    if names := ", ".join(f"--{name}" for name in given_options(context)):
        raise typer.BadParameter(
            f"{names}: for starting the service, not for {context.invoked_subcommand!r}: leave out the one or the other"
        )


def orchestrator(
    log: Log = None, data: Data = None, port: Port = None, host: Host = None, detach: Detach = False
) -> None:
    """Start an orchestrator alone, on the log of a cluster."""
    start(detach, data, port, host, log, "orchestrator")


def tool_runner(
    targets: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="[MODULE:AGENT...]", help="Run these agents' tools; looked for from the current folder."
        ),
    ] = None,
    log: Log = None,
    data: Data = None,
    port: Port = None,
    host: Host = None,
    detach: Detach = False,
) -> None:
    """Run agents' tools without their author's program: load each, register its tools with the server, and serve until
    interrupted.

    Without an agent: start the service of that name alone, on the log of a cluster.
    """
    if not targets:
        start(detach, data, port, host, log, "tool-runner")
    given = {"--log": log, "--data": data, "--port": port, "--host": host, "--detach": detach or None}
    if names := [name for name, value in given.items() if value is not None]:
        raise typer.BadParameter(
            f"{', '.join(names)}: for starting the service of a cluster, and {targets[0]!r} is an agent whose tools "
            "are run: leave out the one or the other; which server it serves is in AGENTSPAN_SERVER_URL"
        )
    from agentspan.cli import _run

    _run.serve([_run.load_agent(target, Path.cwd()) for target in targets], autostart=False)


def _tell_of_names(data: Path | None) -> None:
    """Where a setting is misspelt the server starts without it, and nobody runs `agentspan doctor` in a container."""
    from agentspan.cli._doctor_here import Here
    from agentspan.cli._show import say

    if found := Here(data).names():
        say(f"{found.said}; {found.next}")


def _end_with(command: Callable[[ModuleType], int]) -> NoReturn:
    raise typer.Exit(asked("commands", command))
