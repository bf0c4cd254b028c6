"""`make bench`: the job in a closed loop, at several concurrencies, against one server.

Apart from the site, which knows how to run it, and from the results, which know how to keep its figures.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from typing import Final

from . import job, recovery, tickets
from .calibration import Calibration
from .driver import Answer, Command
from .results import p
from .site import Plan, Site
from .usage import Flushes, Reading, counted_flushes, peaks_mb, reset_peaks

FLUSHING: Final = ("server", "clickhouse", "broker")


@dataclass(frozen=True, slots=True)
class Load:
    """How much is done."""

    concurrencies: Sequence[int] = (1, 32, 128)
    samples: int = 300
    """Executions one at a time."""
    count: int = 3000
    """Executions at each other concurrency."""
    warm_up: int = 200


Say = Callable[[str], None]


async def run(plan: Plan, load: Load, say: Say) -> dict[str, float]:
    """The figures, after every execution was found right. Raises WrongResult."""
    figures: dict[str, float] = {}
    executions: list[str] = []
    async with Site.opened(plan) as site:
        warm = await site.drive(Command(do="job", prefix="warm", count=load.warm_up, concurrency=min(32, load.warm_up)))
        executions += warm.executions
        for concurrency in load.concurrencies:
            await site.until_history_has("completed", len(executions))
            count = load.samples if concurrency == 1 else load.count
            found, answer = await _stage(site, concurrency, count, len(executions))
            executions += answer.executions
            site.check_effects(executions)
            figures |= {f"{concurrency}/{name}": value for name, value in found.items()}
            _show(concurrency, found, say)
        more = await _more(site, load, executions)
        for name, value in more.items():
            say(f"{name:24} {value:.2f}")
    return figures | more


async def _more(site: Site, load: Load, executions: Sequence[str]) -> dict[str, float]:
    """What is measured once, whatever the concurrency."""
    found, answer = await recovery.measured(site, max(16, load.count // 3), min(32, max(load.concurrencies)))
    site.check_effects([*executions, *answer.executions])
    if site.plan.bootstrap:
        found |= await tickets.measured(site, site.plan.bootstrap, load.samples)
    return found


async def _stage(site: Site, concurrency: int, count: int, before: int) -> tuple[dict[str, float], Answer]:
    calibration = Calibration.measured(site.plan.folder)
    pids = site.pids
    reset_peaks(pids)
    async with counted_flushes({name: pid for name, pid in pids.items() if name in FLUSHING}) as flushes:
        reading = Reading.of(pids)
        command = Command(do="job", prefix=f"at{concurrency}", count=count, concurrency=concurrency)
        answer = await site.drive(command)
        behind_s = await _behind_s(site)
        used = Reading.of(pids).since(reading)
        caught_up_s = await site.until_history_has("completed", before + count)
    figures = {
        **_speed(answer),
        **_used(used, flushes, count),
        **{f"peak_mb/{name}": peak for name, peak in peaks_mb(pids).items()},
        "stored_events_per_s": len(job.EVENTS) * count / (answer.took_s + caught_up_s),
        "history_behind_s": behind_s,
        "history_caught_up_s": caught_up_s,
        **{f"calibration/{name}": value for name, value in asdict(calibration).items()},
    }
    return figures, answer


async def _behind_s(site: Site) -> float:
    """How old the oldest event is that is not in ClickHouse."""
    as_of = datetime.fromisoformat((await site.get("/executions", limit="1"))["as_of"])
    return max(0.0, (datetime.now(UTC) - as_of).total_seconds())


def _speed(answer: Answer) -> dict[str, float]:
    per_s = len(answer.executions) / answer.took_s
    return {
        "executions": len(answer.executions),
        "executions_per_s": per_s,
        "durable_steps_per_s": per_s * job.STEPS,
        "start_to_waiting_ms/p50": p(50, answer.start_to_waiting_ms),
        "start_to_waiting_ms/p99": p(99, answer.start_to_waiting_ms),
        "approve_to_completed_ms/p50": p(50, answer.approve_to_completed_ms),
        "approve_to_completed_ms/p99": p(99, answer.approve_to_completed_ms),
    }


def _used(used: Reading, flushes: Flushes, count: int) -> dict[str, float]:
    cpu_ms = {name: seconds * 1000 / count for name, seconds in used.cpu_s.items()}
    written = {name: size / count for name, size in used.written_bytes.items()}
    flushed = {name: times / count for name, times in flushes.counts.items() if times is not None}
    return {
        **{f"cpu_ms/{name}": value for name, value in cpu_ms.items()},
        "cpu_ms/all": sum(cpu_ms.values()),
        **{f"written_bytes/{name}": value for name, value in written.items()},
        **{f"flushes/{name}": value for name, value in flushed.items()},
    }


def _show(concurrency: int, figures: dict[str, float], say: Say) -> None:
    def many(prefix: str, digits: int) -> str:
        found = {name.removeprefix(prefix): value for name, value in figures.items() if name.startswith(prefix)}
        return ", ".join(f"{name} {value:,.{digits}f}" for name, value in found.items()) or "not counted here"

    say(f"At concurrency {concurrency}, {figures['executions']:.0f} executions")
    say(f"  executions/s         {figures['executions_per_s']:.1f}")
    say(f"  durable steps/s      {figures['durable_steps_per_s']:.0f}")
    say(f"  start → waiting      {many('start_to_waiting_ms/', 1)} ms")
    say(f"  approve → completed  {many('approve_to_completed_ms/', 1)} ms")
    say(f"  CPU an execution     {many('cpu_ms/', 2)} ms")
    say(f"  peak memory          {many('peak_mb/', 0)} MB")
    say(f"  written an execution {many('written_bytes/', 0)} bytes")
    say(f"  flushes an execution {many('flushes/', 2)}")
    say(f"  into ClickHouse      {figures['stored_events_per_s']:.0f} events/s")
    say(
        f"  history at the end   behind by {figures['history_behind_s']:.2f} s,"
        f" caught up {figures['history_caught_up_s']:.2f} s later"
    )
    say(f"  calibration          {many('calibration/', 2)}")
