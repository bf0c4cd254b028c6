"""The state cache in one SQLite file a partition: disposable, so `synchronous=NORMAL`, and written behind by a thread.

What is queued for the file can be read at once: a reader looks into the queue first. What is filled in by the thousand
is written by another thread, while the next is read: whoever reads the file waits for that. Into an empty file it is
written once, without a journal (see `sqlite_file`): a process that dies before all of it is there begins anew.
"""

import logging
import sqlite3
import threading
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from math import ceil
from pathlib import Path

from agentspan.eventlog import BEGINNING, Position, StorageFull, WriteError
from agentspan_orchestrator.adapters.sqlite_file import PUT_ROW, Columns, FilledFile, is_damage
from agentspan_orchestrator.domain import Execution, dump_state, load_state
from agentspan_orchestrator.ports import Row, Snapshot

logger = logging.getLogger(__name__)

WRITE_BEHIND_S = 1.0
"""How long rows wait for the next state of their execution: a run that is over in a second is written once or twice,
not twenty times. What is lost with the process is folded again from the log."""

WRITE_ROWS = 5_000
"""So many rows do not wait."""

PIECE_ROWS = 20
BREATH_S = 0.0005
"""After so many rows the writer lets go of the interpreter's lock, unless somebody waits for it: a thread that computes
keeps the lock for 5 ms each time, and the event loop asks for it with every callback."""

MOST_BREATHS = 50
"""So often at most in one transaction, whose pieces are larger then: under load each breath lasts until the event loop
gives the lock back, and a writer that is slower than states change has more of them in memory each second."""

_PUT_STANDING = "INSERT OR REPLACE INTO standing VALUES (1, ?, ?, ?)"


@dataclass(slots=True)
class _Batch:
    """What goes into the file in one transaction."""

    log_id: str = ""
    position: Position = BEGINNING
    """What its rows reflect."""
    stands: tuple[Position, str | None] = (BEGINNING, None)
    """Where the cache stands with it, and the command offset."""
    rows: dict[str, Row] = field(default_factory=dict)


