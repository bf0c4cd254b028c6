"""`agentspan server …`: the embedded server, which the extra `server` brings.

The only module of the command line that imports it, and only when one of these commands is called.
"""

from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Annotated, NoReturn

import typer

app = typer.Typer(help="The server on this machine.", no_args_is_help=True, rich_markup_mode=None)

Data = Annotated[
    Path | None,
    typer.Option(
        metavar="DIR", file_okay=False, help="Where everything is kept (AGENTSPAN_DATA, else your data folder)."
    ),
]


@app.command()
def start(
    detach: Annotated[bool, typer.Option("--detach", help="Return when it is ready; it goes on.")] = False,
    data: Data = None,
    port: Annotated[
        int | None, typer.Option(min=0, max=65535, help="AGENTSPAN_PORT, else 6767; 0 takes a free one.")
    ] = None,
    host: Annotated[str | None, typer.Option(help="AGENTSPAN_HOST, else 127.0.0.1.")] = None,
) -> None:
    """Start a server, here or detached."""
    _end_with(lambda commands: commands.start(data, host, port, detach=detach))


@app.command()
def stop(data: Data = None) -> None:
    """Stop the server of a data folder, and wait until it has stopped."""
    _end_with(lambda commands: commands.stop(data))


@app.command()
def status(data: Data = None) -> None:
    """Whether a server runs on a data folder, and where."""
    _end_with(lambda commands: commands.status(data))


def _end_with(command: Callable[[ModuleType], int]) -> NoReturn:
    raise typer.Exit(command(_commands()))


def _commands() -> ModuleType:
    try:
        from agentspan_standalone import commands
    except ModuleNotFoundError as error:
        if (error.name or "").partition(".")[0].startswith("agentspan"):
            raise
        typer.echo(
            f"error: the server's packages are not installed ({error.name}): pip install 'agentspan[server]'", err=True
        )
        raise typer.Exit(1) from error
    return commands
