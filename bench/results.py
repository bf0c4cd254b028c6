"""Runs and their figures: one JSON line a run in `results.jsonl`, and the ratios between the runs of two commits.

Figures are flat, `128/executions_per_s`, so that whatever is measured next is compared without further ado.
"""

from __future__ import annotations

import os
import platform
import subprocess
from collections.abc import Iterable, Sequence
from datetime import UTC, datetime
from pathlib import Path
from statistics import quantiles
from typing import Final, Self

from pydantic import BaseModel

from .errors import BenchError
from .processes import ROOT

RESULTS: Final = Path(__file__).with_name("results.jsonl")


class Run(BaseModel):
    """One run of one benchmark."""

    bench: str
    log: str
    commit: str
    changed: bool
    """Whether the code differed from its commit."""
    at: datetime
    cores: int
    python: str = "not said"
    """Its version and build: one without its optimizations takes a third longer."""
    figures: dict[str, float]

    @classmethod
    def now(cls, bench: str, log: str) -> Self:
        """A run of this code, still without figures."""
        return cls(
            bench=bench,
            log=log,
            commit=_git("rev-parse", "HEAD"),
            changed=bool(_git("status", "--porcelain", "--untracked-files=no")),
            at=datetime.now(UTC),
            cores=os.cpu_count() or 0,
            python=f"{platform.python_version()} ({platform.python_build()[1]}, {platform.python_compiler()})",
            figures={},
        )

    def append_to(self, path: Path) -> None:
        """Keep it."""
        with path.open("a", encoding="utf-8") as file:
            file.write(self.model_dump_json() + "\n")


def p(percent: int, values: Sequence[float]) -> float:
    """The percentile."""
    return quantiles(values, n=100, method="inclusive")[percent - 1] if len(values) > 1 else values[0]


def compared(path: Path, before: str, after: str) -> Iterable[str]:
    """Lines with the ratio of every figure that both commits have, of the last run of each. Raises BenchError."""
    runs = [Run.model_validate_json(line) for line in path.read_text().splitlines()]
    kinds = dict.fromkeys((run.bench, run.log) for run in runs)
    pairs = [(kind, _last(runs, kind, before), _last(runs, kind, after)) for kind in kinds]
    found = [(kind, old, new) for kind, old, new in pairs if old and new]
    if not found:
        raise BenchError(
            f"{path} has no runs of both {before!r} and {after!r}: run the benchmark on each of them first"
        )
    for (bench, log), old, new in found:
        yield f"{bench}, log={log}: A = {_title(old)}, B = {_title(new)}"
        yield f"{'':40} {'A':>12} {'B':>12} {'B/A':>7}"
        for name in [name for name in old.figures if name in new.figures]:
            yield _line(name, old.figures[name], new.figures[name])


def _last(runs: Sequence[Run], kind: tuple[str, str], commit: str) -> Run | None:
    matching = [run for run in runs if (run.bench, run.log) == kind and run.commit.startswith(commit)]
    return matching[-1] if matching else None


def _title(run: Run) -> str:
    return f"{run.commit[:10]}{' with changes' if run.changed else ''} of {run.at:%Y-%m-%d %H:%M}, {run.cores} cores"


def _line(name: str, before: float, after: float) -> str:
    ratio = f"{after / before:7.2f}" if before else f"{'':>7}"
    return f"{name:40} {before:12.2f} {after:12.2f} {ratio}"


def _git(*arguments: str) -> str:
    done = subprocess.run(["git", *arguments], cwd=ROOT, capture_output=True, text=True, check=False)
    return done.stdout.strip()
