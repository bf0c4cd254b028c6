"""The list of requests in pages: an approver sees each of many once, whatever is decided while they read."""

import base64
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime, timedelta
from typing import Any

import httpx
import pytest

from agentspan.eventlog import BEGINNING
from agentspan.eventlog.memory import MemoryLog
from agentspan_approvals.adapters.sqlite_store import SqliteApprovalStore
from agentspan_approvals.api import router
from agentspan_approvals.ports import Search
from agentspan_approvals.service import Approvals
from agentspan_doors import create_app
from agentspan_schemas.approvals import ApprovalRecord
from tests.unit.cli_server import record

T0 = datetime(2026, 5, 1, 10, tzinfo=UTC)
COUNT = 750


def request(number: int, **changes: Any) -> ApprovalRecord:
    """Three are asked for at each moment, so that the second half of the order decides."""
    at = T0 + timedelta(milliseconds=250 * (number // 3))
    id_ = f"exec-{number:05}"
    return record("1-0", approval_id=f"{id_}.1-0", execution_id=id_, requested_at=at, **changes)


@pytest.fixture
def store() -> Iterator[SqliteApprovalStore]:
    store = SqliteApprovalStore(":memory:")
    yield store
    store.close()


@pytest.fixture
def people(store: SqliteApprovalStore) -> httpx.AsyncClient:
    approvals = Approvals(log=MemoryLog(1), commands=None, store=store)  # type: ignore[arg-type]  # nobody decides
    store.put(0, [request(number) for number in reversed(range(COUNT))], BEGINNING)
    transport = httpx.ASGITransport(create_app([router(approvals)]))
    return httpx.AsyncClient(transport=transport, base_url="http://127.0.0.1:6767/api/v1")


async def page(people: httpx.AsyncClient, **query: str) -> Mapping[str, Any]:
    reply = await people.get("/approvals", params=query)
    assert reply.status_code == 200, reply.text
    found: Mapping[str, Any] = reply.json()
    return found


async def test_pages_follow_one_another_without_gap_or_repetition_while_calls_are_decided(
    people: httpx.AsyncClient, store: SqliteApprovalStore
) -> None:
    seen: list[str] = []
    sizes: list[int] = []
    cursor: str | None = None
    while not sizes or cursor is not None:
        found = await page(people, state="pending", limit="100", **({"cursor": cursor} if cursor else {}))
        seen += [item["execution_id"] for item in found["items"]]
        sizes.append(len(found["items"]))
        cursor = found["cursor"]
        store.put(0, [request(number, state="approved") for number in (0, len(seen) - 1)], BEGINNING)
    assert seen == [f"exec-{number:05}" for number in range(COUNT)]
    assert sizes == [100] * 7 + [50]


async def test_a_page_has_100_unless_it_is_asked_for_more_or_less(people: httpx.AsyncClient) -> None:
    assert len((await page(people))["items"]) == 100
    assert len((await page(people, limit="500"))["items"]) == 500
    assert len((await page(people, limit="1000"))["items"]) == COUNT
    for beyond in ("0", "1001"):
        assert (await people.get("/approvals", params={"limit": beyond})).status_code == 422


async def test_a_page_that_ends_with_the_list_has_no_cursor(people: httpx.AsyncClient) -> None:
    assert (await page(people, execution_id="exec-00007", limit="1"))["cursor"] is None


NESTED = base64.urlsafe_b64encode(b"[" * 5_000).decode()
HALF = base64.urlsafe_b64encode(rb'["2026-05-01T10:00:00Z", "exec-\ud83d"]').decode()
"""The second part ends with the first half of an emoji."""


@pytest.mark.parametrize("cursor", ["x", "bm9uZQ", "WzEsMl0", "é", NESTED, HALF])
async def test_what_is_no_cursor_is_refused(people: httpx.AsyncClient, cursor: str) -> None:
    reply = await people.get("/approvals", params={"cursor": cursor})
    assert reply.status_code == 422
    assert (reply.json()["code"], reply.json()["field"]) == ("bad_cursor", "cursor")
    assert "ask again without it" in reply.json()["detail"]


async def test_all_requests_of_an_execution_are_known_however_many(store: SqliteApprovalStore) -> None:
    """The service folds each event into them: one that is not found would never be decided."""
    many = [record(f"1-{number}") for number in range(250)]
    store.put(0, many, BEGINNING)
    assert len(store.search(Search(execution_id=many[0].execution_id))) == 250
    for execution in (f"exec-{number}" for number in range(600)):  # until it is no more in memory
        store.search(Search(execution_id=execution))
    assert len(store.search(Search(execution_id=many[0].execution_id))) == 250
