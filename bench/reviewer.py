"""The reviewer of `make bench-load`: approves whatever waits, and says what became of calls in doubt.

Apart from the closed loops because it follows no execution: it looks at what waits, as a team's own queue does, until
history has all of them completed.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

from . import job
from .client import Api
from .watch import Request

LOOK_EVERY_S: Final = 0.25
PAGE: Final = 1000
AT_ONCE: Final = 8


@dataclass(slots=True)
class Reviewer:
    """Decides by one connection pool; how long each answer took is kept."""

    api: Api
    effects: Path
    """What the tools have done: by it a call in doubt is settled."""
    decision_ms: list[float] = field(default_factory=list)
    resolved: int = 0

    async def until_completed(self, count: int) -> None:
        """Review until so many executions have completed."""
        while True:
            for items in await asyncio.gather(self._waiting("pending"), self._waiting("in_doubt")):
                await self._settle(items)
            counts = await self.api.get("/executions/counts", agent=job.AGENT)
            if counts["counts"].get("completed", 0) >= count:
                return
            await asyncio.sleep(LOOK_EVERY_S)

    async def _waiting(self, state: str) -> list[Mapping[str, Any]]:
        return list((await self.api.get("/approvals", state=state, limit=str(PAGE)))["items"])

    async def _settle(self, items: list[Mapping[str, Any]]) -> None:
        remaining = iter(items)
        async with asyncio.TaskGroup() as group:
            for _ in range(AT_ONCE):
                group.create_task(self._each(remaining))

    async def _each(self, items: Any) -> None:
        for item in items:
            if item["state"] == "in_doubt":
                await self._resolve(item)
            else:
                began = time.perf_counter()
                await self.api.approve(Request(item["approval_id"], item["args_hash"], item["seq"]))
                self.decision_ms.append((time.perf_counter() - began) * 1000)

    async def _resolve(self, item: Mapping[str, Any]) -> None:
        """It ran if its effect is there, and gave what the tool gives; else it did not."""
        if item["approval_id"] in self.effects.read_text().split():
            outcome = {"outcome": "succeeded", "value": job.refund(item["args"]["ticket"])}
        else:
            outcome = {"outcome": "not_run"}
        await self.api.resolve(item["execution_id"], item["call_id"], {"attempt": item["attempt"], **outcome})
        self.resolved += 1
