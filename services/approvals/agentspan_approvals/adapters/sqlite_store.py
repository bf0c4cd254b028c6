"""The view of all requests in one SQLite file, or in memory for a path of `:memory:`.

Disposable, as the log has everything: a damaged file is made anew, and what is put waits in memory until it is asked
for, or is much. A commit does not wait for the disk, so that after a loss of power the last ones may never have been;
another thread writes the write-ahead log back, which waits for it. The requests of the executions that were asked for
last stay in memory: more of their events may ask. What is restored by the thousand is written by another thread, while
the next is read.
"""

import os
import sqlite3
from collections import OrderedDict, defaultdict, deque
from collections.abc import Iterable, Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor, wait
from contextlib import closing, contextmanager, suppress
from datetime import datetime
from itertools import chain
from pathlib import Path

from agentspan.eventlog import BEGINNING, Position
from agentspan_approvals.domain import OPEN
from agentspan_approvals.errors import ViewDamaged
from agentspan_approvals.ports import Kept, Search
from agentspan_schemas import NewerVersion, Unreadable
from agentspan_schemas.approvals import ApprovalRecord
from agentspan_schemas.codec import APPROVALS, encode

MOST_UNSAVED = 500
"""So many executions' requests wait in memory."""

RECENT_EXECUTIONS = 500

WRITE_BACK_BYTES = 16 * 1024 * 1024
"""So much goes into the write-ahead log before the file itself is written: many pages are the same ones again."""

CACHED_KB = 2_000
"""So much of the file stays in memory once it was used."""

CACHED_KB_FILLING = 16 * 1024
"""The same while a view is restored: all of its indexes."""

SAVED_AT_ONCE = 32
"""So many requests go into one statement; between two, every other thread that has something to do goes first."""

STATEMENTS_KEPT = 16
"""So many statements stay prepared: one that fills a view takes some megabytes."""

FILLED_AHEAD = 2
"""So many lots of requests wait for the one that is being written."""

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

_COLUMNS = "approval_id, execution_id, agent, tool, state, requested_at, record, partition"
_PLACES = "(?, ?, ?, ?, ?, ?, ?, ?)"


