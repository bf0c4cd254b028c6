"""How long clients see nothing move when the server is killed under load and started again at once.

Apart from the closed loop's figures because it takes time in which nothing is measured but the gap.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Sequence
from itertools import pairwise
from typing import Final

from .driver import Answer, Command
from .errors import WrongResult
from .site import Site

PREFIX: Final = "killed"


async def measured(site: Site, count: int, concurrency: int) -> tuple[dict[str, float], Answer]:
    """The figures, and the work that was done meanwhile. Raises WrongResult."""
    before = site.effects()

    async def half() -> bool:
        return site.effects() - before >= count // 2

    command = Command(do="job", prefix=PREFIX, count=count, concurrency=concurrency, patience_s=120)
    driving = asyncio.create_task(site.drive(command))
    await site.until(half, "half of the work is done", command.patience_s)
    await site.kill("server", "clickhouse")
    killed = time.perf_counter()
    ready_s = await site.start_server()
    answer = await driving
    await site.until_history()
    return {"killed/ready_s": ready_s, "killed/nothing_moved_s": _longest_gap(answer.done_at, killed)}, answer


def _longest_gap(done_at: Sequence[float], killed: float) -> float:
    """Between two ends, the later of them after the kill: what was under way then may still arrive."""
    ends = sorted(done_at)
    gaps = [after - max(before, killed) for before, after in pairwise(ends) if after > killed]
    if not gaps:
        raise WrongResult("all executions had ended when the server was killed: give it more of them")
    return max(gaps)
