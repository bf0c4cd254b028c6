"""How things look on a terminal and in a pipe: data on standard output, words on standard error.

A colour only repeats what a word says, and only on a terminal that wants it (NO_COLOR, TERM=dumb).

What models, tools and customers wrote is shown escaped: a terminal obeys control characters, and an approver must see
what is there.
"""

import json
import re
import shutil
import sys
import textwrap
import unicodedata
from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import datetime
from typing import Any, TypeVar

from pydantic import BaseModel

from agentspan.cli._colours import COLOURS, has_colour, painted
from agentspan.cli._options import Format

T = TypeVar("T")

VALUE = 40
"""So much of an argument stands in a list."""

ARGS = 160
"""So much of all of them."""

GAP = "  "
NAME = 10
"""So wide is a field's name."""

NARROW = 40
"""A column wider than this holds texts."""

LEAST = 24
"""A text with less room than this on its line says nothing."""

TEXT = 80
"""So much of a text stands in a table where there is no terminal to say more."""

BELOW = "    "
"""Before what went below its line."""

WIDTH = 120
"""So wide is a line of prose where there is no terminal to say it."""


_SEEMS_NOTHING = re.compile(
    "[\u034f\u115f\u1160\u17b4\u17b5\u180b-\u180d\u180f\u2800\u3164\ufe00-\ufe0d\uffa0\U000e0100-\U000e01ef]"
    "|(?<![^\x00-\xa8\\w\\s])[\ufe0e\ufe0f](?!\u20e3)"
)
"""Printable, and yet nobody sees them: two arguments could look alike. How a sign or a key is drawn is kept."""


def say(text: str) -> None:
    """A message for the person at the terminal."""
    print(text, file=sys.stderr, flush=True)


def out(text: str) -> None:
    """A line of data."""
    print(text, flush=True)


def printable(text: str, *, lines: bool = False) -> str:
    """The text with everything that a terminal would obey escaped; `lines` keeps line breaks and tabs."""
    kept = "\n\t" if lines else ""
    escaped = "".join(c if c.isprintable() or c in kept else c.encode("unicode_escape").decode() for c in text)
    return _SEEMS_NOTHING.sub(lambda found: found[0].encode("unicode_escape").decode(), escaped)


def compact(value: Any) -> str:
    """A JSON value on one line, for people."""
    return printable(json.dumps(value, ensure_ascii=False))


def brief(args: Mapping[str, Any]) -> str:
    """A call's arguments on a short line: each by its name, so that no long one hides the others."""
    given = (f"{excerpt(printable(name), VALUE)}={excerpt(compact(value), VALUE)}" for name, value in args.items())
    return excerpt(", ".join(given), ARGS)


def moment(at: datetime) -> str:
    """A moment in the reader's own time zone."""
    return at.astimezone().strftime("%Y-%m-%d %H:%M:%S")


def as_json(value: Any) -> None:
    """One JSON document on standard output."""
    out(json.dumps(_plain(value), indent=2))


def as_json_lines(values: Iterable[Any]) -> None:
    """One JSON document a line."""
    for value in values:
        out(json.dumps(_plain(value)))


def one(value: Any, output: Format) -> None:
    """One thing as JSON, over several lines or on one."""
    if output is Format.JSONL:
        as_json_lines([value])
    else:
        as_json(value)


def several(values: Sequence[Any], output: Format) -> None:
    """Several things as JSON, in one document or one on each line."""
    if output is Format.JSONL:
        as_json_lines(values)
    else:
        as_json(values)


def many(
    values: Sequence[T], output: Format, titles: Sequence[str], row: Callable[[T], Sequence[str]], nothing: str
) -> None:
    """A list: a table, or JSON; what there is to say when it is empty goes to the person."""
    if output is not Format.TABLE:
        several(values, output)
    elif values:
        table(titles, [row(value) for value in values])
    else:
        say(nothing)


def fields(pairs: Iterable[tuple[str, str]]) -> None:
    """Names and values, one under the other; a value that is long goes on below itself."""
    width = shutil.get_terminal_size().columns if sys.stdout.isatty() else WIDTH
    for name, value in pairs:
        first = f"{name:<{NAME}} "
        below = " " * len(first)
        lines = textwrap.wrap(
            value, max(width - len(first), 40), break_long_words=False, break_on_hyphens=False, drop_whitespace=True
        )
        out(f"{first}{f'{chr(10)}{below}'.join(lines)}".rstrip())


