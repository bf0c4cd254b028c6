"""What the demo shows: one line that keeps changing on a terminal, plain lines now and then anywhere else.

Apart because a log file and a terminal want different things, and nothing else should care.
"""

from __future__ import annotations

import time
from typing import Final, TextIO

PLAIN_LINE_EVERY_S: Final = 5.0


class Screen:
    """Writes to one stream."""

    def __init__(self, out: TextIO) -> None:
        self._out = out
        self._live = out.isatty()
        self._began = time.monotonic()
        self._last_plain_s = -PLAIN_LINE_EVERY_S
        self._line_is_open = False

    def say(self, text: str) -> None:
        """A line that stays."""
        self._end_line()
        print(text, file=self._out, flush=True)

    def progress(self, text: str) -> None:
        """How things stand now; the next progress takes its place."""
        elapsed_s = time.monotonic() - self._began
        if self._live:
            print(f"\r\x1b[K{elapsed_s:4.0f} s  {text}", end="", file=self._out, flush=True)
            self._line_is_open = True
        elif elapsed_s - self._last_plain_s >= PLAIN_LINE_EVERY_S:
            self._last_plain_s = elapsed_s
            print(f"{elapsed_s:4.0f} s  {text}", file=self._out, flush=True)

    def _end_line(self) -> None:
        if self._line_is_open:
            self._line_is_open = False
            print(file=self._out)
