"""`make bench-parked`: what executions cost while they wait for a person, and how fast they go on after a power cut.

Apart from the other benchmarks because it measures a server with nothing to do, and then with everything at once.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Final

from .calibration import Calibration
from .driver import Answer, Command, Do
from .results import p
from .site import Plan, Site
from .usage import Memory, Reading, folder_bytes

PREFIX: Final = "parked"
KEPT: Final = ("server", "clickhouse")
"""The processes that keep executions."""

MB: Final = 1024 * 1024

SOME: Final = 4
"""Memory is looked at when a quarter is parked, too: two numbers tell what grows with them from what does not."""

Say = Callable[[str], None]


@dataclass(frozen=True, slots=True)
class Crowd:
    """How many are parked, and how many of them go on."""

    count: int
    approved: int | None = None
    """So many about the middle are approved after the power cut; all when it is None."""
    concurrency: int = 64
    idle_s: float = 10.0
    """How long nothing is done, to see what that costs."""
    patience_s: float = 600.0

    @property
    def middle(self) -> int:
        """The first that is approved after the power cut."""
        return self.count // 2

    @property
    def next_to_it(self) -> Sequence[range]:
        """Those approved after it: before it and behind it."""
        others = max(1, min(self.count, self.count if self.approved is None else self.approved)) - 1
        begin = max(0, min(self.middle - others // 2, self.count - 1 - others))
        return range(begin, self.middle), range(self.middle + 1, begin + others + 1)


async def run(plan: Plan, crowd: Crowd, say: Say) -> dict[str, float]:
    """The figures, after every execution was found right. Raises WrongResult."""
    async with Site.opened(plan) as site:
        warm = await site.drive(Command(do="job", prefix="warm", count=20, concurrency=4))
        await site.until_history_has("completed", len(warm.executions))
        empty = _memory(site), folder_bytes(site.data)
        calibration = Calibration.measured(plan.folder)
        some = max(1, crowd.count // SOME)
        await _park(site, crowd, 0, some)
        fewer = _memory(site)
        rest = await _park(site, crowd, some, crowd.count - some)
        figures = {
            "executions": crowd.count,
            "parked_per_s": (crowd.count - some) / rest.took_s,
            **await _kept(site, crowd, *empty),
            **_by_number(empty[0], fewer, _memory(site), some, crowd.count),
        }
        _show("Parked", figures, say)
        after, approved = await _power_cut(site, crowd)
        site.check_effects([*warm.executions, *approved])
        await site.until_history_has("completed", len(approved) + len(warm.executions), crowd.patience_s)
        await site.until_history_has("waiting", crowd.count - len(approved), crowd.patience_s)
    _show("After kill -9 of everything", after, say)
    found = {f"calibration/{name}": value for name, value in asdict(calibration).items()}
    _show("Calibration", found, say)
    return {**figures, **after, **found}


async def _park(site: Site, crowd: Crowd, first: int, count: int) -> Answer:
    """So many more; they are in history, and what was written behind is written, and memory given back, on return."""
    parked = await site.drive(_command(crowd, "park", first, count))
    await site.until_history_has("waiting", first + count, crowd.patience_s)
    await asyncio.sleep(crowd.idle_s)
    return parked


async def _kept(site: Site, crowd: Crowd, empty: Mapping[str, Memory], empty_disk: int) -> dict[str, float]:
    """What so many cost: memory, disk, and CPU while nothing happens."""
    reading = Reading.of(site.pids)
    await asyncio.sleep(crowd.idle_s)
    idle = Reading.of(site.pids).since(reading)
    full = _memory(site)
    return {
        **{f"rss_mb/{name}": memory.rss / MB for name, memory in full.items()},
        **{f"pss_mb/{name}": memory.pss / MB for name, memory in full.items()},
        **{f"uss_mb/{name}": memory.uss / MB for name, memory in full.items()},
        **{f"bytes_each/{name}": (full[name].uss - empty[name].uss) / crowd.count for name in full},
        "disk_mb": folder_bytes(site.data) / MB,
        "disk_bytes_each": (folder_bytes(site.data) - empty_disk) / crowd.count,
        **{f"idle_cpu_ms_per_s/{name}": used * 1000 / crowd.idle_s for name, used in idle.cpu_s.items()},
    }


def _by_number(
    empty: Mapping[str, Memory], fewer: Mapping[str, Memory], full: Mapping[str, Memory], some: int, count: int
) -> dict[str, float]:
    """Of the growth, what each further execution cost, and what is kept beside any number of them."""
    slopes = {name: (full[name].uss - fewer[name].uss) / (count - some) for name in full}
    grown = {name: full[name].uss - empty[name].uss for name in full}
    return {
        **{f"bytes_each_more/{name}": slope for name, slope in slopes.items()},
        **{f"kept_beside_mb/{name}": (grown[name] - slope * count) / MB for name, slope in slopes.items()},
    }


async def _power_cut(site: Site, crowd: Crowd) -> tuple[dict[str, float], list[str]]:
    """From the restart command on: until one in the middle is done, then until all to be approved are. With them."""
    await site.kill("server", "clickhouse", "worker")
    if site.plan.log:
        site.lose_caches()
    began = time.perf_counter()
    first = asyncio.create_task(site.drive(_command(crowd, "finish", crowd.middle, 1)))
    ready_s = await site.start_server()
    memory = Memory.of(site.pids["server"])
    await site.start_worker()
    approved = [await first]
    first_s = time.perf_counter() - began
    await site.until_history()
    reading, approving = Reading.of(site.pids), time.perf_counter()
    for some in filter(None, crowd.next_to_it):
        approved.append(await site.drive(_command(crowd, "finish", some.start, len(some))))
    ended, used = time.perf_counter(), Reading.of(site.pids).since(reading).cpu_s
    took_ms = [took for answer in approved[1:] for took in answer.approve_to_completed_ms]
    figures = {
        "ready_s": ready_s,
        "uss_mb_when_ready/server": memory.uss / MB,
        "first_done_s": first_s,
        "approved": len(took_ms) + 1,
        "all_approved_and_done_s": ended - approving,
        "all_done_since_restart_s": ended - began,
        "approve_to_completed_ms/p50": p(50, took_ms),
        "approve_to_completed_ms/p99": p(99, took_ms),
        **{f"approve_to_completed_cpu_ms/{name}": seconds * 1000 / len(took_ms) for name, seconds in used.items()},
    }
    return figures, [execution for answer in approved for execution in answer.executions]


def _memory(site: Site) -> dict[str, Memory]:
    return {name: Memory.of(site.pids[name]) for name in KEPT if name in site.pids}


def _command(crowd: Crowd, do: Do, first: int, count: int) -> Command:
    return Command(
        do=do,
        prefix=PREFIX,
        first=first,
        count=count,
        concurrency=min(crowd.concurrency, count),
        patience_s=crowd.patience_s,
    )


def _show(title: str, figures: Mapping[str, float], say: Say) -> None:
    say(title)
    for name, value in figures.items():
        say(f"  {name:32} {value:14,.2f}")