def counted(number: int, one: str) -> str:
    """`1 turn`, `2 turns`."""
    return f"{number} {one if number == 1 else f'{one}s'}"


def excerpt(text: str, most: int) -> str:
    """The beginning of a text, where it is longer."""
    return text if len(text) <= most else text[: most - 1] + "…"


def table(titles: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
    """Columns. Where a terminal is narrow texts give way, and what is last goes below its line when little is left."""
    lines = [[*titles], *([printable(cell) for cell in row] for row in rows)]
    widths = [max(_columns(line[column]) for line in lines) for column in range(len(titles))]
    edge = shutil.get_terminal_size().columns if sys.stdout.isatty() else sys.maxsize
    fitting = _fitting(widths, edge)
    while len(fitting) > 1 and _length(fitting) > edge:
        fitting = _fitting(widths[: len(fitting) - 1], edge)
    below = _fitting(widths[len(fitting) :], edge - len(BELOW))
    coloured = has_colour(sys.stdout)
    for number, line in enumerate(lines):
        out(_row(line[: len(fitting)], fitting, edge, coloured=coloured and number > 0))
        if any(line[len(fitting) :]):
            out(BELOW + _row(line[len(fitting) :], below, edge - len(BELOW), coloured=coloured and number > 0))


def room() -> int:
    """So much of a text is worth a place in a table: what a terminal has room for."""
    return max(TEXT, shutil.get_terminal_size().columns) if sys.stdout.isatty() else TEXT


def _fitting(widths: Sequence[int], edge: int) -> list[int]:
    """Texts so much narrower that a line fits: what is wide, and what is last. Ids, names and times stay whole."""
    fitting, last = list(widths), len(widths) - 1
    texts = [column for column, width in enumerate(widths) if width > NARROW or column == last]
    while _length(fitting) > edge and fitting[widest := max(texts, key=fitting.__getitem__)] > LEAST:
        fitting[widest] -= 1
    return fitting


def _length(widths: Sequence[int]) -> int:
    return sum(widths) + len(GAP) * (len(widths) - 1)


def _row(line: Sequence[str], widths: Sequence[int], edge: int, *, coloured: bool) -> str:
    cells = [_at_most(cell, width) for cell, width in zip(line, widths, strict=True)]
    padded = (cell + " " * (width - _columns(cell)) for cell, width in zip(cells, widths, strict=True))
    text = _at_most(GAP.join(padded).rstrip(), edge)
    return _painted_line(text, cells, widths) if coloured else text


def _at_most(text: str, columns: int) -> str:
    return text if _columns(text) <= columns else _cut(text, columns - 1) + "…"


def _columns(text: str) -> int:
    """How wide a terminal shows it: ideographs and most emoji take two columns, a combining mark none."""
    if text.isascii():
        return len(text)
    return sum(2 if unicodedata.east_asian_width(c) in "WF" else not unicodedata.combining(c) for c in text)


def _cut(text: str, columns: int) -> str:
    """As much of the text as has room."""
    while _columns(text) > columns:
        text = text[:-1] if len(text) <= columns else text[:columns]
    return text


def _painted_line(text: str, cells: Sequence[str], widths: Sequence[int]) -> str:
    """The line with those of its cells in colour that have one, from the last: what is before keeps its place."""
    for column in range(len(cells) - 1, -1, -1):
        begin = sum(widths[:column]) + len(GAP) * column
        end = begin + len(cells[column])
        if cells[column] in COLOURS and text[begin:end] == cells[column]:
            text = text[:begin] + painted(cells[column], sys.stdout) + text[end:]
    return text


def _plain(value: Any) -> Any:
    match value:
        case BaseModel():
            return value.model_dump(mode="json")
        case datetime():
            return value.isoformat()
        case list() | tuple():
            return [_plain(item) for item in value]
        case dict():
            return {name: _plain(item) for name, item in value.items()}
        case _:
            return value
