"""The view of all requests in one SQLite file, or in memory for a path of `:memory:`.

Disposable, as the log has everything: a damaged file is made anew, a commit does not wait for the disk, and what is
put waits in memory until it is asked for, or is much. The requests of the last executions stay in memory: each of
their events asks for them. What is restored by the thousand is written by another thread, while the next is read.
"""

import sqlite3
from collections import OrderedDict, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from datetime import datetime
from pathlib import Path

from agentspan.eventlog import BEGINNING, Position
from agentspan_approvals.domain import OPEN
from agentspan_approvals.ports import Search
from agentspan_schemas.approvals import ApprovalRecord
from agentspan_schemas.codec import APPROVALS, encode

MOST_UNSAVED = 500
RECENT_EXECUTIONS = 500

CHECKPOINT_PAGES = 4_000
"""So many go into the write-ahead log before the file itself is written: many of them are the same ones again."""

_SHAPE = 2

# not WITHOUT ROWID: there a restored request would lie on any page of the file, and thousands of pages be written again
_TABLES = """
CREATE TABLE IF NOT EXISTS approvals (
    approval_id TEXT NOT NULL UNIQUE, execution_id TEXT NOT NULL, agent TEXT NOT NULL, tool TEXT NOT NULL,
    state TEXT NOT NULL, requested_at TEXT NOT NULL, partition INTEGER NOT NULL, record BLOB NOT NULL
);
CREATE INDEX IF NOT EXISTS by_execution ON approvals (execution_id);
CREATE INDEX IF NOT EXISTS by_state ON approvals (state, requested_at);
CREATE TABLE IF NOT EXISTS positions (partition INTEGER PRIMARY KEY, position TEXT NOT NULL);
CREATE TABLE IF NOT EXISTS log (one INTEGER PRIMARY KEY CHECK (one = 1), id TEXT NOT NULL);
"""

_PIECE = """
SELECT approval_id, record FROM approvals WHERE partition = ? AND approval_id > ? ORDER BY approval_id LIMIT 500
"""

_OPEN = """
SELECT partition, COUNT(*), MIN(requested_at) FROM approvals WHERE state IN (?, ?) GROUP BY partition
"""

_OPEN_EXECUTIONS = "SELECT partition, execution_id FROM approvals WHERE state IN (?, ?)"

_VALUES = "(?, ?, ?, ?, ?, ?, ?, ?)"
_PUT = f"INSERT OR REPLACE INTO approvals VALUES {_VALUES}"

_Row = tuple[str, str, str, str, str, str, int, bytes]


