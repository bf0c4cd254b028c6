"""The dead letters of one machine: a small SQLite file beside the log, where a cluster has a topic for each.

Apart from the log's own file, which one process owns: people look at these while the server runs. Each use opens the
file and closes it, as hardly anything is ever written here.
"""

import asyncio
import json
import sqlite3
from collections.abc import AsyncIterator, Iterator
from contextlib import closing, contextmanager
from pathlib import Path

from agentspan.eventlog._errors import WriteError
from agentspan.eventlog.intake import Delivery
from agentspan.eventlog.letters import NotReplayable
from agentspan_schemas.cloudevents import Headers

KEPT_DAYS = 30
WAITS_S = 10.0
"""For another process that writes."""

_SCHEMA = """
CREATE TABLE IF NOT EXISTS letter (
    number INTEGER PRIMARY KEY AUTOINCREMENT, topic TEXT NOT NULL, at INTEGER NOT NULL DEFAULT (strftime('%s', 'now')),
    key BLOB, value BLOB NOT NULL, headers TEXT NOT NULL
)
"""


class SqliteLetters:
    """Those of one topic, to write and to look after. The file is made by the first of them."""

    def __init__(self, path: Path, name: str) -> None:
        self.name = name
        self._path = path

    async def put(self, key: bytes | None, value: bytes, headers: Headers) -> None:
        """Raises a WriteError."""
        await asyncio.to_thread(self._insert, key, value, headers)

    async def read(self) -> AsyncIterator[Delivery]:
        for delivery in await asyncio.to_thread(self._all):
            yield delivery

    async def send(self, partition: int, key: bytes | None, value: bytes, headers: Headers) -> None:
        """Only its owner writes to the log."""
        raise NotReplayable("what stands on the log of this machine is not sent again")

    async def note(self, partition: int, key: bytes, value: bytes, headers: Headers) -> None:
        """Raises a WriteError."""
        await self.put(key, value, headers)

    def _insert(self, key: bytes | None, value: bytes, headers: Headers) -> None:
        texts = json.dumps([[name, raw.decode("latin-1")] for name, raw in headers])
        with self._opened() as connection:
            connection.execute(_SCHEMA)
            connection.execute("DELETE FROM letter WHERE at < strftime('%s', 'now', ?)", (f"-{KEPT_DAYS} days",))
            row = (self.name, key, value, texts)
            connection.execute("INSERT INTO letter (topic, key, value, headers) VALUES (?, ?, ?, ?)", row)

    def _all(self) -> list[Delivery]:
        if not self._path.exists():
            return []
        with self._opened() as connection:
            connection.execute(_SCHEMA)
            sql = "SELECT number, key, value, headers FROM letter WHERE topic = ? ORDER BY number"
            rows = connection.execute(sql, (self.name,)).fetchall()
        return [
            Delivery(f"{self.name}.dlq", 0, number, key, value, _headers(texts)) for number, key, value, texts in rows
        ]

    @contextmanager
    def _opened(self) -> Iterator[sqlite3.Connection]:
        """A transaction, which is on the disk at the end of the block."""
        try:
            with closing(sqlite3.connect(self._path, timeout=WAITS_S)) as connection, connection:
                yield connection
        except sqlite3.Error as error:
            raise WriteError(f"{str(self._path)!r} could not be used: {error}") from error


def _headers(texts: str) -> Headers:
    return tuple((name, text.encode("latin-1")) for name, text in json.loads(texts))
