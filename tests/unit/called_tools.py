"""A call of a tool as a worker runs it, without a server: its task, and what came of it."""

import asyncio
from datetime import UTC, datetime
from typing import Any

from agentspan.agents import Tool
from agentspan.agents.worker import Outcome, ToolRunner, ToolThreads
from agentspan_schemas.tasks import ToolTask


def task_for(name: str, args: dict[str, Any], **more: Any) -> ToolTask:
    fields: dict[str, Any] = {"effects": "idempotent", "attempt": 1, "metadata": {"ticket": "t"}} | more
    return ToolTask(
        execution_id="exec-1",
        agent="a",
        agent_version="v",
        opened_at=datetime(2026, 1, 1, tzinfo=UTC),
        call_id="1-0",
        tool=name,
        args=args,
        args_hash="",
        input_schema_hash="",
        **fields,
    )


def run(made: Tool[..., Any], args: dict[str, Any], *, admitted: bool = True, **more: Any) -> Outcome:
    threads = ToolThreads()
    runner = ToolRunner(lambda agent, name: made if name == made.name else None, threads)
    try:
        return asyncio.run(runner(task_for(made.name, args, **more), lambda: admitted))
    finally:
        threads.close()
