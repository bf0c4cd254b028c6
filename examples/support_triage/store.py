"""The company in one SQLite file: customers, tickets, the ledger of what was done, and the reviewers' queue.

Apart from the clients because it owns the file. Everything that the agent does to the world is a row of the ledger,
written together with its change under the call's idempotency key: the same key again changes nothing and gets the first
answer. `SELECT * FROM effects` is what an auditor counts.
"""

import json
import os
import sqlite3
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

FILE_VARIABLE = "SUPPORT_TRIAGE_DB"
DEFAULT_FILE = "support_triage.sqlite3"
BUSY_TIMEOUT_S = 30.0
VERSION = 1

_NOW = "strftime('%Y-%m-%dT%H:%M:%fZ', 'now')"
_SCHEMA = f"""
    CREATE TABLE customers (
        id TEXT PRIMARY KEY, email TEXT NOT NULL UNIQUE COLLATE NOCASE, name TEXT NOT NULL, plan TEXT NOT NULL,
        billing_status TEXT NOT NULL, account_status TEXT NOT NULL DEFAULT 'active',
        credit_cents INTEGER NOT NULL DEFAULT 0, created_at TEXT NOT NULL
    );
    CREATE TABLE tickets (
        id TEXT PRIMARY KEY, customer_id TEXT REFERENCES customers (id), message TEXT NOT NULL,
        status TEXT NOT NULL DEFAULT 'open', created_at TEXT NOT NULL DEFAULT ({_NOW})
    );
    CREATE TABLE ledger (
        id INTEGER PRIMARY KEY, idempotency_key TEXT NOT NULL UNIQUE, kind TEXT NOT NULL,
        customer_id TEXT NOT NULL REFERENCES customers (id),
        amount_cents INTEGER, note TEXT NOT NULL, result TEXT NOT NULL, at TEXT NOT NULL DEFAULT ({_NOW})
    );
    CREATE TABLE approval_queue (
        workflow_id TEXT NOT NULL, tool TEXT NOT NULL, args TEXT NOT NULL, ticket_id TEXT, preview TEXT,
        at TEXT NOT NULL DEFAULT ({_NOW})
    );
    CREATE VIEW customer_records AS
        SELECT id, email, name, plan, billing_status, account_status, credit_cents / 100.0 AS credit_usd,
            (SELECT count(*) FROM tickets WHERE customer_id = customers.id AND status = 'open') AS open_tickets,
            created_at, CAST(julianday('now') - julianday(created_at) AS INTEGER) AS account_age_days
        FROM customers;
    CREATE VIEW effects AS
        SELECT ledger.id, idempotency_key, kind, customer_id, email, amount_cents / 100.0 AS amount_usd, note, at
        FROM ledger JOIN customers ON customers.id = customer_id;
"""

_CUSTOMERS = (
    ("cust_123", "billing@acme.com", "Acme Corp", "pro", "current", "2023-02-14T09:00:00Z"),
    ("cust_456", "ops@globex.com", "Globex", "enterprise", "current", "2021-07-01T12:30:00Z"),
    ("cust_789", "jo@initech.com", "Jo at Initech", "starter", "past_due", "2025-11-03T16:45:00Z"),
)
_TICKETS = (
    ("T-0901", "cust_123", "How do I add a colleague?", "resolved", "2026-01-12T10:00:00Z"),
    ("T-0944", "cust_123", "The invoice of March shows the plan twice", "resolved", "2026-03-04T08:15:00Z"),
    ("T-0950", "cust_456", "Exports larger than 2 GB time out", "resolved", "2026-03-09T14:20:00Z"),
    ("T-0972", "cust_789", "My card was declined", "resolved", "2026-04-02T11:05:00Z"),
)

Change = Callable[[sqlite3.Connection], dict[str, Any]]
"""Makes a change inside the transaction, and says what to answer."""


