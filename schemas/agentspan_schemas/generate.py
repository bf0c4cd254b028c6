"""Writes what follows from the models: `python -m agentspan_schemas.generate [--check]`.

The JSON Schemas and the AsyncAPI document beside the models, the tables of docs/topics.md and docs/topics-reference.md.
Nothing reads them at run time; people and other languages do. `--check` fails when a file differs from its model.
"""

import json
import re
import sys
from collections.abc import Mapping
from pathlib import Path

from agentspan_schemas import asyncapi, reference
from agentspan_schemas.codec import FAMILIES

FOLDER = Path(__file__).resolve().parent.parent
TOPICS_PAGE = FOLDER.parent / "docs" / "topics.md"
REFERENCE_PAGE = FOLDER.parent / "docs" / "topics-reference.md"
OTHERS = {"openapi.json"}
"""Beside the models, but written by others."""


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


def files() -> dict[Path, str]:
    """Every file that follows from the models, with the text that it should have."""
    page = TOPICS_PAGE.read_text(encoding="utf-8") if TOPICS_PAGE.exists() else ""
    tables = {
        "topics": asyncapi.table(),
        "headers": asyncapi.headers_table(),
        "reasons": asyncapi.reasons_table(),
    }
    return {
        **{FOLDER / name: text for name, text in schemas().items()},
        FOLDER / "asyncapi.yaml": asyncapi.text(),
        TOPICS_PAGE: filled(page, tables),
        REFERENCE_PAGE: reference.page(
            asyncapi.document(), {name: json.loads(text) for name, text in schemas().items()}
        ),
    }


def filled(page: str, blocks: Mapping[str, str]) -> str:
    """The page with each block between its marks."""
    for name, text in blocks.items():
        begin, end = f"<!-- generated: {name} -->", "<!-- end -->"
        page = re.sub(
            f"{re.escape(begin)}.*?{re.escape(end)}",
            lambda _, new=f"{begin}\n\n{text}\n\n{end}": new,  # type: ignore[misc]
            page,
            count=1,
            flags=re.DOTALL,
        )
    return page


def main(arguments: list[str]) -> int:
    """Write the files, or with --check compare them; the exit code tells."""
    wanted = files()
    there = {path for path in FOLDER.iterdir() if path.suffix in (".json", ".yaml") and path.name not in OTHERS}
    found = {path: path.read_text(encoding="utf-8") for path in there | wanted.keys() if path.exists()}
    if "--check" in arguments:
        stale = sorted(path.name for path in wanted.keys() | found.keys() if wanted.get(path) != found.get(path))
        if stale:
            print(f"these differ from their models: {', '.join(stale)}; run `make schemas`", file=sys.stderr)
        return bool(stale)
    for path in found.keys() - wanted.keys():
        path.unlink()
    for path, text in wanted.items():
        path.write_text(text, encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
