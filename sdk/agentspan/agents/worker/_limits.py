"""How many calls of one tool run at once in this process, where its author said so."""

import asyncio
from collections.abc import Callable
from contextlib import AbstractAsyncContextManager, nullcontext

from agentspan_schemas.tasks import ToolTask

Limit = Callable[[ToolTask], AbstractAsyncContextManager[None]]
"""What a task waits in until its tool may run once more."""


def unlimited(task: ToolTask) -> AbstractAsyncContextManager[None]:
    """As many as come."""
    return nullcontext()


class ToolLimits:
    """A semaphore for each tool that has a limit. `find` tells it, by agent and tool."""

    def __init__(self, find: Callable[[str, str], int | None]) -> None:
        self._find = find
        self._semaphores: dict[tuple[str, str], asyncio.Semaphore] = {}

    def __call__(self, task: ToolTask) -> AbstractAsyncContextManager[None]:
        """The place of this task in its tool's queue."""
        most = self._find(task.agent, task.tool)
        if most is None:
            return nullcontext()
        return self._semaphores.setdefault((task.agent, task.tool), asyncio.Semaphore(most))
