"""The tasks topic of one owned partition, kept equal to what released states say is to be done.

Any writer's word stands there, also that of an owner that wakes up late: so the owner follows what it writes, and puts
right what is not its own.
"""

import asyncio
from collections.abc import Awaitable, Callable, Iterable
from typing import assert_never

from agentspan.eventlog import CaughtUp, Change, Record, Table
from agentspan_orchestrator.domain import Execution, granted_keys, open_tasks
from agentspan_orchestrator.leases import Watch
from agentspan_orchestrator.ports import Now
from agentspan_schemas import TooLarge
from agentspan_schemas.codec import encode
from agentspan_schemas.tasks import Task


class TaskBook:
    """Puts a task when it opens and a tombstone when it closes.

    `too_large` has the tasks that no message can hold; whoever owns the partition says what becomes of them.
    """

    def __init__(
        self, table: Table, partition: int, watch: Watch, now: Now, *, confirm: Callable[[], Awaitable[None]]
    ) -> None:
        """`confirm` returns if the partition is still ours, and raises if it is not."""
        self._table = table
        self._partition = partition
        self._watch = watch
        self._now = now
        self._confirm = confirm
        self._open: dict[str, tuple[str, ...]] = {}
        self._granted: dict[str, tuple[str, ...]] = {}
        self._own: dict[tuple[str, bool], int] = {}
        """What was written here and has not come back yet: by key, and whether it was a task or a tombstone."""
        self.too_large: list[Task] = []
        self.restored = asyncio.Event()
        """All that is to be done was published, and what stood there beside it was buried."""
        self.failed: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        """Raises when a put failed: the tasks are derived again after another takeover."""

    @property
    def open_keys(self) -> set[str]:
        """The keys of all open tasks."""
        return {key for keys in self._open.values() for key in keys}

    @property
    def active(self) -> int:
        """How many executions have something open or granted."""
        return len(self._open.keys() | self._granted.keys())

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

    async def run(self, restore: Callable[[], None], get: Callable[[str], Execution | None]) -> None:
        """Read what stands, `restore`, and then put right what others write, until cancelled.

        `get` has the released state of an execution. Raises what `confirm` raises.
        """
        standing: dict[str, None] = {}
        async for change in self._table.follow(self._partition):
            match change:
                case CaughtUp():
                    restore()
                    await self._bury_closed(standing, get)
                    self.restored.set()
                case Change() if not self.restored.is_set():
                    standing[change.key] = None
                case Change():
                    await self._came(change, get)
                case _:
                    assert_never(change)

    async def _bury_closed(self, standing: Iterable[str], get: Callable[[str], Execution | None]) -> None:
        """Tombstones for the tasks that stand on the topic although their execution says that they are not open.

        A later owner may have opened them: it has taken over before it did, so the log tells. A task of an execution
        that is unknown here is left alone.
        """
        closed = [key for key in standing if not self._is_open(key) and get(_execution_id(key)) is not None]
        if closed:
            await self._confirm()
        for key in closed:
            self.bury(key)

    async def _came(self, change: Change, get: Callable[[str], Execution | None]) -> None:
        """A change of the topic. One that we did not make is an earlier owner's, which was frozen and woke up, or a
        later owner's: that one has taken over before it wrote, so the log tells. Ours are awaited by their number."""
        mark = (change.key, change.record is not None)
        ours = self._own.pop(mark, 0)
        if ours > 1:
            self._own[mark] = ours - 1
        elif not ours and self._is_open(change.key) is not mark[1]:
            await self._confirm()
            self._put_right(change.key, get(_execution_id(change.key)))

    def _put_right(self, key: str, state: Execution | None) -> None:
        if state is None:
            return
        was_open = self._is_open(key)
        self.update(state)  # a retry may be due since, whose timer is still to come
        if not self._is_open(key):
            self.bury(key)
        for task in open_tasks(state, self._now()):
            if task.task_key == key and was_open:
                self._publish(key, task)

    def _is_open(self, key: str) -> bool:
        return key in self._open.get(_execution_id(key), ())

    def _watch_granted(self, state: Execution) -> None:
        out = granted_keys(state)
        for key in self._granted.pop(state.execution_id, ()):
            if key not in out:
                self._watch.over(key)
        for key in out:
            self._watch.granted(key)
        if out:
            self._granted[state.execution_id] = out

    def _publish(self, key: str, task: Task) -> None:
        try:
            self._put(key, Record(task.lane, task.execution_id, encode(task), {}, task))
        except TooLarge:
            self.too_large.append(task)

    def _put(self, key: str, record: Record | None) -> None:
        put = self._table.put(key, record, partition=self._partition)
        mark = (key, record is not None)
        self._own[mark] = self._own.get(mark, 0) + 1
        written = asyncio.ensure_future(put)
        if written.done():  # where the table is in memory
            self._check(written)
        else:
            written.add_done_callback(self._check)

    def _check(self, done: "asyncio.Future[object]") -> None:
        error = None if done.cancelled() else done.exception()
        if error is not None and not self.failed.done():
            self.failed.set_exception(error)


def _execution_id(key: str) -> str:
    return key.partition("/")[0]
