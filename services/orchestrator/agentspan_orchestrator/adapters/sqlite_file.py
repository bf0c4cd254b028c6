"""The file of a state cache: its tables, how it is opened, and how it is filled when there is nothing in it to lose.

Apart from the cache because it alone knows SQLite's modes. While a lost cache is filled in, its rows are written once,
without a journal: a file that was left so is of no use, says so from before its first row on, and is made anew.
"""

import logging
import os
import sqlite3
from collections import deque
from collections.abc import Sequence
from concurrent.futures import Future, ThreadPoolExecutor, wait
from contextlib import closing
from pathlib import Path

from agentspan_orchestrator.domain import SNAPSHOT_VERSION

logger = logging.getLogger(__name__)

# not WITHOUT ROWID: there a state would fill a page of its own, and lie on any page of the file
_TABLES = """
CREATE TABLE IF NOT EXISTS executions (
    execution_id TEXT NOT NULL UNIQUE, reflects INTEGER NOT NULL, next_due REAL, busy INTEGER NOT NULL,
    state BLOB NOT NULL
);
CREATE INDEX IF NOT EXISTS by_due ON executions (next_due) WHERE next_due IS NOT NULL;
CREATE INDEX IF NOT EXISTS by_busy ON executions (busy) WHERE busy = 1;
CREATE INDEX IF NOT EXISTS by_parked ON executions (busy) WHERE busy = 2;
CREATE TABLE IF NOT EXISTS standing (
    one INTEGER PRIMARY KEY CHECK (one = 1), log_id TEXT NOT NULL, position TEXT NOT NULL, command_offset TEXT
);
"""
SHAPE = 10 * SNAPSHOT_VERSION + 3
"""The file's `user_version`. Raise its last digit when only the tables change."""

HALF_FILLED = -SHAPE
"""Its `user_version` from before it is filled in until all of that is on the disk."""

CHECKPOINT_PAGES = 4_000
"""So many go into the write-ahead log before the file itself is written: many of them are the same ones again."""

BUSY_S = 30.0

_DAMAGED = (sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB)
"""The errors that say so; other bits of an error's code say more closely what it was."""

FILLED_AHEAD = 2
"""So many lots of rows wait for the one that is being written."""

Columns = tuple[str, int, float | None, int, bytes]

PUT_ROW = """
INSERT INTO executions VALUES (?, ?, ?, ?, ?) ON CONFLICT (execution_id) DO UPDATE
SET reflects = excluded.reflects, next_due = excluded.next_due, busy = excluded.busy, state = excluded.state
"""


