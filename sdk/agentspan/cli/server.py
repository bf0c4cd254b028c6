"""`agentspan server …`: services on this machine, which the extra `server` brings. And `agentspan orchestrator`
and `tool-runner`: one of them alone, beside others on the log of a cluster (`query` has a module of its own)."""

from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Annotated, NoReturn

import typer

from agentspan.cli._extra import packages_of_a_server

app = typer.Typer(help="The server on this machine.", no_args_is_help=True, rich_markup_mode=None)

Data = Annotated[
    Path | None,
    typer.Option(
        metavar="DIR", file_okay=False, help="Where everything is kept (AGENTSPAN_DATA, else your data folder)."
    ),
]
Detach = Annotated[bool, typer.Option("--detach", help="Return when it is ready; it goes on.")]
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
) -> None:
    """Start a server, here or detached."""
    _end_with(
        lambda commands: commands.start(data, host, port, detach=detach, log=log, roles=roles, clickhouse=clickhouse)
    )


@app.command()
def stop(data: Data = None) -> None:
    """Stop the server of a data folder, and wait until it has stopped."""
    _end_with(lambda commands: commands.stop(data))


@app.command()
def status(data: Data = None) -> None:
    """Whether a server runs on a data folder, and where."""
    _end_with(lambda commands: commands.status(data))


def orchestrator(
    log: Log = None, data: Data = None, port: Port = None, host: Host = None, detach: Detach = False
) -> None:
    """Start an orchestrator alone, on the log of a cluster."""
    start(detach, data, port, host, log, "orchestrator")


def tool_runner(
    log: Log = None, data: Data = None, port: Port = None, host: Host = None, detach: Detach = False
) -> None:
    """Start a tool-runner alone, on the log of a cluster."""
    start(detach, data, port, host, log, "tool-runner")


def _end_with(command: Callable[[ModuleType], int]) -> NoReturn:
    with packages_of_a_server():
        from agentspan_standalone import commands
    raise typer.Exit(command(commands))
