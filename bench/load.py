"""`make bench-load`: many tickets at once for slow models and slow tools, while ClickHouse and a worker are killed.

Apart from the other benchmarks because it does not ask how fast, but whether the server stays itself: its memory
bounded, its answers quick for those who approve, its backlog drained.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, replace
from datetime import UTC, datetime
from typing import Any, Final

from . import job
from .calibration import Calibration
from .driver import Answer, Command, Do
from .errors import WrongResult
from .results import p
from .site import Plan, Site
from .usage import Memory, peaks_mb

PREFIX: Final = "load"
PAGE: Final = 500
CUT: Final = "…"
"""What the preview of a longer text ends with."""

MB: Final = 1024 * 1024

Say = Callable[[str], None]


@dataclass(frozen=True, slots=True)
class Flood:
    """How much comes, and how slow it is."""

    count: int
    connections: int = 256
    workers: int = 3
    model_s: float = 1.0
    tool_s: float = 0.2
    model_calls: int = 1000
    """How many model calls the server makes at a time."""
    patience_s: float = 7200.0

    def on(self, plan: Plan) -> Plan:
        """The site that it needs."""
        settings = {**plan.settings, "AGENTSPAN_MODEL_CALLS": str(self.model_calls)}
        return replace(plan, model_s=self.model_s, tool_s=self.tool_s, settings=settings)


async def run(plan: Plan, flood: Flood, say: Say) -> dict[str, float]:
    """The figures, after every execution was found right. Raises WrongResult."""
    calibration = Calibration.measured(plan.folder)
    async with Site.opened(flood.on(plan)) as site:
        for number in range(1, flood.workers):
            await site.start_worker(f"worker {number}")
        await site.start_driver("reviewer")
        empty = Memory.of(site.pids["server"])
        async with asyncio.TaskGroup() as group:
            sending = group.create_task(site.drive(_command(flood, "flood")))
            reviewing = group.create_task(site.drive(_command(flood, "review"), by="reviewer"))
            misfortunes = group.create_task(_misfortunes(site, flood, say))
        sent, reviewed = sending.result(), reviewing.result()
        site.check_effects(sent.executions)
        await _check_answers(site, flood.count)
        figures = {
            **_speed(sent, reviewed, flood),
            "server_mb_before": empty.rss / MB,
            **{f"peak_mb/{name}": peak for name, peak in peaks_mb(site.pids).items()},
            **misfortunes.result(),
            **{f"calibration/{name}": value for name, value in asdict(calibration).items()},
        }
    for name, value in figures.items():
        say(f"  {name:32} {value:14,.2f}")
    return figures


def _speed(sent: Answer, reviewed: Answer, flood: Flood) -> dict[str, float]:
    return {
        "executions": flood.count,
        "accepted_per_s": flood.count / sent.took_s,
        "completed_per_s": flood.count / reviewed.took_s,
        "all_done_s": reviewed.took_s,
        "decision_ms/p50": p(50, reviewed.decision_ms),
        "decision_ms/p99": p(99, reviewed.decision_ms),
        "decision_ms/max": max(reviewed.decision_ms),
        "resolved_in_doubt": reviewed.resolved,
    }


async def _misfortunes(site: Site, flood: Flood, say: Say) -> dict[str, float]:
    """At a third of the refunds ClickHouse is killed, at two thirds a worker, with all that it has in hand."""
    await _refunded(site, flood, flood.count // 3)
    say(f"{datetime.now(UTC):%H:%M:%S} ClickHouse is killed")
    await site.kill("clickhouse")
    began = asyncio.get_running_loop().time()
    await site.until_history()
    away_s = asyncio.get_running_loop().time() - began
    await _refunded(site, flood, 2 * flood.count // 3)
    say(f"{datetime.now(UTC):%H:%M:%S} a worker vanishes")
    await site.kill("worker")
    return {"history_away_s": away_s}


async def _refunded(site: Site, flood: Flood, count: int) -> None:
    async def so_many() -> bool:
        return site.effects() >= count

    await site.until(so_many, f"{count} refunds are made", flood.patience_s)


async def _check_answers(site: Site, count: int) -> None:
    """Every execution of history has the answer that follows from its ticket. Raises WrongResult."""
    seen = 0
    params = {"agent": job.AGENT, "limit": str(PAGE)}
    while True:
        page = await site.get("/executions", **params)
        for view in page["items"]:
            _check(view)
        seen += len(page["items"])
        if page["cursor"] is None:
            break
        params["cursor"] = page["cursor"]
    if seen != count:
        raise WrongResult(f"history lists {seen} executions, not {count}")


def _check(view: Mapping[str, Any]) -> None:
    right = job.right_answer(job.ticket_name(view["prompt"]))
    if view["status"] != "completed" or not right.startswith(str(view["output"]).removesuffix(CUT)):
        raise WrongResult(f"{view['execution_id']} is {view['status']} with {view['output']!r}, not {right!r}")


def _command(flood: Flood, do: Do) -> Command:
    return Command(do=do, prefix=PREFIX, count=flood.count, concurrency=flood.connections, patience_s=flood.patience_s)
