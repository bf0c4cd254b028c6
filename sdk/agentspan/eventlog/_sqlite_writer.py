"""Group commit: the one thread that writes to the file. What queued up while it committed goes into its next commit."""

import asyncio
import queue
import sqlite3
import threading
from collections.abc import Iterator, Sequence
from typing import Protocol

from agentspan.eventlog._errors import FateUnknown, LogClosed, LogError, StaleEpoch, StorageFull
from agentspan.eventlog._sqlite_store import Head, Store, Transaction


class Job(Protocol):
    """One write. `place` and `write` run in the writer's thread, the rest in the event loop."""

    def place(self, heads: list[Head]) -> None:
        """Find the place in the log and move the head of its partition on. Raises StaleEpoch."""
        ...

    def write(self, transaction: Transaction) -> None: ...

    def landed(self) -> None:
        """It is durable: let followers see it, then the one who waits."""
        ...

    def failed(self, error: LogError) -> None: ...


class Writer:
    """Commits in a thread of its own, and tells in the event loop in which it was made."""

    def __init__(self, store: Store, partitions: int) -> None:
        self._store = store
        self._heads = [store.head(partition) for partition in range(partitions)]
        self.loop = asyncio.get_running_loop()
        """Asked for once: it takes a system call to learn which it is (Python before 3.12)."""
        self._submitted: list[Job] = []
        """In this turn of the event loop: they wake the thread once, when it is over, and not in its midst."""
        self._queue: queue.SimpleQueue[Sequence[Job] | None] = queue.SimpleQueue()
        self._closed = False
        self._thread = threading.Thread(target=self._run, name="agentspan-log-writer", daemon=True)
        self._thread.start()

    def submit(self, job: Job) -> None:
        """Queue a job, in call order."""
        if self._closed:
            job.failed(LogClosed("this process has closed the log"))
            return
        if not self._submitted:
            self.loop.call_soon(self._hand_over)
        self._submitted.append(job)

    async def close(self) -> None:
        """Commit what is queued, tell, and stop."""
        self._closed = True
        self._hand_over()
        self._queue.put(None)
        await self.loop.run_in_executor(None, self._thread.join)

    def _hand_over(self) -> None:
        jobs, self._submitted = self._submitted, []
        if jobs:
            self._queue.put(jobs)

    def _run(self) -> None:
        while (jobs := self._queue.get()) is not None:
            landed, failed = self._commit([*jobs, *self._queued()])
            self.loop.call_soon_threadsafe(_tell, landed, failed)

    def _queued(self) -> Iterator[Job]:
        """What has queued up by now."""
        for _ in range(self._queue.qsize()):
            jobs = self._queue.get()
            if jobs is None:
                self._queue.put(None)  # the end, for after this commit
                return
            yield from jobs

    def _commit(self, jobs: Sequence[Job]) -> tuple[list[Job], list[tuple[Job, LogError]]]:
        """All in one commit, but for those of stale owners: all stand, or none."""
        heads = list(self._heads)
        landed: list[Job] = []
        failed: list[tuple[Job, LogError]] = []
        for job in jobs:
            try:
                job.place(heads)
                landed.append(job)
            except StaleEpoch as error:
                failed.append((job, error))
        try:
            self._write(landed)
        except Exception as error:  # the loop's edge: whatever it is, those who wait are told and the next ones tried
            return [], failed + [(job, _named(error)) for job in landed]
        self._heads = heads
        return landed, failed

    def _write(self, jobs: Sequence[Job]) -> None:
        with self._store.transaction() as transaction:
            for job in jobs:
                job.write(transaction)


def _tell(landed: Sequence[Job], failed: Sequence[tuple[Job, LogError]]) -> None:
    for job in landed:
        job.landed()
    for job, error in failed:
        job.failed(error)


def _named(error: Exception) -> LogError:
    full = getattr(error, "sqlite_errorcode", None) == sqlite3.SQLITE_FULL
    named = (
        StorageFull("the disk is full: nothing of this was written; free some space and it goes on")
        if full
        else FateUnknown(f"a commit failed ({error}); reading the log tells what stands")
    )
    named.__cause__ = error
    return named