class SqliteStateCache:
    """Rows and the position they reflect, in one transaction each. `close` it to have all of them in the file."""

    def __init__(self, path: Path, *, sleep: Callable[[float], None] = time.sleep) -> None:
        """`sleep` lets other threads run, for so many seconds."""
        self._sleep = sleep
        self._file = FilledFile(path)
        self._path = path
        self._log_id = ""
        self._changed = threading.Condition()
        self._queued: _Batch | None = None
        self._writing: _Batch | None = None
        self._pinned: tuple[Position, str | None] | None = None
        self._flushes_asked = 0
        self._flushes_done = 0
        self._failure: sqlite3.Error | None = None
        """Why the last write failed, whose rows are queued again."""
        self._closing = False
        self._is_damaged = False
        """Whether the file holds something else than was written."""
        self._written: sqlite3.Connection | None = None
        """The writer's own connection, from its first write on."""
        self._writer = threading.Thread(target=self._write_behind, name=f"state-cache-{path.stem}", daemon=True)
        self._writer.start()

    def open(self, log_id: str) -> tuple[Position, str | None]:
        """Where it stands on that log, and the command offset it reflects; of a damaged file, at the beginning."""
        if self._is_damaged:
            self._make_anew()
        self._flush()
        self._log_id, self._pinned = log_id, None
        with self._reading() as db:
            row = db.execute("SELECT log_id, position, command_offset FROM standing").fetchone()
            if row is not None and row[0] == log_id:
                return Position.parse(row[1]), row[2]
        self.clear()
        return BEGINNING, None

    def clear(self) -> None:
        """Forget everything."""
        self._flush()
        with self._reading() as db, db:
            db.execute("DELETE FROM executions")
            db.execute("DELETE FROM standing")
        self._pinned = None
        self._file.emptied()

    def get(self, execution_id: str) -> Execution | None:
        """The state as it was put last."""
        found = self.find(execution_id)
        return found[0] if found else None

    def find(self, execution_id: str) -> tuple[Execution, int] | None:
        """The state, and the offset up to which it reflects the log."""
        with self._changed:
            for batch in (self._queued, self._writing):
                if batch is not None and (row := batch.rows.get(execution_id)):
                    return row.state, batch.position.offset
        of_it = "SELECT state, reflects FROM executions WHERE execution_id = ?"
        with self._reading() as db:
            found = db.execute(of_it, (execution_id,)).fetchone()
            return (load_state(found[0]), found[1]) if found else None

    def put(self, rows: Iterable[Row], position: Position, command_offset: str | None) -> None:
        """Queue rows and the position they reflect. Raises WriteError when what was filled in before could not be."""
        self._settle()
        with self._changed:
            batch = self._queued or _Batch()
            batch.rows |= {row.state.execution_id: row for row in rows}
            batch.log_id, batch.position = self._log_id, position
            batch.stands = self._pinned or (position, command_offset)
            if self._queued is None or len(batch.rows) >= WRITE_ROWS:
                self._changed.notify_all()
            self._queued = batch

    def pin(self, position: Position, command_offset: str | None) -> None:
        """Stand there, whatever is put from now on, until `clear`."""
        self._pinned = position, command_offset

    def fill(self, snapshots: Iterable[Snapshot]) -> None:
        """Take over the states that are further than those here. Where that fails, the next call raises WriteError."""
        self._flush()
        if rows := [_filled(snapshot) for snapshot in snapshots]:
            try:
                self._file.fill(rows)
            except sqlite3.Error as error:
                raise _named(self._path, error) from error

    def changed_since(self, offset: int) -> Iterable[str]:
        """The executions whose states may reflect something after that offset."""
        self._flush()
        with self._reading() as db:
            found = db.execute("SELECT execution_id FROM executions WHERE reflects > ?", (offset,))
            return [execution_id for (execution_id,) in found]

    def busy(self) -> Iterable[Execution]:
        """The executions with something open."""
        self._flush()
        with self._reading() as db:
            return [load_state(state) for (state,) in db.execute("SELECT state FROM executions WHERE busy = 1")]

    def parked(self) -> int:
        """How many executions are neither busy nor over, as the file has them."""
        with self._reading() as db:
            count: int = db.execute("SELECT COUNT(*) FROM executions WHERE busy = 2").fetchone()[0]
            return count

    def due(self) -> Iterable[tuple[datetime, str]]:
        """`(next_due, execution_id)` of those with a timer."""
        self._flush()
        with self._reading() as db:
            rows = db.execute("SELECT next_due, execution_id FROM executions WHERE next_due IS NOT NULL")
            return [(datetime.fromtimestamp(due, UTC), execution_id) for due, execution_id in rows]

    def close(self) -> None:
        """Write what is queued, then stop."""
        with self._changed:
            self._closing = True
            self._changed.notify_all()
        self._writer.join()
        self._file.close()

    @contextmanager
    def _reading(self) -> Iterator[sqlite3.Connection]:
        """The file, with all that was filled in. Raises WriteError where it is damaged: `open` makes it anew then, and
        whoever owns the partition opens it again."""
        self._settle()
        try:
            yield self._file.db
        except (sqlite3.DatabaseError, ValueError) as error:
            if not is_damage(error):
                raise
            self._is_damaged = True
            raise WriteError(f"the state cache {self._path} is damaged ({error}); it is made anew") from error

    def _make_anew(self) -> None:
        logger.warning("state cache %s is damaged: folding anew", self._path)
        with self._changed:  # so that the writer begins nothing meanwhile
            self._changed.wait_for(lambda: self._writing is None)
            self._queued, self._failure = None, None
            if self._written is not None:
                self._written.close()
                self._written = None
            self._file.made_anew()
            self._is_damaged = False

    def _settle(self) -> None:
        try:
            self._file.settle()
        except sqlite3.Error as error:
            raise _named(self._path, error) from error

    def _flush(self) -> None:
        """Return when what was put stands in the file; only a takeover waits for it. Raises WriteError while that
        can't be: whoever reads the file then would miss what is queued."""
        with self._changed:
            self._flushes_asked += 1
            mine = self._flushes_asked
            self._changed.notify_all()
            self._changed.wait_for(lambda: self._flushes_done >= mine)
            if self._failure is not None:
                raise _named(self._path, self._failure)

    def _write_behind(self) -> None:
        going = True
        while going:
            with self._changed:
                self._changed.wait_for(lambda: self._queued is not None or self._is_urgent())
                self._changed.wait_for(self._is_urgent, WRITE_BEHIND_S)
                going, asked = not self._closing, self._flushes_asked
                batch = self._writing = self._queued
                self._queued = None
            failure = self._write(batch) if batch else None
            with self._changed:
                self._queued = _merged(batch, self._queued) if failure else self._queued
                self._writing, self._failure, self._flushes_done = None, failure, asked
                self._changed.notify_all()
                if failure:  # a full disk is not asked in every moment
                    self._changed.wait_for(lambda: self._closing, WRITE_BEHIND_S)
        if self._written is not None:
            self._written.close()

    def _is_urgent(self) -> bool:
        return self._is_awaited() or (self._queued is not None and len(self._queued.rows) >= WRITE_ROWS)

    def _is_awaited(self) -> bool:
        return self._closing or self._flushes_asked > self._flushes_done

    def _breathe(self) -> None:
        if not self._is_awaited():
            self._sleep(BREATH_S)

    def _write(self, batch: _Batch) -> sqlite3.Error | None:
        try:
            if self._written is None:
                self._written = self._file.shared()
            _write(self._written, batch, self._breathe)
        except sqlite3.Error as error:
            logger.warning("state cache %s: %s; its rows stay in memory and are written again", self._path, error)
            self._is_damaged = self._is_damaged or is_damage(error)
            return error
        return None


