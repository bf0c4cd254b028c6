"""`server logs`: the last lines of a detached server's log, and those that come.

A line is a JSON object. What is none (an interpreter's traceback, a library's own words) belongs to the line before.
"""

import json
import time
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

from agentspan.agents import AgentspanError
from agentspan.cli._options import Format, Level
from agentspan.cli._show import as_json, as_json_lines, out, printable

EVERY_S = 0.25
_ORDER = tuple(Level)


class NoLog(AgentspanError):
    """No server has written one there."""


@dataclass(frozen=True, slots=True)
class Entry:
    """One line."""

    level: Level
    fields: dict[str, Any]

    def text(self) -> str:
        """For people: when, how bad, who, what."""
        at, logger, message = (str(self.fields.get(name, "")) for name in ("at", "logger", "message"))
        line = "  ".join(part for part in (_local(at), self.level.upper().ljust(8), logger, message) if part)
        exception = self.fields.get("exception")
        return printable(line if exception is None else f"{line}\n{exception}", lines=True)


def show(
    folder: Path,
    count: int,
    level: Level,
    output: Format,
    *,
    follow: bool,
    pause: Callable[[float], None] = time.sleep,
) -> None:
    """Print the last `count` that are at least of `level`; with `follow`, what comes behind them. Raises NoLog."""
    path = folder / "server.log"
    if not path.is_file():
        raise NoLog(
            f"no server has logged to {str(path)!r}: `agentspan server start --detach` does, one in the foreground "
            "logs to its terminal; name another folder with --data"
        )
    with path.open(encoding="utf-8", errors="replace") as file:
        last = deque((entry for entry in entries(file) if _fits(entry, level)), maxlen=count)
        if output is Format.JSON:
            return as_json([entry.fields for entry in last])
        for entry in last:
            _print(entry, output)
        for entry in entries(_coming(path, file.tell(), pause)) if follow else ():
            if _fits(entry, level):
                _print(entry, output)


def entries(lines: Iterable[str]) -> Iterator[Entry]:
    """Each line with its level."""
    level = Level.INFO
    for line in lines:
        words = line.rstrip("\n")
        if not words:
            continue
        fields = _fields(words)
        level = _level(fields.get("level"), level)
        yield Entry(level, fields if "message" in fields else {"level": str(level), "message": words})


def _coming(path: Path, position: int, pause: Callable[[float], None]) -> Iterator[str]:
    """Whole lines behind `position`, as they come; from the beginning again when the file was made anew."""
    rest = ""
    while True:
        with path.open(encoding="utf-8", errors="replace") as file:
            if path.stat().st_size < position:
                position, rest = 0, ""
            file.seek(position)
            *lines, rest = (rest + file.read()).split("\n")
            position = file.tell()
        yield from lines
        pause(EVERY_S)


def _print(entry: Entry, output: Format) -> None:
    if output is Format.JSONL:
        as_json_lines([entry.fields])
    else:
        out(entry.text())


def _fits(entry: Entry, level: Level) -> bool:
    return _ORDER.index(entry.level) >= _ORDER.index(level)


def _fields(line: str) -> dict[str, Any]:
    try:
        found = json.loads(line)
    except ValueError:
        return {}
    return found if isinstance(found, dict) else {}


def _level(said: object, before: Level) -> Level:
    return Level(said) if said in [str(level) for level in Level] else before


def _local(at: str) -> str:
    try:
        return datetime.fromisoformat(at).astimezone().strftime("%Y-%m-%d %H:%M:%S")
    except ValueError:
        return at
