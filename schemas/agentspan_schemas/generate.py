"""Writes the JSON Schemas beside the models: `python -m agentspan_schemas.generate [--check]`.

Nothing reads them at run time; other languages do. `--check` fails when a file differs from its model.
"""

import json
import sys
from pathlib import Path

from agentspan_schemas.codec import FAMILIES

FOLDER = Path(__file__).resolve().parent.parent


def schemas() -> dict[str, str]:
    """File name to JSON Schema text, one file a message."""
    files = {}
    for family in FAMILIES:
        for tag, model in family.types.items():
            files[f"{family.name}.{tag}.json"] = _text(model.model_json_schema())
        if not family.types:
            files[f"{family.name}.json"] = _text(family.adapter.json_schema())
    return files


def _text(schema: dict[str, object]) -> str:
    dialect = {"$schema": "https://json-schema.org/draft/2020-12/schema"}
    return json.dumps(dialect | schema, indent=2, sort_keys=True) + "\n"


def main(arguments: list[str]) -> int:
    """Write the files, or with --check compare them; the exit code tells."""
    wanted = schemas()
    found = {path.name: path.read_text() for path in FOLDER.glob("*.json") if path.name != "openapi.json"}
    if "--check" in arguments:
        stale = sorted(name for name in wanted.keys() | found.keys() if wanted.get(name) != found.get(name))
        if stale:
            print(f"schemas differ from their models: {', '.join(stale)}; run `make schemas`", file=sys.stderr)
        return bool(stale)
    for name in found.keys() - wanted.keys():
        (FOLDER / name).unlink()
    for name, text in wanted.items():
        (FOLDER / name).write_text(text)
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