class SupportError(ValueError):
    """What the company's systems refuse; the text is for the agent to read."""


@dataclass(frozen=True, slots=True)
class Entry:
    """What is to be done, once under its key."""

    idempotency_key: str
    kind: str
    customer_id: str
    note: str
    amount_cents: int | None = None


class Store:
    """One file, opened anew for each piece of work, so that threads and processes may share it."""

    def __init__(self, path: Callable[[], Path]) -> None:
        self._path = path

    @contextmanager
    def reading(self) -> Iterator[sqlite3.Connection]:
        """A connection; its rows have names. A new file gets the schema and a few customers."""
        with closing(sqlite3.connect(self._path(), timeout=BUSY_TIMEOUT_S, isolation_level=None)) as connection:
            connection.row_factory = sqlite3.Row
            connection.execute("PRAGMA foreign_keys = ON")
            if _version(connection) < VERSION:
                with _transaction(connection):
                    _create(connection)
            yield connection

    @contextmanager
    def writing(self) -> Iterator[sqlite3.Connection]:
        """The same in one transaction: all of it happens, or nothing."""
        with self.reading() as connection, _transaction(connection):
            yield connection

    def once(self, entry: Entry, change: Change) -> dict[str, Any]:
        """Make the change and remember it, or give the answer of the first time. Raises SupportError."""
        with self.writing() as connection:
            if known := _answered(connection, entry):
                return known
            if not connection.execute("SELECT 1 FROM customers WHERE id = ?", [entry.customer_id]).fetchone():
                raise SupportError(f"there is no customer {entry.customer_id!r}; look the customer up by email first")
            result = change(connection)
            connection.execute(
                "INSERT INTO ledger (idempotency_key, kind, customer_id, amount_cents, note, result) "
                "VALUES (?, ?, ?, ?, ?, ?)",
                [*_identity(entry), json.dumps(result)],
            )
            return result


def file_from_environment() -> Path:
    """Where the file is: SUPPORT_TRIAGE_DB, else ./support_triage.sqlite3."""
    return Path(os.environ.get(FILE_VARIABLE, DEFAULT_FILE))


def _answered(connection: sqlite3.Connection, entry: Entry) -> dict[str, Any] | None:
    row = connection.execute(
        "SELECT idempotency_key, kind, customer_id, amount_cents, note, result FROM ledger WHERE idempotency_key = ?",
        [entry.idempotency_key],
    ).fetchone()
    if row is None:
        return None
    *identity, result = row
    if tuple(identity) != _identity(entry):
        raise SupportError(f"the idempotency key {entry.idempotency_key!r} was used for another {row['kind']}")
    answer: dict[str, Any] = json.loads(result)
    return answer


def _identity(entry: Entry) -> tuple[str | int | None, ...]:
    return entry.idempotency_key, entry.kind, entry.customer_id, entry.amount_cents, entry.note


@contextmanager
def _transaction(connection: sqlite3.Connection) -> Iterator[None]:
    connection.execute("BEGIN IMMEDIATE")
    try:
        yield
    except BaseException:
        connection.execute("ROLLBACK")
        raise
    connection.execute("COMMIT")


def _version(connection: sqlite3.Connection) -> int:
    return int(connection.execute("PRAGMA user_version").fetchone()[0])


def _create(connection: sqlite3.Connection) -> None:
    if _version(connection) == VERSION:  # another process was first
        return
    for statement in filter(str.strip, _SCHEMA.split(";\n")):
        connection.execute(statement)
    connection.executemany(
        "INSERT INTO customers (id, email, name, plan, billing_status, created_at) VALUES (?, ?, ?, ?, ?, ?)",
        _CUSTOMERS,
    )
    connection.executemany(
        "INSERT INTO tickets (id, customer_id, message, status, created_at) VALUES (?, ?, ?, ?, ?)", _TICKETS
    )
    connection.execute(f"PRAGMA user_version = {VERSION}")
