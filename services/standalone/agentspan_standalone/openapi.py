"""Writes schemas/openapi.json: `python -m agentspan_standalone.openapi [--check]`.

Nothing reads it at run time; the server answers its own at /api/v1/openapi.json. `--check` fails when the file differs
from the doors.
"""

import asyncio
import json
import sys
import tempfile
from pathlib import Path

from agentspan_standalone.app import make_app
from agentspan_standalone.composition import Services
from agentspan_standalone.plumbing import embedded
from agentspan_standalone.settings import Settings

FILE = Path(__file__).resolve().parents[3] / "schemas" / "openapi.json"


def document() -> str:
    """The document of all doors: of the application as it is served, made on an empty folder and never run."""

    async def made(folder: Path) -> str:
        settings = Settings(data=folder)
        plumbing = embedded(settings)
        services = Services(settings, plumbing)
        try:
            return json.dumps(make_app(settings, services).openapi(), indent=2, sort_keys=True) + "\n"
        finally:
            services.close()
            await plumbing.close()

    with tempfile.TemporaryDirectory() as folder:
        return asyncio.run(made(Path(folder)))


def main(arguments: list[str]) -> int:
    """Write the file, or with --check compare it; the exit code tells."""
    if "--check" not in arguments:
        FILE.write_text(document())
        return 0
    if FILE.exists() and FILE.read_text() == document():
        return 0
    print(f"{FILE.name} differs from the doors; run `make schemas`", file=sys.stderr)
    return 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
