"""The shop's database in one SQLite file, where each ticket works on its own copy.

Apart from the rules because it owns the file: rows under the ticket '' are the shop as it was, rows under a ticket's
id are the records which that ticket has changed. A change and the row in `effects` that remembers it under its
idempotency key are one transaction, so a call that comes twice changes once and is answered the same; an auditor
counts those rows. Tools run in several threads and processes: a lock keeps the threads apart, SQLite the processes.
"""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from threading import Lock
from typing import Any, Final

from .data import DATA, load_database
from .lookups import LOOKUPS
from .records import (
    Answer,
    Changes,
    Database,
    KeyReused,
    Kind,
    NoTicket,
    Order,
    Product,
    User,
    differences,
    not_found,
)
from .shop import CHANGES

_BASE: Final = ""
_BUSY_TIMEOUT_S: Final = 30.0
_SCHEMA: Final = """
    CREATE TABLE IF NOT EXISTS records (
        ticket TEXT NOT NULL, kind TEXT NOT NULL, id TEXT NOT NULL, body TEXT NOT NULL,
        PRIMARY KEY (kind, id, ticket)
    ) WITHOUT ROWID;
    CREATE INDEX IF NOT EXISTS records_of_ticket ON records (ticket, kind);
    CREATE TABLE IF NOT EXISTS effects (
        idempotency_key TEXT PRIMARY KEY, ticket TEXT NOT NULL, tool TEXT NOT NULL, args TEXT NOT NULL,
        result TEXT NOT NULL
    );
    CREATE INDEX IF NOT EXISTS effects_of_ticket ON effects (ticket);
"""


@dataclass(frozen=True, slots=True)
class Effect:
    """One change that was made, once, under its key."""

    idempotency_key: str
    ticket: str
    tool: str
    args: Mapping[str, Any]
    result: Any


class ShopStore:
    """The shop's file. Safe to use from several threads and processes at once.

    A new file is filled from the data folder. Writes are on disk (fsync) before a call is answered.
    """

    def __init__(self, path: Path, data: Path = DATA) -> None:
        self._lock = Lock()
        self._db = sqlite3.connect(path, timeout=_BUSY_TIMEOUT_S, isolation_level=None, check_same_thread=False)
        self._db.execute("PRAGMA journal_mode=WAL")
        self._db.execute("PRAGMA synchronous=FULL")
        with self._transaction() as db:
            _create(db, data)

    def lookup(self, ticket: str, tool: str, args: Mapping[str, object]) -> Answer:
        """Answer a call that changes nothing, from the ticket's copy. Raises ShopError when it is refused."""
        _require_ticket(ticket)
        with self._lock:
            return LOOKUPS[tool](TicketShop(self._db, ticket), **args)

    def change(self, ticket: str, idempotency_key: str, tool: str, args: Mapping[str, object]) -> Answer:
        """Do once what the call asks for; under a key that was seen before, only repeat the answer.

        Raises ShopError when the call is refused; then nothing has changed and the key is still unused.
        """
        _require_ticket(ticket)
        wanted = (ticket, tool, _dump(args))
        with self._transaction() as db:
            seen = db.execute(
                "SELECT ticket, tool, args, result FROM effects WHERE idempotency_key = ?", (idempotency_key,)
            ).fetchone()
            if seen is not None:
                return _repeated(idempotency_key, seen, wanted)
            change = CHANGES[tool](TicketShop(db, ticket), **args)
            _write(db, ticket, "orders", change.orders)
            _write(db, ticket, "users", change.users)
            row = (idempotency_key, *wanted, _dump(change.answer))
            db.execute("INSERT INTO effects VALUES (?, ?, ?, ?, ?)", row)
            return change.answer

    def changes(self, ticket: str) -> Changes:
        """The records of the ticket's copy that differ from the shop as it was."""
        with self._lock:
            orders: dict[str, Order] = _changed_records(self._db, ticket, "orders")
            users: dict[str, User] = _changed_records(self._db, ticket, "users")
            base = TicketShop(self._db, _BASE)
            touched = Database(
                orders={key: base.order(key) for key in orders},
                users={key: base.user(key) for key in users},
                products={},
            )
        return differences(touched, orders, users)

    def effects(self, ticket: str | None = None) -> tuple[Effect, ...]:
        """The changes made so far, oldest first; of one ticket, or of all."""
        with self._lock:
            rows = self._db.execute(
                "SELECT idempotency_key, ticket, tool, args, result FROM effects"
                " WHERE ?1 IS NULL OR ticket = ?1 ORDER BY rowid",
                (ticket,),
            ).fetchall()
        return tuple(
            Effect(key, owner, tool, json.loads(args), json.loads(result)) for key, owner, tool, args, result in rows
        )

    def close(self) -> None:
        with self._lock:
            self._db.close()

    @contextmanager
    def _transaction(self) -> Iterator[sqlite3.Connection]:
        # IMMEDIATE: what is read inside is still true when it is written, also against other processes
        with self._lock:
            self._db.execute("BEGIN IMMEDIATE")
            try:
                yield self._db
                self._db.execute("COMMIT")
            except BaseException:
                if self._db.in_transaction:
                    self._db.execute("ROLLBACK")
                raise


