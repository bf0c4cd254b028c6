"""The file of the SQLite log: its schema and its statements. Plain and synchronous; the threads are elsewhere."""

import json
import sqlite3
import uuid
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import chain
from pathlib import Path

from pydantic_core import to_json

from agentspan.eventlog._errors import LogDamaged, LogMismatch
from agentspan.eventlog._records import Record, Stamp, Stored

SCHEMA_VERSION = 1

_DAMAGED = (sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB)
READ_BYTES = 8 * 1024 * 1024

ROWS_AT_ONCE = 64
"""So many records go into one statement. Each statement lets go of Python's lock and has to get it back, some times
over: while the event loop is busy that is milliseconds, in which all who wait for the commit wait. For each number of
records one statement stays prepared, which takes 2 MB for these and would take 7 MB for twice as many."""

_SCHEMA = """
CREATE TABLE log (id TEXT NOT NULL, partitions INTEGER NOT NULL);
CREATE TABLE entry (
    number INTEGER PRIMARY KEY, name TEXT NOT NULL, entry_key TEXT NOT NULL,
    type TEXT NOT NULL, key TEXT NOT NULL, attributes TEXT NOT NULL, value BLOB NOT NULL,
    UNIQUE (name, entry_key)
);
"""
# a table of its own for each partition: every append is then at the end of a B-tree
_PARTITION_SCHEMA = """
CREATE TABLE events_{} (
    offset INTEGER PRIMARY KEY, epoch INTEGER NOT NULL, n INTEGER NOT NULL, last INTEGER NOT NULL,
    takeover INTEGER NOT NULL,
    type TEXT NOT NULL, key TEXT NOT NULL, attributes TEXT NOT NULL, value BLOB NOT NULL
);
"""


@dataclass(frozen=True, slots=True)
class Head:
    """Where a partition ends."""

    end: int
    epoch: int
    """Of its last takeover."""


@dataclass(frozen=True, slots=True)
class Entry:
    """An entry of the table `name`; None deletes it."""

    name: str
    key: str
    record: Record | None


