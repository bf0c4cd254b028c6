"""Writes the reference from docstrings and help texts: `python -m docs.reference.generate [--check]`.

A page for each package that people import, one for the command line, and the table of absent names on the page for
those who come from elsewhere. `--check` fails when a file differs from the code.
"""

import sys
from collections.abc import Sequence
from pathlib import Path

import agentspan.agents
import agentspan.agents.testing
import agentspan.topics
from agentspan_schemas.generate import filled
from docs.reference import absent, commands, packages

FOLDER = Path(__file__).parent
MIGRATION = FOLDER.parent / "migration.md"


def files() -> dict[Path, str]:
    """Every page, with the text that it should have."""
    return {
        FOLDER / "agents.md": packages.page(agentspan.agents),
        FOLDER / "testing.md": packages.page(agentspan.agents.testing),
        FOLDER / "topics.md": packages.page(agentspan.topics),
        FOLDER / "cli.md": commands.page(),
        MIGRATION: filled(MIGRATION.read_text(encoding="utf-8"), {"absent": absent.table()}),
    }


def stale() -> list[str]:
    """The names of those that differ from the code."""
    return [
        path.name for path, text in files().items() if not path.exists() or path.read_text(encoding="utf-8") != text
    ]


def main(arguments: Sequence[str]) -> int:
    """Write them, or with --check compare them; the exit code tells."""
    if "--check" in arguments:
        if differing := stale():
            print(f"these differ from the code: {', '.join(differing)}; run `make schemas`", file=sys.stderr)
            return 1
        return 0
    for path, text in files().items():
        path.write_text(text, encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