class SqliteApprovalStore:
    """Calls take microseconds and are made on the caller's thread; while a view is restored, they wait for the file."""

    def __init__(self, path: Path | str) -> None:
        self._path = path
        self._file = _opened(path)
        self._is_damaged = False
        self._written_back: Future[None] | None = None
        self._filler = ThreadPoolExecutor(1, thread_name_prefix="approvals-filled")
        self._is_wide = False
        """Whether more of the file stays in memory, as while it is filled."""
        self._filling: deque[Future[None]] = deque()
        self._unsaved: dict[str, dict[str, tuple[ApprovalRecord, int]]] = {}
        """By execution and id, each with its partition."""
        self._positions: dict[int, Position] = {}
        self._recent: OrderedDict[str, dict[str, ApprovalRecord]] = OrderedDict()

    def open(self, log_id: str) -> None:
        """Begin with that log; what was kept of another one is forgotten, and all where the file is damaged."""
        if self._is_damaged:
            self._make_anew()
        with self._undamaged() as db:
            row = db.execute("SELECT id FROM log").fetchone()
            if row is not None and row[0] == log_id:
                return
            self._forget()
            with db:
                db.execute("DELETE FROM approvals")
                db.execute("DELETE FROM positions")
                db.execute("INSERT OR REPLACE INTO log VALUES (1, ?)", (log_id,))

    def clear(self, partition: int) -> None:
        """Forget what was kept of a partition."""
        self._save()
        self._forget()
        with self._undamaged() as db, db:
            db.execute("DELETE FROM approvals WHERE partition = ?", (partition,))
            db.execute("DELETE FROM positions WHERE partition = ?", (partition,))

    def position(self, partition: int) -> Position:
        """The position that the partition's records reflect."""
        self._save()
        with self._undamaged() as db:
            row = db.execute("SELECT position FROM positions WHERE partition = ?", (partition,)).fetchone()
            return Position.parse(row[0]) if row else BEGINNING

    def put(self, partition: int, records: Iterable[ApprovalRecord], position: Position) -> None:
        """Records and the position they reflect, in one transaction."""
        for record in records:
            self._unsaved.setdefault(record.execution_id, {})[record.approval_id] = record, partition
            if (known := self._recent.get(record.execution_id)) is not None:
                known[record.approval_id] = record
        self._positions[partition] = position
        if len(self._unsaved) >= MOST_UNSAVED:
            self._save()

    def fill(self, partition: int, requests: Iterable[Kept]) -> None:
        """Requests as they were published. What was asked for before is forgotten."""
        self._save()
        self._recent.clear()
        # sorted: neighbours share the pages of the indexes
        rows = sorted(requests)
        if rows:
            self._await_filled(but=FILLED_AHEAD)
            self._filling.append(self._filler.submit(self._fill, rows, partition))

    def get(self, approval_id: str) -> ApprovalRecord | None:
        """The request as it was put last."""
        of_one = self._unsaved.get(approval_id.partition(".")[0], {})
        if approval_id in of_one:
            return of_one[approval_id][0]
        with self._undamaged() as db:
            row = db.execute("SELECT record FROM approvals WHERE approval_id = ?", (approval_id,)).fetchone()
            return APPROVALS.decode(row[0]) if row else None

    def of(self, partition: int) -> Iterable[ApprovalRecord]:
        """All requests of a partition, read in pieces: there may be many."""
        self._save()
        after = ""
        while rows := self._piece(partition, after):
            after = rows[-1].approval_id
            yield from rows

    def open_requests(self) -> Mapping[int, tuple[int, datetime]]:
        """Of each partition with such: how many requests wait for a person, and since when the first of them does."""
        self._save()
        with self._undamaged() as db:
            found = db.execute(_OPEN, tuple(OPEN)).fetchall()
            return {number: (count, datetime.fromisoformat(since)) for number, count, since in found}

    def open_executions(self) -> Mapping[int, set[str]]:
        """Of each partition with such: the executions with a request that waits for a person."""
        self._save()
        found = defaultdict[int, set[str]](set)
        with self._undamaged() as db:
            for partition, execution_id in db.execute(_OPEN_EXECUTIONS, tuple(OPEN)):
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

    @contextmanager
    def _undamaged(self) -> Iterator[sqlite3.Connection]:
        """The file, with all that was filled in. One that is found to be damaged is put away at once: who opens it next
        begins anew. Raises ViewDamaged."""
        try:
            self._await_filled()
            self._keep_in_memory(wide=False)
            yield self._file
        except (sqlite3.DatabaseError, Unreadable) as error:
            if not _is_damage(error):
                raise
            self._is_damaged = True
            _put_away(self._path)
            raise ViewDamaged(f"the view {self._path} of the approvals is damaged: {error}") from error

    def _make_anew(self) -> None:
        wait(self._filling)
        self._filling.clear()
        self._forget()
        self._file.close()
        _put_away(self._path)
        self._file = _connect(self._path)
        self._is_damaged = self._is_wide = False

    def _piece(self, partition: int, after: str) -> Sequence[ApprovalRecord]:
        with self._undamaged() as db:
            return [APPROVALS.decode(record) for _, record in db.execute(_PIECE, (partition, after))]

    def _await_filled(self, *, but: int = 0) -> None:
        while len(self._filling) > but:
            self._filling.popleft().result()

    def _keep_in_memory(self, *, wide: bool) -> None:
        if wide != self._is_wide:
            self._file.execute(f"PRAGMA cache_size = -{CACHED_KB_FILLING if wide else CACHED_KB}")
            self._is_wide = wide

    def _fill(self, requests: Sequence[Kept], partition: int) -> None:
        self._keep_in_memory(wide=True)
        with self._file:
            _put(self._file, [(*request, partition) for request in requests])
        if _is_long(self._path):
            _write_back(self._path)

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
        with self._undamaged() as db:
            return [APPROVALS.decode(record) for (record,) in db.execute(query, [*values, limit])]

    def _recently(self, execution_id: str) -> dict[str, ApprovalRecord]:
        """The requests of one execution, from memory where it was asked for lately."""
        known = self._recent.get(execution_id)
        if known is not None:
            self._recent.move_to_end(execution_id)
            return known
        if len(self._recent) >= RECENT_EXECUTIONS:
            self._recent.popitem(last=False)
        known = {record.approval_id: record for record in self._searched(Search(execution_id=execution_id))}
        known |= {approval_id: record for approval_id, (record, _) in self._unsaved.get(execution_id, {}).items()}
        self._recent[execution_id] = known
        return known

    def _save(self) -> None:
        if not self._positions and not self._unsaved:
            return
        with self._undamaged() as db, db:
            unsaved = chain.from_iterable(of_one.values() for of_one in self._unsaved.values())
            rows = [(*Kept.of(record, encode(record)), at) for record, at in unsaved]
            for first in range(0, len(rows), SAVED_AT_ONCE):
                _put(db, rows[first : first + SAVED_AT_ONCE])
            positions = [(partition, str(position)) for partition, position in self._positions.items()]
            db.executemany("INSERT OR REPLACE INTO positions VALUES (?, ?)", positions)
        self._forget_unsaved()
        if (self._written_back is None or self._written_back.done()) and _is_long(self._path):
            self._written_back = self._filler.submit(_write_back, self._path)

    def _forget_unsaved(self) -> None:
        self._unsaved.clear()
        self._positions.clear()

    def _forget(self) -> None:
        self._forget_unsaved()
        self._recent.clear()


