"""The page of commands: what `--help` says of each, at a width that does not depend on the terminal."""

from collections.abc import Iterator
from typing import Any

import typer

from agentspan.cli._main import app

WIDTH = 100

_HEAD = """# Reference: the command line

What `--help` says of each command. Made by `make schemas`; how things go together is in [the command line](../cli.md).
"""


def page() -> str:
    """Every command and group, in order."""
    root = typer.main.get_command(app)
    return "\n".join([_HEAD, *_sections(root, None, "agentspan")])


def _sections(command: Any, parent: Any, name: str) -> Iterator[str]:
    context = type(command).context_class(
        command,
        info_name=name,
        parent=parent,
        max_content_width=WIDTH,
        terminal_width=WIDTH,
        **command.context_settings,
    )
    help_text = "\n".join(line.rstrip() for line in command.get_help(context).splitlines())
    yield f"## {context.command_path}\n\n```text\n{help_text}\n```\n"
    for child, found in getattr(command, "commands", {}).items():
        if not found.hidden:
            yield from _sections(found, context, child)
