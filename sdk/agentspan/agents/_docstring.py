"""A docstring in Google's style, taken apart: what the tool does, and what each parameter means.

Apart because it is text work that nothing else should know of. Any other style is all description.
"""

import re

_SECTION = re.compile(r"^(Args|Arguments|Parameters|Params):\s*$")
_PARAMETER = re.compile(r"^\*{0,2}(\w+)\s*(\([^)]*\))?\s*:\s*(.*)$")


def split_docstring(docstring: str) -> tuple[str, dict[str, str]]:
    """`(description, {parameter: meaning})`; the description is all but the `Args:` section."""
    lines = docstring.splitlines()
    start = next((i for i, line in enumerate(lines) if _SECTION.match(line)), None)
    if start is None:
        return docstring.strip(), {}
    after = (i for i in range(start + 1, len(lines)) if lines[i].strip() and not lines[i][0].isspace())
    end = next(after, len(lines))
    description = "\n".join([*lines[:start], *lines[end:]]).strip()
    return description, _parameters(lines[start + 1 : end])


def _parameters(lines: list[str]) -> dict[str, str]:
    found: dict[str, list[str]] = {}
    indent = min((_indent(line) for line in lines if line.strip()), default=0)
    current: list[str] | None = None
    for line in lines:
        match = _PARAMETER.match(line.strip()) if _indent(line) == indent else None
        if match:
            current = found.setdefault(match[1], [match[3]])
        elif current is not None and line.strip():
            current.append(line.strip())
    return {name: " ".join(part for part in parts if part) for name, parts in found.items()}


def _indent(line: str) -> int:
    return len(line) - len(line.lstrip())
