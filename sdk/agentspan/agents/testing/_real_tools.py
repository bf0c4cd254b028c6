"""The real code of an agent's tools, for a mock run that asks for it: the worker's own runner, without a worker."""

import asyncio
import threading
from collections.abc import Coroutine, Mapping
from typing import Any, TypeVar

from agentspan.agents.testing._run import Run
from agentspan.agents.worker import Outcome, TooLate, ToolRunner, ToolThreads
from agentspan_orchestrator.domain import open_tasks
from agentspan_schemas.tasks import ToolTask

T = TypeVar("T")


def run_real_tools(run: Run, scripted: Mapping[str, object]) -> None:
    """Run each open call that the script says nothing more about, until none is left."""
    threads = ToolThreads()
    runner = ToolRunner(lambda _, name: run.agent.tool(name), threads)
    try:
        while (task := _next(run, scripted)) is not None:
            call = run.state.call(task.call_id)
            if call is None:
                return
            claim_id = run.claim(call)
            outcome: Outcome = _drive(runner(task, lambda: True))
            if not isinstance(outcome, TooLate):
                run.ran(call, claim_id, outcome)
    finally:
        threads.close()


def _next(run: Run, scripted: Mapping[str, object]) -> ToolTask | None:
    """The next task; the clock is turned to it when it is a retry that waits."""
    for call in run.state.calls:
        if call.phase == "open" and call.call_id not in scripted and call.not_before is not None:
            run.tick(max(run.now, call.not_before))
    tasks = (task for task in open_tasks(run.state, run.now) if isinstance(task, ToolTask))
    return next((task for task in tasks if task.call_id not in scripted), None)


def _drive(work: Coroutine[Any, Any, T]) -> T:
    """Run a coroutine to its end from synchronous code, also where a loop is running already."""
    done: list[T] = []
    thread = threading.Thread(target=lambda: done.append(asyncio.run(work)), daemon=True)
    thread.start()
    thread.join()
    return done[0]
