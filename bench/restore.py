"""`python -m bench restore`: a server that has lost all its caches, while many executions wait on the cluster's topics.

Apart from `parked` because nothing is driven through the doors but what is checked in the end: that what was restored
goes on. What waits is put on the topics at once (`waiting`), and one broker can be restored from again and again.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from statistics import median
from typing import Any, Final

from agentspan.eventlog.kafka import KafkaConfig

from . import job, waiting, worker
from .calibration import Calibration
from .errors import BenchError, WrongResult
from .site import TOPIC_PREFIX, Plan, Site
from .usage import Reading, peaks_mb

PREFIX: Final = "parked"
ROLES: Final = "orchestrator,tool-runner,approvals"
"""History is left out: it would read all events beside."""

LOOK_S: Final = 0.25
"""Between two looks at the metrics, which count what is parked."""

WITHIN_S: Final = 600.0

Say = Callable[[str], None]
Figures = dict[str, float]


@dataclass(frozen=True, slots=True)
class Loss:
    """What is parked, and how often all caches are lost."""

    count: int
    times: int = 3
    approved: int = 20


async def run(plan: Plan, loss: Loss, say: Say) -> Figures:
    """The middle of the restores, after all was found there, and what was approved went on. Raises WrongResult."""
    if not plan.bootstrap:
        raise BenchError("only what is on a cluster is restored: --log kafka")
    async with Site.opened(replace(plan, roles=ROLES)) as site:
        await site.end("server", "worker")
        calibration = Calibration.measured(plan.folder)
        began = time.perf_counter()
        config = KafkaConfig(bootstrap=plan.bootstrap, prefix=TOPIC_PREFIX)
        await waiting.put(config, worker.make_agent(_refuse, 0).definition, PREFIX, loss.count)
        say(f"{loss.count} executions were put on the topics in {time.perf_counter() - began:.0f} s")
        ended = [await _after(site, loss, site.end) for _ in range(loss.times)]
        for figures in ended:
            say(_line(figures))
        killed = await _after(site, loss, site.kill)
        await _go_on(site, loss)
    return {
        "executions": loss.count,
        **_middle(ended),
        **{f"killed/{name}": value for name, value in killed.items()},
        **{f"calibration/{name}": value for name, value in asdict(calibration).items()},
    }


async def _after(site: Site, loss: Loss, stop: Callable[[str], Any]) -> Figures:
    """A server on an empty folder, after the one before it was stopped so."""
    if "server" in site.pids:
        await stop("server")
    site.lose_caches()
    began, broker = time.perf_counter(), _used(site, "broker")
    ready_s = await site.start_server()
    ready = {"ready_cpu_s/server": _used(site, "server"), "ready_cpu_s/broker": _used(site, "broker") - broker}
    await _whole(site, loss.count)
    whole_s, pids = time.perf_counter() - began, {"server": site.pids["server"]}
    return {
        "ready_s": ready_s,
        **ready,
        "whole_s": whole_s,
        "whole_cpu_s/server": _used(site, "server"),
        "peak_mb/server": peaks_mb(pids)["server"],
    }


def _used(site: Site, name: str) -> float:
    """The CPU time of a process so far; of a broker in a container nobody knows."""
    pid = site.pids.get(name)
    return Reading.of({name: pid}).cpu_s[name] if pid else 0.0


async def _whole(site: Site, count: int) -> None:
    """Return when every execution is parked, and every request waits."""

    async def has_all() -> bool:
        await asyncio.sleep(LOOK_S)
        found = await site.metrics("agentspan_executions_parked", "agentspan_approvals_pending")
        if max(found.values()) > count:
            raise WrongResult(f"of {count} executions the server has {found}")
        return set(found.values()) == {count}

    await site.until(has_all, f"{count} executions are parked, and their requests wait", WITHIN_S)


async def _go_on(site: Site, loss: Loss) -> None:
    """Some are approved, and their refunds made. Raises WrongResult."""
    await site.start_worker()
    requests = (await site.get("/approvals", limit=str(loss.approved)))["items"]
    for request in requests:
        await site.post(f"/approvals/{request['approval_id']}/decision", _approval(request))

    async def are_made() -> bool:
        return site.effects() >= len(requests)

    await site.until(are_made, f"{len(requests)} refunds", WITHIN_S)
    site.check_effects([request["execution_id"] for request in requests])


def _approval(request: Mapping[str, Any]) -> dict[str, Any]:
    return {"decision": "approve", "args_hash": request["args_hash"]}


def _middle(runs: Sequence[Figures]) -> Figures:
    return {name: median([run[name] for run in runs]) for name in runs[0]}


def _line(figures: Figures) -> str:
    return "  ".join(f"{name} {value:.2f}" for name, value in figures.items())


def _refuse(key: str) -> None:
    raise AssertionError(f"{key!r} of {job.AGENT!r}: only the worker makes refunds")