def _put(db: sqlite3.Connection, rows: Sequence[tuple[object, ...]]) -> None:
    """By one statement."""
    places = ", ".join([_PLACES] * len(rows))
    db.execute(f"INSERT OR REPLACE INTO approvals ({_COLUMNS}) VALUES {places}", list(chain.from_iterable(rows)))


def _opened(path: Path | str) -> sqlite3.Connection:
    try:
        db = _connect(path)
        if db.execute("PRAGMA user_version").fetchone()[0] in (0, _SHAPE):
            return db
        db.close()
    except sqlite3.DatabaseError:
        pass  # damaged: it is made anew below, from the log
    _put_away(path)
    return _connect(path)


def _put_away(path: Path | str) -> None:
    for name in (path, f"{path}-wal", f"{path}-shm"):
        Path(name).unlink(missing_ok=True)


def _is_damage(error: Exception) -> bool:
    """Whether what a read raised says that the file holds something else than was written."""
    if not isinstance(error, sqlite3.Error):
        return not isinstance(error, NewerVersion)
    return getattr(error, "sqlite_errorcode", 0) & 0xFF in (sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB)


def _is_long(path: Path | str) -> bool:
    """Whether the write-ahead log is so long that it is to be written back."""
    try:
        return os.stat(f"{path}-wal").st_size >= WRITE_BACK_BYTES
    except FileNotFoundError:  # in memory there is none
        return False


def _write_back(path: Path | str) -> None:
    # what could not be written back now is, the next time
    with suppress(sqlite3.Error), closing(sqlite3.connect(path)) as db:
        db.execute("PRAGMA synchronous = NORMAL")
        db.execute("PRAGMA wal_checkpoint(PASSIVE)").fetchall()


def _connect(path: Path | str) -> sqlite3.Connection:
    db = sqlite3.connect(path, check_same_thread=False, cached_statements=STATEMENTS_KEPT)
    db.execute("PRAGMA journal_mode = WAL")
    db.execute("PRAGMA synchronous = NORMAL")
    db.execute("PRAGMA wal_autocheckpoint = 0")
    db.execute(f"PRAGMA cache_size = -{CACHED_KB}")
    db.executescript(_TABLES)
    db.execute(f"PRAGMA user_version = {_SHAPE}")
    return db
