"""Two fixed loops, timed beside each figure: what this machine could do just then.

Runs of different days or machines are compared by them; a disk that flushes slower, or a neighbour that takes half of a
core, shows here first.
"""

from __future__ import annotations

import json
import os
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Self

ROUNDS: Final = 4000
FLUSHES: Final = 200
BLOCK: Final = bytes(4096)


@dataclass(frozen=True, slots=True)
class Calibration:
    """The loops' times in milliseconds."""

    cpu_ms: float
    """By the clock; more than `cpu_own_ms` says that others had the core meanwhile."""
    cpu_own_ms: float
    flush_ms: float
    """A single append of 4 KiB with its flush."""

    @classmethod
    def measured(cls, folder: Path) -> Self:
        """Both loops now, the flushes in the folder."""
        began, own = time.perf_counter(), time.process_time()
        _compute()
        took, used = time.perf_counter() - began, time.process_time() - own
        return cls(took * 1000, used * 1000, _flush(folder) * 1000)


def _compute() -> None:
    """What services do much: dictionaries, strings, JSON."""
    item = {f"key-{number}": {"text": "x" * 40, "numbers": list(range(10))} for number in range(10)}
    for _ in range(ROUNDS):
        json.loads(json.dumps(item))


def _flush(folder: Path) -> float:
    with tempfile.TemporaryFile(dir=folder) as file:
        began = time.perf_counter()
        for _ in range(FLUSHES):
            os.write(file.fileno(), BLOCK)
            os.fdatasync(file.fileno())
        return (time.perf_counter() - began) / FLUSHES
