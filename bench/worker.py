"""The worker: the job's tools, served by the SDK as any author's program would. `python -m bench.worker`.

A refund is written down, one line an effect, in the file BENCH_EFFECTS: after the run each has to be there once.
Tools return at once, or after BENCH_TOOL_S seconds. Apart because it is a process of its own.
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import Callable, Coroutine
from pathlib import Path
from typing import Any, Final

from agentspan.agents import Agent, AgentRuntime, Tool, ToolContext, tool

from . import job

DELAY_S: Final = "BENCH_TOOL_S"
EFFECTS: Final = "BENCH_EFFECTS"

Refund = Callable[[str], None]
"""Make the refund known under its idempotency key."""


def make_agent(effect: Refund, delay_s: float) -> Agent:
    """The agent, with tools that have their effect by `effect`."""

    @tool
    async def lookup_customer(ticket: str) -> dict[str, Any]:
        """The customer who wrote the ticket."""
        await _take(delay_s)
        return job.customer(ticket)

    @tool
    async def lookup_orders(ticket: str) -> dict[str, Any]:
        """The customer's orders."""
        await _take(delay_s)
        return job.orders(ticket)

    @tool(approval_required=True)
    async def issue_refund(ticket: str, amount_usd: float, reason: str, context: ToolContext) -> dict[str, Any]:
        """Give money back."""
        await _take(delay_s)
        effect(context.idempotency_key)
        return {**job.refund(ticket), "amount_usd": amount_usd}

    tools: list[Tool[..., Coroutine[Any, Any, dict[str, Any]]]] = [lookup_customer, lookup_orders, issue_refund]
    return Agent(name=job.AGENT, model=job.MODEL, instructions="Handle the ticket.", tools=tools)


class EffectsFile:
    """Appends a line for each effect, whole, whatever other worker does so at the same time."""

    def __init__(self, path: Path) -> None:
        self._fd = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT)

    def write(self, key: str) -> None:
        """One effect."""
        os.write(self._fd, f"{key}\n".encode())


async def _take(delay_s: float) -> None:
    if delay_s:
        await asyncio.sleep(delay_s)


def main() -> None:
    """Serve until SIGTERM."""
    effects = EffectsFile(Path(os.environ[EFFECTS]))
    with AgentRuntime() as runtime:
        runtime.serve(make_agent(effects.write, float(os.environ.get(DELAY_S, "0"))))


if __name__ == "__main__":
    main()