class SqliteApprovalStore:
    """Calls take microseconds and are made on the caller's thread; while a view is restored, they wait for the file."""

    def __init__(self, path: Path | str) -> None:
        self._file = _opened(path)
        self._filler = ThreadPoolExecutor(1, thread_name_prefix="approvals-filled")
        self._filling: Future[None] | None = None
        self._unsaved: dict[str, tuple[ApprovalRecord, int]] = {}
        self._positions: dict[int, Position] = {}
        self._recent: OrderedDict[str, dict[str, ApprovalRecord]] = OrderedDict()

    def open(self, log_id: str) -> None:
        """Begin with that log; what was kept of another one is forgotten."""
        row = self._db.execute("SELECT id FROM log").fetchone()
        if row is not None and row[0] == log_id:
            return
        self._forget()
        with self._db:
            self._db.execute("DELETE FROM approvals")
            self._db.execute("DELETE FROM positions")
            self._db.execute("INSERT OR REPLACE INTO log VALUES (1, ?)", (log_id,))

    def clear(self, partition: int) -> None:
        """Forget what was kept of a partition."""
        self._save()
        self._forget()
        with self._db:
            self._db.execute("DELETE FROM approvals WHERE partition = ?", (partition,))
            self._db.execute("DELETE FROM positions WHERE partition = ?", (partition,))

    def position(self, partition: int) -> Position:
        """The position that the partition's records reflect."""
        self._save()
        row = self._db.execute("SELECT position FROM positions WHERE partition = ?", (partition,)).fetchone()
        return Position.parse(row[0]) if row else BEGINNING

    def put(self, partition: int, records: Iterable[ApprovalRecord], position: Position) -> None:
        """Records and the position they reflect, in one transaction."""
        for record in records:
            self._unsaved[record.approval_id] = record, partition
            self._recently(record.execution_id)[record.approval_id] = record
        self._positions[partition] = position
        if len(self._unsaved) >= MOST_UNSAVED:
            self._save()

    def fill(self, partition: int, records: Iterable[tuple[ApprovalRecord, bytes]]) -> None:
        """Records as they were published, and their bytes. What was asked for before is forgotten."""
        self._save()
        self._recent.clear()
        # sorted: neighbours share the pages of the indexes
        rows = sorted([_row(record, partition, raw) for record, raw in records])
        self._await_filled()
        if rows:
            self._filling = self._filler.submit(self._fill, rows)

    def get(self, approval_id: str) -> ApprovalRecord | None:
        """The request as it was put last."""
        if approval_id in self._unsaved:
            return self._unsaved[approval_id][0]
        row = self._db.execute("SELECT record FROM approvals WHERE approval_id = ?", (approval_id,)).fetchone()
        return APPROVALS.decode(row[0]) if row else None

    def of(self, partition: int) -> Iterable[ApprovalRecord]:
        """All requests of a partition, read in pieces: there may be many."""
        self._save()
        after = ""
        while rows := self._db.execute(_PIECE, (partition, after)).fetchall():
            for after, record in rows:  # noqa: B007  (the next piece begins after the last)
                yield APPROVALS.decode(record)

    def open_requests(self) -> Mapping[int, tuple[int, datetime]]:
        """Of each partition with such: how many requests wait for a person, and since when the first of them does."""
        self._save()
        found = self._db.execute(_OPEN, tuple(OPEN)).fetchall()
        return {number: (count, datetime.fromisoformat(since)) for number, count, since in found}

    def open_executions(self) -> Mapping[int, set[str]]:
        """Of each partition with such: the executions with a request that waits for a person."""
        self._save()
        found = defaultdict[int, set[str]](set)
        for partition, execution_id in self._db.execute(_OPEN_EXECUTIONS, tuple(OPEN)):
            found[partition].add(execution_id)
        return found

    def of_execution(self, execution_id: str) -> Mapping[str, ApprovalRecord]:
        """All requests of an execution, by their ids."""
        return self._recently(execution_id)

    def search(self, search: Search) -> Sequence[ApprovalRecord]:
        """The requests that are asked for, oldest first."""
        if search.execution_id is not None and search == Search(execution_id=search.execution_id, limit=search.limit):
            of_it = self._recently(search.execution_id).values()
            return sorted(of_it, key=lambda record: (record.requested_at, record.approval_id))[: search.limit]
        self._save()
        return self._searched(search)

    def close(self) -> None:
        """Let go of the file."""
        self._save()
        self._await_filled()
        self._filler.shutdown()
        self._file.close()

    @property
    def _db(self) -> sqlite3.Connection:
        """The file, with all that was filled in."""
        self._await_filled()
        return self._file

    def _await_filled(self) -> None:
        filling, self._filling = self._filling, None
        if filling is not None:
            filling.result()

    def _fill(self, rows: Sequence[_Row]) -> None:
        """By one statement: between two of them every other thread that has something to do would go first."""
        statement = _PUT.replace(_VALUES, ", ".join([_VALUES] * len(rows)))
        with self._file:
            self._file.execute(statement, [value for row in rows for value in row])

    def _searched(self, search: Search) -> list[ApprovalRecord]:
        wanted = {"execution_id": search.execution_id, "agent": search.agent, "tool": search.tool}
        clauses = [f"{column} = ?" for column, value in wanted.items() if value is not None]
        values: list[object] = [value for value in wanted.values() if value is not None]
        if search.states:
            clauses.append(f"state IN ({', '.join('?' * len(search.states))})")
            values += search.states
        if search.after:
            clauses.append("(requested_at, approval_id) > (?, ?)")
            values += [search.after.requested_at.isoformat(), search.after.approval_id]
        where = f"WHERE {' AND '.join(clauses)}" if clauses else ""
        limit = -1 if search.limit is None else search.limit
        query = f"SELECT record FROM approvals {where} ORDER BY requested_at, approval_id LIMIT ?"
        return [APPROVALS.decode(record) for (record,) in self._db.execute(query, [*values, limit])]

    def _recently(self, execution_id: str) -> dict[str, ApprovalRecord]:
        """The requests of one execution, from memory where it was asked for lately."""
        known = self._recent.get(execution_id)
        if known is not None:
            self._recent.move_to_end(execution_id)
            return known
        if len(self._recent) >= RECENT_EXECUTIONS:
            _, oldest = self._recent.popitem(last=False)
            if not self._unsaved.keys().isdisjoint(oldest):
                self._save()
        found = self._searched(Search(execution_id=execution_id))
        known = self._recent[execution_id] = {record.approval_id: record for record in found}
        return known

    def _save(self) -> None:
        if not self._positions and not self._unsaved:
            return
        with self._db:
            self._db.executemany(_PUT, [_row(record, at, encode(record)) for record, at in self._unsaved.values()])
            positions = [(partition, str(position)) for partition, position in self._positions.items()]
            self._db.executemany("INSERT OR REPLACE INTO positions VALUES (?, ?)", positions)
        self._forget_unsaved()

    def _forget_unsaved(self) -> None:
        self._unsaved.clear()
        self._positions.clear()

    def _forget(self) -> None:
        self._forget_unsaved()
        self._recent.clear()


def _row(record: ApprovalRecord, partition: int, raw: bytes) -> _Row:
    return (
        record.approval_id,
        record.execution_id,
        record.agent,
        record.tool,
        record.state,
        record.requested_at.isoformat(),
        partition,
        raw,
    )


def _opened(path: Path | str) -> sqlite3.Connection:
    try:
        db = _connect(path)
        if db.execute("PRAGMA user_version").fetchone()[0] in (0, _SHAPE):
            return db
        db.close()
    except sqlite3.DatabaseError:
        pass  # damaged: it is made anew below, from the log
    for name in (path, f"{path}-wal", f"{path}-shm"):
        Path(name).unlink(missing_ok=True)
    return _connect(path)


def _connect(path: Path | str) -> sqlite3.Connection:
    db = sqlite3.connect(path, check_same_thread=False)
    db.execute("PRAGMA journal_mode = WAL")
    db.execute("PRAGMA synchronous = OFF")
    db.execute(f"PRAGMA wal_autocheckpoint = {CHECKPOINT_PAGES}")
    db.executescript(_TABLES)
    db.execute(f"PRAGMA user_version = {_SHAPE}")
    return db
