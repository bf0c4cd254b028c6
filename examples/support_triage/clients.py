"""The company's systems as its agent sees them: a document store to read, and three services that act.

Apart from the store because these are the shapes that the agent's tools call. Every action is done once under the
idempotency key of the tool call that it serves, which the context has although no tool's signature names it.
"""

import math
import sqlite3
import uuid
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from agentspan.agents import AgentspanError, current_context

from .store import Entry, Store, SupportError, file_from_environment

Document = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Query:
    """Documents to fetch: nothing is read before `limit`."""

    collection: "Collection"
    where: Mapping[str, Any]
    order: str = ""

    def sort(self, field_name: str, direction: int) -> "Query":
        """Ordered by a field, upwards (1) or downwards (-1)."""
        return replace(
            self, order=f" ORDER BY {self.collection.known(field_name)} {'DESC' if direction < 0 else 'ASC'}"
        )

    def limit(self, count: int) -> list[Document]:
        """At most so many of them."""
        return self.collection.fetch(self.where, self.order, count)


@dataclass(frozen=True, slots=True)
class Collection:
    """Documents of one kind."""

    store: Store
    table: str
    fields: tuple[str, ...]

    def find_one(self, where: Mapping[str, Any]) -> Document | None:
        """The first that has these values, or None."""
        return next(iter(self.fetch(where, "", 1)), None)

    def find(self, where: Mapping[str, Any]) -> Query:
        """Those that have these values."""
        return Query(self, where)

    def fetch(self, where: Mapping[str, Any], order: str, count: int) -> list[Document]:
        """Read them."""
        condition = " AND ".join(f"{self.known(name)} = ?" for name in where) or "1"
        statement = f"SELECT {', '.join(self.fields)} FROM {self.table} WHERE {condition}{order} LIMIT ?"
        with self.store.reading() as connection:
            return [dict(row) for row in connection.execute(statement, [*where.values(), count])]

    def known(self, field_name: str) -> str:
        """The field's name. Raises SupportError where there is none such."""
        if field_name not in self.fields:
            raise SupportError(f"{self.table} have no field {field_name!r}; they have {', '.join(self.fields)}")
        return field_name


@dataclass(frozen=True, slots=True)
class Db:
    """The document store."""

    store: Store
    customers: Collection = field(init=False)
    tickets: Collection = field(init=False)

    def __post_init__(self) -> None:
        state = ("plan", "billing_status", "account_status", "credit_usd", "open_tickets")
        fields = ("id", "email", "name", *state, "created_at", "account_age_days")
        object.__setattr__(self, "customers", Collection(self.store, "customer_records", fields))
        tickets = ("id", "customer_id", "message", "status", "created_at")
        object.__setattr__(self, "tickets", Collection(self.store, "tickets", tickets))


@dataclass(frozen=True, slots=True)
class SupportApi:
    """Tickets and replies."""

    store: Store

    def open(self, ticket_id: str, email: str, message: str) -> None:
        """A ticket came in; the same one again changes nothing."""
        with self.store.writing() as connection:
            connection.execute(
                "INSERT OR IGNORE INTO tickets (id, customer_id, message) "
                "VALUES (?, (SELECT id FROM customers WHERE email = ?), ?)",
                [ticket_id, email, message],
            )

    def send(self, *, customer_id: str, message: str, status: str) -> Document:
        """Send a reply, and give the customer's newest open ticket this status."""

        def change(connection: sqlite3.Connection) -> Document:
            row = connection.execute(
                "UPDATE tickets SET status = ? WHERE id = (SELECT id FROM tickets "
                "WHERE customer_id = ? AND status = 'open' ORDER BY created_at DESC, id DESC LIMIT 1) RETURNING id",
                [status, customer_id],
            ).fetchone()
            return {"status": "sent", "customer_id": customer_id, "ticket_id": row["id"] if row else None}

        return self.store.once(Entry(idempotency_key(), "reply", customer_id, message), change)


@dataclass(frozen=True, slots=True)
class BillingApi:
    """Money."""

    store: Store

    def refund(self, *, customer_id: str, amount: float, reason: str) -> Document:
        """Pay money back."""
        answer = {"status": "refunded", "customer_id": customer_id, "amount_usd": amount}
        return self.store.once(
            Entry(idempotency_key(), "refund", customer_id, reason, cents(amount)), lambda connection: answer
        )

    def credit(self, *, customer_id: str, amount: float, note: str) -> Document:
        """Add to the account's credit."""

        def change(connection: sqlite3.Connection) -> Document:
            row = connection.execute(
                "UPDATE customers SET credit_cents = credit_cents + ? WHERE id = ? RETURNING credit_cents",
                [cents(amount), customer_id],
            ).fetchone()
            return {"status": "credited", "customer_id": customer_id, "credit_usd": row["credit_cents"] / 100}

        return self.store.once(Entry(idempotency_key(), "credit", customer_id, note, cents(amount)), change)


@dataclass(frozen=True, slots=True)
class AccountsApi:
    """Accounts."""

    store: Store

    def suspend(self, *, customer_id: str, reason: str) -> Document:
        """Lock an account; one that is locked already is refused."""

        def change(connection: sqlite3.Connection) -> Document:
            changed = connection.execute(
                "UPDATE customers SET account_status = 'suspended' WHERE id = ? AND account_status = 'active'",
                [customer_id],
            )
            if not changed.rowcount:
                raise SupportError(f"account {customer_id!r} is suspended already")
            return {"status": "suspended", "customer_id": customer_id}

        return self.store.once(Entry(idempotency_key(), "suspension", customer_id, reason), change)


def idempotency_key() -> str:
    """The key of the tool call under way; outside of one, a fresh key."""
    try:
        return current_context().idempotency_key
    except AgentspanError:
        return uuid.uuid4().hex


def cents(amount_usd: float) -> int:
    """Whole cents. Raises SupportError for what is no amount to pay."""
    if not math.isfinite(amount_usd) or round(amount_usd * 100) <= 0:
        raise SupportError(f"{amount_usd!r} is no amount in US dollars; it is at least 0.01")
    return round(amount_usd * 100)


STORE = Store(file_from_environment)

db = Db(STORE)
support_api = SupportApi(STORE)
billing_api = BillingApi(STORE)
accounts_api = AccountsApi(STORE)
