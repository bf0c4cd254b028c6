"""The tasks topic of one owned partition, kept equal to what released states say is to be done."""

import asyncio
from collections.abc import Awaitable, Callable

from agentspan.eventlog import CaughtUp, Record, Table
from agentspan_orchestrator.domain import Execution, granted_tasks, open_tasks
from agentspan_orchestrator.leases import Watch
from agentspan_orchestrator.ports import Now
from agentspan_schemas import TooLarge
from agentspan_schemas.codec import encode
from agentspan_schemas.tasks import Task


class TaskBook:
    """Puts a task when it opens and a tombstone when it closes.

    `too_large` has the tasks that no message can hold; whoever owns the partition says what becomes of them.
    """

    def __init__(self, table: Table, partition: int, watch: Watch, now: Now) -> None:
        self._table = table
        self._partition = partition
        self._watch = watch
        self._now = now
        self._open: dict[str, tuple[str, ...]] = {}
        self._granted: dict[str, tuple[str, ...]] = {}
        self.too_large: list[Task] = []
        self.failed: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        """Raises when a put failed: the tasks are derived again after another takeover."""

    @property
    def open_keys(self) -> set[str]:
        """The keys of all open tasks."""
        return {key for keys in self._open.values() for key in keys}

    def lost(self) -> list[str]:
        """The keys of tasks that somebody held, and nobody does any more."""
        return self._watch.lost(self.open_keys)

    def update(self, state: Execution) -> None:
        """Publish what this released state opens, bury what it closes."""
        wanted = {task.task_key: task for task in open_tasks(state, self._now())}
        before = self._open.pop(state.execution_id, ())
        for key in before:
            if key not in wanted:
                self._watch.over(key)
                self.bury(key)
        for key, task in wanted.items():
            if key not in before:
                self._publish(key, task)
        if wanted:
            self._open[state.execution_id] = tuple(wanted)
        self._watch_granted(state)

    def bury(self, key: str) -> None:
        """A tombstone: also for a task that was closed before, and came back from a stale owner."""
        self._put(key, None)

    async def bury_closed(self, get: Callable[[str], Execution | None]) -> None:
        """Tombstones for the tasks that stand on the topic although their execution says that they are closed.

        A task of an execution that is unknown here is left alone: a later owner may have opened it.
        """
        for key in await self._standing():
            execution_id = key.partition("/")[0]
            if get(execution_id) is not None and key not in self._open.get(execution_id, ()):
                self.bury(key)

    def _watch_granted(self, state: Execution) -> None:
        out = tuple(key for key, _ in granted_tasks(state))
        for key in self._granted.pop(state.execution_id, ()):
            if key not in out:
                self._watch.over(key)
        for key in out:
            self._watch.granted(key)
        if out:
            self._granted[state.execution_id] = out

    async def _standing(self) -> list[str]:
        standing: dict[str, None] = {}
        async for change in self._table.follow(self._partition):
            if isinstance(change, CaughtUp):
                break
            if change.record is None:
                standing.pop(change.key, None)
            else:
                standing[change.key] = None
        return list(standing)

    def _publish(self, key: str, task: Task) -> None:
        try:
            self._put(key, Record(task.lane, task.execution_id, encode(task), {}, task))
        except TooLarge:
            self.too_large.append(task)

    def _put(self, key: str, record: Record | None) -> None:
        done = asyncio.ensure_future(_awaited(self._table.put(key, record, partition=self._partition)))
        done.add_done_callback(self._check)

    def _check(self, done: "asyncio.Future[object]") -> None:
        error = None if done.cancelled() else done.exception()
        if error is not None and not self.failed.done():
            self.failed.set_exception(error)


async def _awaited(put: Awaitable[object]) -> object:
    return await put