def _named(path: Path, failure: sqlite3.Error) -> WriteError:
    full = getattr(failure, "sqlite_errorcode", None) == sqlite3.SQLITE_FULL
    error = (StorageFull if full else WriteError)(f"the state cache {path} can't be written: {failure}")
    error.__cause__ = failure
    return error


def _write(db: sqlite3.Connection, batch: _Batch, breathe: Callable[[], None]) -> None:
    rows = list(batch.rows.values())
    piece = max(PIECE_ROWS, ceil(len(rows) / MOST_BREATHS))
    with db:
        for begin in range(0, len(rows), piece):
            db.executemany(PUT_ROW, [_columns(row, batch.position) for row in rows[begin : begin + piece]])
            breathe()
        position, command_offset = batch.stands
        db.execute(_PUT_STANDING, (batch.log_id, str(position), command_offset))


def _columns(row: Row, position: Position) -> Columns:
    """What did not change since reflects the batch's position as well."""
    busy = _busy(row.busy, not row.state.terminal)
    return row.state.execution_id, position.offset, _seconds(row.next_due), busy, dump_state(row.state)


def _filled(snapshot: Snapshot) -> Columns:
    busy = _busy(snapshot.busy, snapshot.parked)
    return snapshot.execution_id, snapshot.reflects, _seconds(snapshot.next_due), busy, snapshot.state


def _busy(busy: bool, going: bool) -> int:
    """The column of that name: 1 for busy, 2 for parked, 0 for over."""
    return 1 if busy else 2 * going


def _seconds(due: datetime | None) -> float | None:
    return due.timestamp() if due else None


def _merged(older: _Batch | None, newer: _Batch | None) -> _Batch | None:
    if older is None or newer is None:
        return older or newer
    newer.rows = older.rows | newer.rows
    return newer
