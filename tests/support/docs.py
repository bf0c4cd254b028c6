"""The pages of docs/ as their code: every block with its language and the marks in comments above it.

Apart from the tests because one of them accounts for every block and another runs those of whole pages. A mark is an
HTML comment before a block, which readers of the page do not see:

    <!-- file: PATH -->                 the block is that file of the repository
    <!-- tested: PATH::test_name -->    that test runs it, or holds it to what it shows
    <!-- every LANGUAGE tested: … -->   the same, of every block of that language on the page
    <!-- shown: reason -->              a picture or an illustration: why nothing runs it
    <!-- save as: NAME -->              a reader saves it under that name
    <!-- until stopped -->              a command that goes on; what follows is typed in another terminal
    <!-- exits with: 1 -->              the commands end with this code
"""

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path

ROOT = Path(__file__).parents[2]
PAGES = sorted([ROOT / "README.md", ROOT / "CONTRIBUTING.md", *(ROOT / "docs").rglob("*.md")])

_MARK = re.compile(r"^<!-- (file|tested|shown|save as|until stopped|exits with)(?:: (.+?))? -->$", re.DOTALL)
_EVERY = re.compile(r"<!-- every (\w+) tested: (\S+) -->")
_FENCE = re.compile(r"^(\s*)```(\w*)\s*$")


@dataclass(frozen=True, slots=True)
class Block:
    """Code on a page; `line` is where its text begins, from 1."""

    page: Path
    line: int
    language: str
    text: str
    marks: Mapping[str, str]

    def __str__(self) -> str:
        return f"{self.page.relative_to(ROOT)}:{self.line}"


def blocks(page: Path) -> list[Block]:
    """Every fenced and every indented block of the page, in order. An indented one has the language ''."""
    text = page.read_text(encoding="utf-8")
    every = dict(_EVERY.findall(text))
    return [
        replace(block, marks={"tested": every[block.language], **block.marks}) if block.language in every else block
        for block in _blocks(page, text.splitlines())
    ]


def _blocks(page: Path, lines: list[str]) -> Iterator[Block]:
    at, marks, listed = 0, dict[str, str](), False
    while at < len(lines):
        line = lines[at]
        if line.startswith("<!--"):
            end = next(number for number in range(at, len(lines)) if "-->" in lines[number])
            if found := _MARK.match("\n".join(lines[at : end + 1])):
                marks[found[1]] = found[2] or ""
            at = end + 1
        elif fence := _FENCE.match(line):
            end = next(number for number in range(at + 1, len(lines)) if lines[number].strip() == "```")
            text = "\n".join(row.removeprefix(fence[1]) for row in lines[at + 1 : end]) + "\n"
            yield Block(page, at + 2, fence[2] or "text", text, marks)
            at, marks = end + 1, {}
        elif line.startswith("    ") and line.strip() and not listed:
            end = _end_of_indented(lines, at)
            yield Block(page, at + 1, "", "\n".join(row[4:] for row in lines[at:end]) + "\n", marks)
            at, marks = end, {}
        else:
            if line.strip():
                marks = {}
                listed = bool(re.match(r"\s*([-*]|\d+\.) ", line)) or (listed and line.startswith(" "))
            at += 1


def _end_of_indented(lines: list[str], at: int) -> int:
    end = at
    for number in range(at, len(lines)):
        if lines[number].startswith("    "):
            end = number + 1
        elif lines[number].strip():
            break
    return end
