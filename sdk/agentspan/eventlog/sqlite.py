"""The log of one machine: events and tables in one SQLite file, each write synced to disk before it is acknowledged.

One process owns the file. It refuses a stale epoch in its commit, so that no ghost ever stands in it. Commands and what
else is derived from the log again after a restart needs no file: use MemoryInbox and MemoryTable beside it.
"""

import asyncio
from collections.abc import AsyncGenerator, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from agentspan.eventlog._compacted import Compacted
from agentspan.eventlog._errors import LogError, StaleEpoch
from agentspan.eventlog._ownership import RENEW_AFTER
from agentspan.eventlog._partition import PartitionLog
from agentspan.eventlog._ports import CaughtUp, Change
from agentspan.eventlog._records import Record, Stamp, Stored
from agentspan.eventlog._sqlite_store import Entry, Head, Store, Transaction
from agentspan.eventlog._sqlite_writer import Writer
from agentspan.eventlog._tail import Tail
from agentspan.eventlog._watermark import Watermark
from agentspan.eventlog.lockfile import LockFile

__all__ = ["SqliteLog", "SqliteTable"]


class SqliteLog:
    """Make it with `open`; `close` it to commit what is queued and let another process in."""

    def __init__(
        self, store: Store, reader: Store, lock: LockFile, id_: str, partitions: int, renew_after: int
    ) -> None:
        self.id = id_
        self.partitions = partitions
        self._store, self._reader, self._lock = store, reader, lock
        self._reading = ThreadPoolExecutor(max_workers=1, thread_name_prefix="agentspan-log-reader")
        self._writer = Writer(store, partitions)
        raw = [_RawLog(number, self._writer, reader, self._reading, store.head(number)) for number in range(partitions)]
        self._partitions = [PartitionLog(partition, renew_after=renew_after) for partition in raw]
        self._tables: dict[str, SqliteTable] = {}
        for entry in store.entries():
            self.table(entry.name).standing(entry)

    @classmethod
    def open(
        cls, path: Path, partitions: int, *, max_page_count: int | None = None, renew_after: int = RENEW_AFTER
    ) -> "SqliteLog":
        """Open the file in the running event loop, or make it. `max_page_count`: pages of 4 KiB beyond which writes
        raise StorageFull.

        Raises LogLocked when another process has it, LogMismatch when it has another number of partitions.
        """
        lock = LockFile(path.with_name(path.name + ".lock"))
        store = Store(path)
        try:
            id_ = store.open_for_writing(partitions, max_page_count)
            return cls(store, Store(path), lock, id_, partitions, renew_after)
        except BaseException:
            store.close()
            lock.release()
            raise

    def partition(self, number: int) -> PartitionLog:
        return self._partitions[number]

    def table(self, name: str) -> "SqliteTable":
        """A table stored in the same file."""
        return self._tables.setdefault(name, SqliteTable(name, self._writer))

    async def close(self) -> None:
        """Every write before this is acknowledged; every write after it raises LogClosed."""
        await self._writer.close()
        self._reading.shutdown()
        self._reader.close()
        self._store.close()
        self._lock.release()


class SqliteTable:
    """A table of one partition. It is in memory as well: following it reads no file."""

    partitions = 1

    def __init__(self, name: str, writer: Writer) -> None:
        self._name = name
        self._writer = writer
        self._compacted = Compacted()

    def put(self, key: str, record: Record | None, *, partition: int | None = None) -> asyncio.Future[None]:
        if partition not in (None, 0):
            raise ValueError(f"the table {self._name!r} has one partition, no {partition!r}")
        put = _Put(Entry(self._name, key, record), self, self._writer.loop.create_future())
        self._writer.submit(put)
        return put.future

    def follow(self, partition: int | None = None) -> AsyncGenerator[Change | CaughtUp, None]:
        return self._compacted.follow(partition)

    def standing(self, entry: Entry) -> None:
        """Let an entry that is on disk be seen."""
        self._compacted.apply(Change(0, entry.key, entry.record))


class _RawLog:
    """One partition of the file."""

    def __init__(self, number: int, writer: Writer, reader: Store, reading: ThreadPoolExecutor, head: Head) -> None:
        self.number = number
        self.tail = Tail()
        self.watermark = Watermark(head.end)
        self._writer = writer
        self._reader = reader
        self._reading = reading

    def append(self, records: Sequence[tuple[Stamp, Record]]) -> asyncio.Future[Sequence[int]]:
        append = _Append(self, records, self._writer.loop.create_future())
        self._writer.submit(append)
        return append.future

    async def read(self, offset: int, limit: int) -> Sequence[Stored]:
        if offset >= self.watermark.end:
            return ()
        newest = self.tail.read(offset, limit)
        if newest:
            return newest
        return await self._writer.loop.run_in_executor(self._reading, self._reader.read, self.number, offset, limit)

    async def end(self) -> int:
        return self.watermark.end

    async def wait(self, offset: int) -> None:
        await self.watermark.passed(offset)


class _Append:
    """A write to a partition."""

    def __init__(
        self, raw: _RawLog, records: Sequence[tuple[Stamp, Record]], future: asyncio.Future[Sequence[int]]
    ) -> None:
        self.future = future
        self._raw = raw
        self._records = records
        self._stored: list[Stored] = []

    def place(self, heads: list[Head]) -> None:
        number, head, first = self._raw.number, heads[self._raw.number], self._records[0][0]
        fresh = first.epoch > head.epoch if first.n == 0 else first.epoch == head.epoch
        if not fresh:
            raise StaleEpoch(f"partition {number!r} is in epoch {head.epoch!r}, a write came from {first.epoch!r}")
        self._stored = [Stored(at, stamp, record) for at, (stamp, record) in enumerate(self._records, head.end)]
        heads[number] = Head(head.end + len(self._stored), first.epoch)

    def write(self, transaction: Transaction) -> None:
        transaction.insert(self._raw.number, self._stored)

    def landed(self) -> None:
        self._raw.tail.push(self._stored)
        self._raw.watermark.grow(self._stored[-1].offset + 1)
        if not self.future.done():
            self.future.set_result([stored.offset for stored in self._stored])

    def failed(self, error: LogError) -> None:
        if not self.future.done():
            self.future.set_exception(error)


class _Put:
    """A write to a table."""

    def __init__(self, entry: Entry, table: SqliteTable, future: asyncio.Future[None]) -> None:
        self.future = future
        self._entry = entry
        self._table = table

    def place(self, heads: list[Head]) -> None:
        """A table takes any writer."""

    def write(self, transaction: Transaction) -> None:
        transaction.put(self._entry)

    def landed(self) -> None:
        self._table.standing(self._entry)
        if not self.future.done():
            self.future.set_result(None)

    def failed(self, error: LogError) -> None:
        if not self.future.done():
            self.future.set_exception(error)
