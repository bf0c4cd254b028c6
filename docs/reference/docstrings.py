"""Docstrings as Markdown: paragraphs stay, `Args:` becomes a list, examples and indented code become blocks."""

import inspect
import re
from collections.abc import Generator, Iterator

_SECTION = re.compile(r"^(Args|Raises|Returns):$")
_ARGUMENT = re.compile(r"^    (\*{0,2}\w+): (.*)$")


def markdown(text: str) -> str:
    """The docstring, ending in a line break; empty for an empty one."""
    lines = "\n".join(_lines(inspect.cleandoc(text).splitlines()))
    return re.sub(r"\n{3,}", "\n\n", lines).strip("\n") + "\n" if text.strip() else ""


def _lines(lines: list[str]) -> Iterator[str]:
    at = 0
    while at < len(lines):
        line = lines[at]
        if _SECTION.match(line):
            yield ""
            at = yield from _arguments(lines, at + 1)
        elif line.lstrip().startswith(">>> ") or line.startswith("    "):
            end = next((n for n in range(at, len(lines)) if _ends(lines, n, line)), len(lines))
            code = [row.removeprefix("    ") if line.startswith("    ") else row for row in lines[at:end]]
            while code and not code[-1].strip():
                code.pop()
            kind = "pycon" if line.lstrip().startswith(">>> ") else "text"
            yield from ("", f"```{kind}", *code, "```", "")
            at = end
        else:
            yield line
            at += 1


def _ends(lines: list[str], number: int, first: str) -> bool:
    """Whether the code that began with `first` is over at this line."""
    row = lines[number]
    if first.startswith("    "):
        return bool(row.strip()) and not row.startswith("    ")
    return not row.strip()


def _arguments(lines: list[str], at: int) -> Generator[str, None, int]:
    while at < len(lines) and lines[at].startswith("    "):
        if found := _ARGUMENT.match(lines[at]):
            rest = [found[2]]
            at += 1
            while at < len(lines) and lines[at].startswith("        "):
                rest.append(lines[at].strip())
                at += 1
            yield f"- `{found[1]}`: {' '.join(rest)}"
        else:
            yield lines[at].strip()
            at += 1
    return at
