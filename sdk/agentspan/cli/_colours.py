"""Words in colour, for terminals that want it. A colour only repeats what its word says.

Apart from `_show` because errors of the command line use it, and must not wait for what that imports.
"""

import os
from typing import TextIO

RED, GREEN, YELLOW, CYAN = 31, 32, 33, 36
COLOURS = {
    "running": CYAN, "waiting": YELLOW, "pending": YELLOW, "paused": YELLOW, "warn": YELLOW,
    "completed": GREEN, "approved": GREEN, "ok": GREEN,
    "failed": RED, "rejected": RED, "in_doubt": RED, "fail": RED, "refused": RED, "error:": RED,
}  # fmt: skip
"""By the word that is coloured."""


def has_colour(stream: TextIO) -> bool:
    """Whether who reads this is a terminal that wants colours."""
    return stream.isatty() and not os.environ.get("NO_COLOR") and os.environ.get("TERM") != "dumb"


def painted(word: str, stream: TextIO) -> str:
    """The word in the colour of what it says, where it has one and the stream wants it."""
    code = COLOURS.get(word)
    return f"\x1b[{code}m{word}\x1b[0m" if code and has_colour(stream) else word
