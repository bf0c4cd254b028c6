"""The model calls that wait for their turn.

A flood of them waits for hours where models are slow, each with its conversation. As JSON, which stands on the tasks
table in any case, they take no memory beside it.
"""

from typing import Final

from agentspan_schemas.codec import TASKS
from agentspan_schemas.tasks import ModelTask

KEPT_READ: Final = 100
"""So many are kept as they were read: what is called within moments is not decoded again."""


class Waiting:
    """Calls by their key."""

    def __init__(self) -> None:
        self._calls: dict[str, ModelTask | bytes] = {}

    def __contains__(self, key: str) -> bool:
        return key in self._calls

    def put(self, task: ModelTask, value: bytes) -> None:
        """Keep a call. `value`: the same as the table has it."""
        self._calls[task.task_key] = task if len(self._calls) < KEPT_READ else value

    def take(self, key: str) -> ModelTask:
        """A call, which waits no more."""
        call = self._calls.pop(key)
        task = TASKS.decode(call) if isinstance(call, bytes) else call
        assert isinstance(task, ModelTask)
        return task

    def drop(self, key: str) -> None:
        """A call is not wanted any more."""
        self._calls.pop(key, None)
