"""The server's packages, which the extra `server` brings: imported only when a command needs them."""

from collections.abc import Iterator
from contextlib import contextmanager

import typer


@contextmanager
def packages_of_a_server() -> Iterator[None]:
    """Around their import: where one is missing, says what to install, and ends the command."""
    try:
        yield
    except ModuleNotFoundError as error:
        package = (error.name or "").partition(".")[0]
        if package.startswith("agentspan"):
            raise
        extras = "server,kafka" if package == "confluent_kafka" else "server"
        typer.echo(
            f"error: the server's packages are not installed ({error.name}): pip install 'agentspan[{extras}]'",
            err=True,
        )
        raise typer.Exit(1) from error