class FilledFile:
    """The file, and a thread that fills it in while the next rows are read: `db` waits for that."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._db = opened(path)
        self._thread = ThreadPoolExecutor(1, thread_name_prefix=f"state-cache-{path.stem}-filled")
        self._filling: deque[Future[None]] = deque()
        self._is_empty = False
        self._is_shared = False
        self._is_unjournaled = False

    @property
    def db(self) -> sqlite3.Connection:
        """With all that was filled in. Raises sqlite3.Error once, where that failed."""
        self.settle()
        return self._db

    def made_anew(self) -> None:
        """Empty, in place of one that is damaged. Nobody else has it open."""
        wait(self._filling)
        self._filling.clear()
        self._db.close()
        self._db = made_anew(self._path)
        self._is_empty, self._is_shared, self._is_unjournaled = True, False, False

    def emptied(self) -> None:
        """Nothing is in it that could be lost."""
        self._is_empty = True

    def shared(self) -> sqlite3.Connection:
        """A connection for another thread; from now on nothing is written without a journal."""
        self._is_shared = True
        return connect(self._path)

    def fill(self, rows: Sequence[Columns]) -> None:
        """Put rows that reflect more than what is there. Where that fails, a later call raises sqlite3.Error."""
        while len(self._filling) >= FILLED_AHEAD:
            self._await_one()
        self._filling.append(self._thread.submit(self._fill, rows))

    def settle(self) -> None:
        """Return when all rows are there. Raises sqlite3.Error."""
        while self._filling:
            self._await_one()
        if self._is_unjournaled:
            self._is_unjournaled = False
            journaled(self._db)
            self._thread.submit(_keep, self._path)

    def close(self) -> None:
        """What was not settled is of no use to the next one who opens the file."""
        self._thread.shutdown()
        self._db.close()

    def _await_one(self) -> None:
        try:
            self._filling.popleft().result()
        except sqlite3.Error:
            wait(self._filling)
            self._filling.clear()
            if self._is_unjournaled:  # nothing can be rolled back
                self._is_unjournaled = False
                self._db.close()
                self._db = made_anew(self._path)
            raise

    def _fill(self, rows: Sequence[Columns]) -> None:
        if self._is_empty and not self._is_shared:
            self._is_unjournaled = unjournaled(self._db)
        self._is_empty = False
        fill(self._db, rows)


def opened(path: Path) -> sqlite3.Connection:
    """The file, made anew when it is damaged, half filled or of another shape: everything in it can be folded again."""
    try:
        db = connect(path)
        if db.execute("PRAGMA user_version").fetchone()[0] in (0, SHAPE):
            return _shaped(db)
        db.close()
    except sqlite3.DatabaseError as error:
        logger.warning("state cache %s is unusable (%s): folding anew", path, error)
    return made_anew(path)


def is_damage(error: Exception) -> bool:
    """Whether what a read raised says that the file holds something else than was written."""
    code = getattr(error, "sqlite_errorcode", None)
    return not isinstance(error, sqlite3.Error) if code is None else code & 0xFF in _DAMAGED


def made_anew(path: Path) -> sqlite3.Connection:
    """An empty file in its place. Nobody has it open."""
    for name in (path, Path(f"{path}-wal"), Path(f"{path}-shm")):
        name.unlink(missing_ok=True)
    return _shaped(connect(path))


def connect(path: Path) -> sqlite3.Connection:
    """A connection to a file that is not being filled."""
    db = sqlite3.connect(path, timeout=BUSY_S, check_same_thread=False)
    db.execute("PRAGMA journal_mode = WAL")
    db.execute("PRAGMA synchronous = NORMAL")
    db.execute(f"PRAGMA wal_autocheckpoint = {CHECKPOINT_PAGES}")
    return db


def unjournaled(db: sqlite3.Connection) -> bool:
    """Write rows once from now on, and wait for no disk; False where somebody else has the file open.

    That it is half filled is on the disk before: to leave the write-ahead log behind waits for that.
    """
    db.execute("PRAGMA busy_timeout = 0")
    try:
        db.execute(f"PRAGMA user_version = {HALF_FILLED}")
        [mode] = db.execute("PRAGMA journal_mode = OFF").fetchone()
    except sqlite3.OperationalError:
        mode = "wal"
    finally:
        db.execute(f"PRAGMA busy_timeout = {int(BUSY_S * 1000)}")
    if mode != "off":
        db.execute(f"PRAGMA user_version = {SHAPE}")
        return False
    db.execute("PRAGMA synchronous = OFF")
    return True


def journaled(db: sqlite3.Connection) -> None:
    """Write as ever again. Until `kept` has returned, a restart still makes the file anew."""
    db.execute("PRAGMA journal_mode = WAL")
    db.execute("PRAGMA synchronous = NORMAL")


def kept(path: Path) -> None:
    """Wait until what was filled in is on the disk, then say that it is of use."""
    file = os.open(path, os.O_RDONLY)
    try:
        os.fsync(file)
    finally:
        os.close(file)
    with closing(connect(path)) as db:
        db.execute(f"PRAGMA user_version = {SHAPE}")


def _keep(path: Path) -> None:
    try:
        kept(path)
    except (sqlite3.Error, OSError) as error:
        logger.warning("state cache %s: %s; after a restart it is filled anew", path, error)


def fill(db: sqlite3.Connection, rows: Sequence[Columns]) -> None:
    """Put rows that reflect more than what is there, all by one statement: between two of them every other thread that
    has something to do would go first."""
    values = ", ".join(["(?, ?, ?, ?, ?)"] * len(rows))
    statement = PUT_ROW.replace("(?, ?, ?, ?, ?)", values, 1) + " WHERE excluded.reflects > reflects"
    with db:
        db.execute(statement, [value for row in rows for value in row])


def _shaped(db: sqlite3.Connection) -> sqlite3.Connection:
    db.executescript(_TABLES)
    db.execute(f"PRAGMA user_version = {SHAPE}")
    return db
