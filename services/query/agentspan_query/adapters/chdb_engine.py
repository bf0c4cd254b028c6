"""chDB behind two lanes: inserts and changes one after another, reads beside them on connections of their own.

Used only in the child process that plays ClickHouse: the engine's memory, threads and crashes stay there.
"""

import os
import sys
import tempfile
from collections.abc import Iterable
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from queue import SimpleQueue
from typing import IO
from urllib.parse import quote

from chdb.state.sqlitelike import Connection

from agentspan_query.adapters.statements import EngineError, Reply, Statement

_MIB = 1024 * 1024


class Session:
    """One connection. Used by one thread at a time; settings and database of a statement end with it."""

    def __init__(self, connection_string: str) -> None:
        self._connection = Connection(connection_string)
        self._database = "default"
        self._data = _scratch()

    def run(self, statement: Statement) -> Reply:
        """Run one statement. Raises EngineError."""
        try:
            self._use(statement.database or "default")
            self._set(statement.settings.items())
            try:
                return self._insert(statement) if statement.data is not None else self._query(statement)
            finally:
                self._reset(statement.settings)
        except RuntimeError as error:
            raise EngineError(str(error)) from error

    def close(self) -> None:
        """Let go of the connection; the last one closes the engine."""
        self._connection.close()
        self._data.close()

    def _query(self, statement: Statement) -> Reply:
        result = self._connection.query(statement.sql, statement.format, params=dict(statement.params))
        return Reply(bytes(result.bytes()))

    def _insert(self, statement: Statement) -> Reply:
        """From a file: what chDB takes as a stream it says to have written, also where the table refused it."""
        self._data.seek(0)
        self._data.truncate()
        self._data.write(statement.data or b"")
        self._data.seek(0)
        source = f"FROM INFILE '/dev/fd/{self._data.fileno()}' COMPRESSION 'none'"
        result = self._connection.query(f"{statement.sql} {source} FORMAT {statement.format}")
        return Reply(b"", int(result.rows_read()))

    def _use(self, database: str) -> None:
        if database != self._database:
            self._connection.query(f"USE `{database.replace('`', '')}`")
            self._database = database

    def _set(self, settings: Iterable[tuple[str, str]]) -> None:
        given = ", ".join(f"{name} = {_quoted(value)}" for name, value in settings)
        if given:
            self._connection.query(f"SET {given}")

    def _reset(self, settings: Iterable[str]) -> None:
        given = ", ".join(f"{name} = DEFAULT" for name in settings)
        if given:
            self._connection.query(f"SET {given}")


class Lane:
    """Sessions and as many threads: a statement waits for a free one."""

    def __init__(self, name: str, sessions: list[Session]) -> None:
        self._sessions = sessions
        self._free: SimpleQueue[Session] = SimpleQueue()
        for session in sessions:
            self._free.put(session)
        self._threads = ThreadPoolExecutor(len(sessions), thread_name_prefix=name)

    def submit(self, statement: Statement) -> Future[Reply]:
        """Run a statement in a thread of this lane."""
        return self._threads.submit(self._run, statement)

    def close(self) -> None:
        """Wait for what runs, then let go of the connections."""
        self._threads.shutdown(cancel_futures=True)
        for session in self._sessions:
            session.close()

    def _run(self, statement: Statement) -> Reply:
        session = self._free.get()
        try:
            return session.run(statement)
        finally:
            self._free.put(session)


class Engine:
    """The database in one folder, within `memory_bytes`; one process has it open at a time."""

    def __init__(self, path: Path, *, memory_bytes: int, readers: int = 2) -> None:
        options = {
            "max_server_memory_usage": memory_bytes,
            "mark_cache_size": memory_bytes // 16,
            "query_condition_cache_size": 8 * _MIB,
        }
        where = f"{quote(str(path))}?{'&'.join(f'{name}={value}' for name, value in options.items())}"
        self._writes = Lane("write", [Session(where)])
        self._reads = Lane("read", [Session(where) for _ in range(readers)])

    def submit(self, statement: Statement) -> Future[Reply]:
        """Run a statement: a read beside what is being written, everything else in turn."""
        return (self._reads if statement.reads_only else self._writes).submit(statement)

    def close(self) -> None:
        """Close the engine when what runs has ended."""
        self._reads.close()
        self._writes.close()


def _scratch() -> IO[bytes]:
    """A file that no folder has, in memory where the system can."""
    if sys.platform == "linux":
        return os.fdopen(os.memfd_create("insert"), "w+b", buffering=0)
    else:
        return tempfile.TemporaryFile(buffering=0)


def _quoted(value: str) -> str:
    return "'" + value.replace("\\", "\\\\").replace("'", "\\'") + "'"
