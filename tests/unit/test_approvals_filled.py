"""A view that is restored: it is written by another thread, behind who reads, and read when all is there."""

from pathlib import Path

import pytest

from agentspan_approvals.adapters import sqlite_store
from agentspan_approvals.adapters.sqlite_store import SqliteApprovalStore
from agentspan_approvals.ports import Kept
from agentspan_approvals.restoring import FILLED_AT_ONCE
from agentspan_schemas.codec import encode
from tests.unit.test_approvals_entries import PENDING

SQLITE_TAKES = 32_766
"""Values in one statement, unless it was built for more."""


def lot(number: int, size: int) -> list[Kept]:
    requests = [PENDING.model_copy(update={"approval_id": f"exec-{number}-{n}.1-0"}) for n in range(size)]
    return [Kept.of(request, encode(request)) for request in requests]


def test_lots_that_wait_are_all_there_when_the_view_is_read(tmp_path: Path) -> None:
    store = SqliteApprovalStore(tmp_path / "approvals.sqlite3")
    for number in range(3 * sqlite_store.FILLED_AHEAD):
        store.fill(0, lot(number, 50))
    found = {request.approval_id for request in store.of(0)}
    store.close()
    assert len(found) == 3 * sqlite_store.FILLED_AHEAD * 50


def test_a_view_made_anew_has_nothing_of_lots_that_waited_for_the_damaged_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = SqliteApprovalStore(tmp_path / "approvals.sqlite3")
    store.open("log-1")
    for number in range(2):
        store.fill(0, lot(number, 50))
    monkeypatch.setattr(store, "_is_damaged", True)
    store.open("log-1")
    assert list(store.of(0)) == []
    store.close()


def test_a_lot_fits_a_statement() -> None:
    assert FILLED_AT_ONCE * (len(Kept._fields) + 1) <= SQLITE_TAKES
