"""The demo's last words: what happened, in figures, and what is wrong, if anything.

Apart from the audit so that one computes and the other speaks.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from statistics import median, quantiles
from typing import Final

from agentspan.agents import ExecutionView

SHOWN: Final = 5
"""So many of the wrong ones are named."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Figures:
    """What there is to tell of a run."""

    tickets: int
    took_s: float
    killed_at: int
    """How many executions had ended when the server was killed."""
    away_s: float
    history: Sequence[ExecutionView]
    approved: int
    rejected: int
    effects: int
    wrong: Mapping[str, Sequence[str]]
    """What is wrong, by what was checked."""


def summary(figures: Figures) -> list[str]:
    """The lines to show."""
    statuses = Counter(view.status for view in figures.history)
    shown = ", ".join(f"{count} {status}" for status, count in sorted(statuses.items()))
    rate = len(figures.history) / figures.took_s
    calls = sum(view.totals.tool_calls for view in figures.history)
    return [
        "",
        f"executions   {len(figures.history)}: {shown}; in {figures.took_s:.1f} s, {rate:.0f} a second",
        f"durations    {_durations(figures.history)}",
        f"the kill     with {figures.killed_at} of {figures.tickets} ended; work was taken again {figures.away_s:.1f} s"
        " later",
        f"approvals    {figures.approved} approved, {figures.rejected} rejected",
        f"tool calls   {calls}; {figures.effects} of them changed something",
        *(f"{name:<12} {_verdict(wrong)}" for name, wrong in figures.wrong.items()),
        *_named(figures.wrong),
    ]


def _durations(history: Sequence[ExecutionView]) -> str:
    seconds = [(view.finished_at - view.started_at).total_seconds() for view in history if view.finished_at]
    if len(seconds) < 2:
        return "none to compare"
    most = quantiles(seconds, n=20)[-1]
    return f"median {median(seconds):.1f} s, 95 % within {most:.1f} s, longest {max(seconds):.1f} s"


def _verdict(wrong: Sequence[str]) -> str:
    return f"{len(wrong)} WRONG" if wrong else "all as expected"


def _named(wrong: Mapping[str, Sequence[str]]) -> list[str]:
    lines = []
    for name, found in wrong.items():
        lines += [f"  {name}: {one}" for one in found[:SHOWN]]
        if len(found) > SHOWN:
            lines.append(f"  {name}: and {len(found) - SHOWN} more")
    return lines
