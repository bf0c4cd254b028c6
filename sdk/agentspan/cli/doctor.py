"""`agentspan doctor`: its options. What is looked at is next door."""

from pathlib import Path
from typing import Annotated

import typer

from agentspan.cli._options import Format, Output


def doctor(
    data: Annotated[
        Path | None,
        typer.Option(
            metavar="DIR", file_okay=False, help="The server's data folder (AGENTSPAN_DATA, else the default)."
        ),
    ] = None,
    output: Output = Format.TABLE,
) -> None:
    """Look at what a support person would ask about first, and say what to do next.

    Exit code 0 when nothing failed (warnings don't count), 1 otherwise. Keys and passwords are never printed.
    """
    from agentspan.cli import _doctor

    raise typer.Exit(_doctor.run(data, output))