class Store:
    """One connection to the file. It may be used from any thread, from one at a time."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self.connection = sqlite3.connect(path, isolation_level=None, check_same_thread=False)

    def open_for_writing(self, partitions: int, max_page_count: int | None) -> str:
        """Create what is missing; the log's id. Raises LogMismatch or LogDamaged."""
        with self._undamaged():
            return self._opened(partitions, max_page_count)

    def _opened(self, partitions: int, max_page_count: int | None) -> str:
        try:
            # FULL: the write-ahead log is synced in every commit, before anybody is told
            for pragma in ("journal_mode = WAL", "synchronous = FULL", "fullfsync = ON"):
                self.connection.execute(f"PRAGMA {pragma}")
        except sqlite3.DatabaseError as error:
            raise LogMismatch(f"not the file of a log: {error}; give the server another data folder") from error
        if max_page_count is not None:
            self.connection.execute(f"PRAGMA max_page_count = {max_page_count}")
        [version] = self.connection.execute("PRAGMA user_version").fetchone()
        if version == 0:
            self._create(partitions)
        elif version != SCHEMA_VERSION:
            raise LogMismatch(
                f"the log has schema {version!r}, this version knows {SCHEMA_VERSION!r}: use the version that wrote it"
            )
        id_, stored = self.connection.execute("SELECT id, partitions FROM log").fetchone()
        if stored != partitions:
            raise LogMismatch(
                f"the log has {stored!r} partitions, not {partitions!r}: their number is fixed when a log is made,"
                " since it says where an execution is"
            )
        return str(id_)

    def _create(self, partitions: int) -> None:
        schema = _SCHEMA + "".join(_PARTITION_SCHEMA.format(partition) for partition in range(partitions))
        self.connection.executescript(
            f"BEGIN IMMEDIATE; {schema}"
            f"INSERT INTO log VALUES ('{uuid.uuid4().hex}', {partitions:d});"
            f"PRAGMA user_version = {SCHEMA_VERSION}; COMMIT;"
        )

    def head(self, partition: int) -> Head:
        """Where a partition ends, found from its last record, whose epoch is the last: stale ones are refused."""
        with self._undamaged():
            last = self.connection.execute(
                f"SELECT offset + 1, epoch FROM events_{partition:d} ORDER BY offset DESC LIMIT 1"
            ).fetchone()
            return Head(*last) if last else Head(0, 0)

    @contextmanager
    def transaction(self) -> Iterator["Transaction"]:
        """What is written inside is committed at its end: all of it, or nothing."""
        transaction = Transaction()
        yield transaction
        statements = tuple(transaction.statements())
        if len(statements) > 1:
            self._execute_together(statements)
        elif statements:  # which is a transaction by itself
            self.connection.execute(*statements[0])

    def _execute_together(self, statements: "Iterable[_Statement]") -> None:
        try:
            self.connection.execute("BEGIN IMMEDIATE")
            for statement in statements:
                self.connection.execute(*statement)
            self.connection.execute("COMMIT")
        except BaseException:
            if self.connection.in_transaction:
                self.connection.execute("ROLLBACK")
            raise

    def entries(self) -> list[Entry]:
        """What stands in all tables, in the order it was put."""
        with self._undamaged():
            rows = self.connection.execute(
                "SELECT name, entry_key, type, key, attributes, value FROM entry ORDER BY number"
            )
            return [Entry(name, key, _record(*columns)) for name, key, *columns in rows]

    def read(self, partition: int, offset: int, limit: int) -> Sequence[Stored]:
        """Up to `limit` records from `offset` on, fewer when they are large. Raises LogDamaged."""
        with self._undamaged():
            return self._read(partition, offset, limit)

    def _read(self, partition: int, offset: int, limit: int) -> Sequence[Stored]:
        rows = self.connection.execute(
            f"SELECT * FROM events_{partition:d} WHERE offset >= ? ORDER BY offset LIMIT ?", (offset, limit)
        )
        found, size = [], 0
        for at, epoch, n, last, takeover, *columns in rows:
            found.append(Stored(at, Stamp(epoch, n, bool(last), takeover), _record(*columns)))
            size += len(found[-1].record.value)
            if size > READ_BYTES:
                break
        rows.close()
        return found

    def close(self) -> None:
        self.connection.close()

    @contextmanager
    def _undamaged(self) -> Iterator[None]:
        try:
            yield
        except sqlite3.DatabaseError as error:
            if getattr(error, "sqlite_errorcode", 0) & 0xFF not in _DAMAGED:
                raise
            raise LogDamaged(
                f"the log {str(self._path)!r} is damaged ({error}): put the last copy of it in its place, or what"
                " SQLite's `.recover` can read of it, and keep the file itself; until then nobody can go on with it"
            ) from error


class Transaction:
    """What goes into the file in one commit."""

    def __init__(self) -> None:
        self._rows: dict[int, list[_Row]] = {}
        self._entries: list[Entry] = []

    def insert(self, partition: int, records: Iterable[Stored]) -> None:
        """Append records to a partition; they are written together with all others of it."""
        rows = self._rows.setdefault(partition, [])
        rows += [(at, s.epoch, s.n, s.last, s.takeover, *_columns(record)) for at, s, record in records]

    def put(self, entry: Entry) -> None:
        """Let an entry stand in its table, or delete it."""
        self._entries.append(entry)

    def statements(self) -> Iterator["_Statement"]:
        """What writes it, and nothing else."""
        for entry in self._entries:
            yield _put(entry)
        for partition, rows in self._rows.items():
            for first in range(0, len(rows), ROWS_AT_ONCE):
                piece = rows[first : first + ROWS_AT_ONCE]
                places = ",".join(["(?,?,?,?,?,?,?,?,?)"] * len(piece))
                yield f"INSERT INTO events_{partition:d} VALUES {places}", tuple(chain.from_iterable(piece))


_Statement = tuple[str, Sequence[object]]

_Row = tuple[int, int, int, bool, int, str, str, str, bytes]


def _put(entry: Entry) -> _Statement:
    if entry.record is None:
        return "DELETE FROM entry WHERE name = ? AND entry_key = ?", (entry.name, entry.key)
    return (
        "INSERT OR REPLACE INTO entry (name, entry_key, type, key, attributes, value) VALUES (?,?,?,?,?,?)",
        (entry.name, entry.key, *_columns(entry.record)),
    )


def _columns(record: Record) -> tuple[str, str, str, bytes]:
    return record.type, record.key, to_json(record.attributes).decode(), record.value


def _record(type_: str, key: str, attributes: str, value: bytes) -> Record:
    return Record(type_, key, value, json.loads(attributes))
