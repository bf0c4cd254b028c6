"""Runs a tool's own code: arguments in, JSON out, and every way of failing as an error that the model can read.

A synchronous tool runs in a thread, an asynchronous one on the worker's loop. Nothing that a tool does, SystemExit
included, gets past this file.
"""

import asyncio
import inspect
import logging
from collections import OrderedDict
from collections.abc import Callable
from typing import Any

from pydantic import ValidationError

from agentspan.agents._context import ToolContext, context_set
from agentspan.agents._serialise import Raised, serialise
from agentspan.agents._tools import Tool, invalid_args
from agentspan.agents.worker._ports import Admit, Outcome, TooLate
from agentspan.agents.worker._threads import ToolThreads
from agentspan_schemas import Failure
from agentspan_schemas.tasks import ToolTask

logger = logging.getLogger(__name__)

FindTool = Callable[[str, str], Tool[..., Any] | None]
"""The tool of that agent and name, or None."""

MAX_MESSAGE = 4000
"""Characters of an exception's text that the model gets to read."""

MAX_STATES = 1024
"""Executions whose `state` is kept."""


class ToolRunner:
    """Runs the tools that `find` knows."""

    def __init__(self, find: FindTool, threads: ToolThreads) -> None:
        self._find = find
        self._threads = threads
        self._states: OrderedDict[str, dict[str, Any]] = OrderedDict()

    async def __call__(self, task: ToolTask, admit: Admit) -> Outcome:
        """What came of the task's tool. Never raises, but for its own cancellation."""
        tool = self._find(task.agent, task.tool)
        if tool is None:
            message = f"this worker has no tool {task.tool!r} for agent {task.agent!r}"
            return Raised(Failure(kind="unknown_tool", message=message))
        context = self._context(task)
        try:
            args, kwargs = tool.signature.bind(task.args, context)
        except ValidationError as error:
            return Raised(invalid_args(task.tool, error))
        run = self._on_loop if tool.is_async else self._in_thread
        # the core itself watches the time of a `once` call: cutting it off here would say what nobody knows
        limit = task.timeout_s if task.effects == "idempotent" else None
        try:
            async with asyncio.timeout(limit) as timer:
                return await run(tool, lambda: tool.function(*args, **kwargs), context, admit)
        except TimeoutError:
            if not timer.expired():
                raise
            return _timed_out(tool, limit)

    async def _in_thread(
        self, tool: Tool[..., Any], call: Callable[[], Any], context: ToolContext, admit: Admit
    ) -> Outcome:
        def work() -> Outcome:
            try:
                with context_set(context):
                    if not admit():
                        return TooLate()
                    result = call()
                    return serialise(tool.name, result)
            except BaseException as error:
                return _raised(tool, context, error)

        return await asyncio.wrap_future(self._threads.submit(work))

    async def _on_loop(
        self, tool: Tool[..., Any], call: Callable[[], Any], context: ToolContext, admit: Admit
    ) -> Outcome:
        try:
            with context_set(context):
                if not admit():
                    return TooLate()
                result = await _finish(call())
                return serialise(tool.name, result)
        except asyncio.CancelledError as error:
            current = asyncio.current_task()
            if current is not None and current.cancelling():
                raise
            return _raised(tool, context, error)
        except BaseException as error:
            return _raised(tool, context, error)

    def _context(self, task: ToolTask) -> ToolContext:
        state = self._states.setdefault(task.execution_id, {})
        self._states.move_to_end(task.execution_id)
        while len(self._states) > MAX_STATES:
            self._states.popitem(last=False)
        return ToolContext(
            execution_id=task.execution_id,
            agent=task.agent,
            call_id=task.call_id,
            attempt=task.attempt,
            idempotency_key=task.idempotency_key,
            metadata=task.metadata,
            state=state,
        )


async def _finish(result: Any) -> Any:
    if inspect.isasyncgen(result):
        return [item async for item in result]
    return await result


def _raised(tool: Tool[..., Any], context: ToolContext, error: BaseException) -> Raised:
    at = context.execution_id, context.call_id
    logger.warning("tool %r raised in %s, call %s", tool.name, *at, exc_info=_from_its_own_code(error))
    message = f"{type(error).__name__}: {error}"[:MAX_MESSAGE].encode(errors="replace").decode()
    return Raised(Failure(kind="exception", message=message))


def _from_its_own_code(error: BaseException) -> BaseException:
    """With the traceback from where the tool's code begins: how it was called tells its author nothing."""
    frames = error.__traceback__
    while frames is not None and frames.tb_next is not None and frames.tb_frame.f_globals is globals():
        frames = frames.tb_next
    return error.with_traceback(frames)


def _timed_out(tool: Tool[..., Any], limit: float | None) -> Raised:
    left = "it was cancelled" if tool.is_async else "its code may still be running"
    message = f"tool {tool.name!r} did not return within {limit:g} s; {left}"
    return Raised(Failure(kind="timeout", message=message))