class TicketShop:
    """One ticket's view of the file: its own rows over the shop's."""

    def __init__(self, db: sqlite3.Connection, ticket: str) -> None:
        self._db = db
        self._ticket = ticket

    def order(self, order_id: str) -> Order:
        order: Order = self._record("orders", order_id)
        return order

    def user(self, user_id: str) -> User:
        user: User = self._record("users", user_id)
        return user

    def users(self) -> Iterable[tuple[str, User]]:
        return self._records("users").items()

    def product(self, product_id: str) -> Product:
        product: Product = self._record("products", product_id)
        return product

    def products(self) -> Iterable[Product]:
        return self._records("products").values()

    def _record(self, kind: Kind, key: str) -> Any:
        row = self._db.execute(
            "SELECT body FROM records WHERE kind = ? AND id = ? AND ticket IN (?, ?) ORDER BY ticket DESC LIMIT 1",
            (kind, key, _BASE, self._ticket),
        ).fetchone()
        if row is None:
            raise not_found(kind, key)
        return json.loads(row[0])

    def _records(self, kind: Kind) -> dict[str, Any]:
        rows = self._db.execute(
            "SELECT id, body FROM records WHERE kind = ? AND ticket IN (?, ?) ORDER BY ticket",
            (kind, _BASE, self._ticket),
        )
        return {key: json.loads(body) for key, body in rows}


def _create(db: sqlite3.Connection, data: Path) -> None:
    for statement in _SCHEMA.split(";"):  # executescript would commit on its own
        db.execute(statement)
    if db.execute("SELECT 1 FROM records LIMIT 1").fetchone() is None:
        database = load_database(data)
        _write(db, _BASE, "users", database["users"])
        _write(db, _BASE, "orders", database["orders"])
        _write(db, _BASE, "products", database["products"])


def _write(db: sqlite3.Connection, ticket: str, kind: Kind, records: Mapping[str, Order | User | Product]) -> None:
    db.executemany(
        "INSERT OR REPLACE INTO records (ticket, kind, id, body) VALUES (?, ?, ?, ?)",
        [(ticket, kind, key, _dump(record)) for key, record in records.items()],
    )


def _changed_records(db: sqlite3.Connection, ticket: str, kind: Kind) -> Any:
    rows = db.execute("SELECT id, body FROM records WHERE ticket = ? AND kind = ? ORDER BY id", (ticket, kind))
    return {key: json.loads(body) for key, body in rows}


def _repeated(idempotency_key: str, seen: tuple[str, str, str, str], wanted: tuple[str, str, str]) -> Answer:
    if seen[:3] != wanted:
        raise KeyReused(
            f"Error: idempotency key {idempotency_key!r} belongs to a call of {seen[1]!r} with other arguments:"
            " use a new key for a new call"
        )
    answer: Answer = json.loads(seen[3])
    return answer


def _require_ticket(ticket: str) -> None:
    if ticket == _BASE:
        raise NoTicket("Error: this run belongs to no ticket: start it with metadata={'ticket_id': ...}")


def _dump(value: object) -> str:
    return json.dumps(value, ensure_ascii=False, separators=(",", ":"))
