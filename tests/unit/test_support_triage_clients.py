"""The company's systems: what they answer, what they refuse, and that the same call twice acts once."""

import sqlite3
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from agentspan.agents import ToolContext
from agentspan.agents._context import context_set
from examples.support_triage.clients import accounts_api, billing_api, db, support_api
from examples.support_triage.store import SupportError


@pytest.fixture(autouse=True)
def file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    path = tmp_path / "support.sqlite3"
    monkeypatch.setenv("SUPPORT_TRIAGE_DB", str(path))
    return path


@contextmanager
def call(key: str) -> Iterator[None]:
    """As a tool call with this idempotency key."""
    with context_set(ToolContext("exec-1", "support_agent", "2-0", 1, key)):
        yield


def effects(file: Path) -> list[tuple[Any, ...]]:
    connection = sqlite3.connect(file)
    try:
        return connection.execute("SELECT kind, customer_id, amount_usd FROM effects ORDER BY id").fetchall()
    finally:
        connection.close()


def refund(amount_usd: float = 99.0, customer_id: str = "cust_123") -> dict[str, Any]:
    return billing_api.refund(customer_id=customer_id, amount=amount_usd, reason="duplicate charge")


def test_a_customer_is_found_by_email_with_what_an_agent_asks_for() -> None:
    found = db.customers.find_one({"email": "Billing@acme.com"})
    assert found is not None
    assert (found["id"], found["plan"], found["billing_status"], found["open_tickets"]) == (
        "cust_123",
        "pro",
        "current",
        0,
    )
    assert found["account_age_days"] > 0


def test_an_unknown_customer_is_none() -> None:
    assert db.customers.find_one({"email": "nobody@example.com"}) is None


def test_the_ticket_history_is_newest_first_and_cut() -> None:
    newest = db.tickets.find({"customer_id": "cust_123"}).sort("created_at", -1)
    assert [ticket["id"] for ticket in newest.limit(10)] == ["T-0944", "T-0901"]
    assert len(newest.limit(1)) == 1


def test_a_field_that_there_is_not_is_refused() -> None:
    with pytest.raises(SupportError, match="no field 'mail'"):
        db.customers.find_one({"mail": "billing@acme.com"})


def test_the_same_refund_twice_is_one_refund_with_one_answer(file: Path) -> None:
    with call("exec-1.2-0"):
        assert refund() == refund() == {"status": "refunded", "customer_id": "cust_123", "amount_usd": 99.0}
    assert effects(file) == [("refund", "cust_123", 99.0)]


def test_the_same_refund_at_once_in_many_threads_is_one_refund(file: Path) -> None:
    def once(_: int) -> dict[str, Any]:
        with call("exec-1.2-0"):
            return refund()

    with ThreadPoolExecutor(8) as pool:
        answers = list(pool.map(once, range(8)))
    assert answers == [answers[0]] * 8
    assert effects(file) == [("refund", "cust_123", 99.0)]


def test_credit_suspension_and_reply_happen_once_too(file: Path) -> None:
    for _ in range(2):
        with call("credit"):
            credited = billing_api.credit(customer_id="cust_456", amount=16.5, note="outage")
        with call("suspension"):
            suspended = accounts_api.suspend(customer_id="cust_456", reason="stolen")
        with call("reply"):
            sent = support_api.send(customer_id="cust_456", message="Done.", status="resolved")
    assert credited["credit_usd"] == 16.5
    assert suspended["status"] == "suspended"
    assert sent["status"] == "sent"
    assert [kind for kind, *_ in effects(file)] == ["credit", "suspension", "reply"]
    customer = db.customers.find_one({"id": "cust_456"})
    assert customer is not None
    assert (customer["credit_usd"], customer["account_status"]) == (16.5, "suspended")


def test_other_keys_are_other_refunds(file: Path) -> None:
    with call("a"):
        refund()
    with call("b"):
        refund()
    assert len(effects(file)) == 2


def test_without_a_call_every_refund_is_a_new_one(file: Path) -> None:
    refund()
    refund()
    assert len(effects(file)) == 2


def test_a_key_that_was_used_for_something_else_is_refused(file: Path) -> None:
    with call("a"):
        refund(99.0)
        with pytest.raises(SupportError, match="was used for another refund"):
            refund(9.0)
    assert effects(file) == [("refund", "cust_123", 99.0)]


@pytest.mark.parametrize("amount_usd", [0, -5, 0.004, float("nan"), float("inf")])
def test_what_is_no_amount_is_refused(file: Path, amount_usd: float) -> None:
    with pytest.raises(SupportError, match="is no amount"):
        refund(amount_usd)
    assert not file.exists()


def test_an_unknown_customer_gets_nothing(file: Path) -> None:
    with pytest.raises(SupportError, match="no customer 'cust_0'"):
        refund(customer_id="cust_0")
    assert effects(file) == []


def test_a_change_that_is_refused_leaves_nothing_behind(file: Path) -> None:
    accounts_api.suspend(customer_id="cust_789", reason="stolen")
    with pytest.raises(SupportError, match="suspended already"):
        accounts_api.suspend(customer_id="cust_789", reason="stolen")
    assert len(effects(file)) == 1


def test_a_reply_resolves_the_newest_open_ticket() -> None:
    support_api.open("T-1", "billing@acme.com", "Help")
    support_api.open("T-1", "billing@acme.com", "Help")
    customer = db.customers.find_one({"id": "cust_123"})
    assert customer is not None
    assert customer["open_tickets"] == 1
    assert support_api.send(customer_id="cust_123", message="Done.", status="resolved")["ticket_id"] == "T-1"
    [ticket] = db.tickets.find({"id": "T-1"}).limit(1)
    assert ticket["status"] == "resolved"
