"""What waits for a person, as lists have it: with the calls that wait, and those first that have waited longest."""

from datetime import timedelta

import pytest

from agentspan_query.adapters.clickhouse import Database
from agentspan_query.adapters.history import ClickHouseHistory
from agentspan_query.adapters.sink import ClickHouseSink
from agentspan_query.domain.filters import ExecutionFilter
from tests.support.query_history import T0, History, store

pytestmark = pytest.mark.asyncio(loop_scope="module")
OLDEST = ExecutionFilter(statuses=("waiting",), oldest_first=True)


async def ids(history: ClickHouseHistory, chosen: ExecutionFilter, limit: int) -> list[str]:
    """Of all pages."""
    seen, cursor, is_first = list[str](), None, True
    while is_first or cursor is not None:
        page = await history.executions(chosen, cursor=cursor, limit=limit)
        seen += [item.execution_id for item in page.items]
        cursor, is_first = page.cursor, False
    return seen


@pytest.mark.parametrize("limit", [1, 4, 100])
async def test_the_oldest_stand_first_page_by_page(
    sink: ClickHouseSink, history: ClickHouseHistory, limit: int
) -> None:
    # three share each start, so that the second half of the order decides
    told = [History(f"exec-{n:02}", started_at=T0 + timedelta(microseconds=n // 3)).started() for n in range(10)]
    for each in told[2:]:
        each.waiting()
    await store(sink, told)
    assert await ids(history, OLDEST, limit) == [f"exec-{n:02}" for n in range(2, 10)]
    narrow = ExecutionFilter(agent="support", since=T0, until=T0 + timedelta(days=1), oldest_first=True)
    assert await ids(history, narrow, limit) == [f"exec-{n:02}" for n in range(10)]


async def test_the_oldest_are_found_behind_any_number_of_past_states(
    sink: ClickHouseSink, history: ClickHouseHistory, database: Database
) -> None:
    await database.command("SYSTEM STOP MERGES")
    told = [History(f"exec-{n:03}", started_at=T0 + timedelta(seconds=n)).started().waiting() for n in range(200)]
    offset = await store(sink, told)
    await store(sink, [each.done() for each in told[:-3]], offset=offset)
    assert await ids(history, OLDEST, 1) == ["exec-197", "exec-198", "exec-199"]
    await database.command("SYSTEM START MERGES")


async def test_each_comes_with_the_calls_that_it_waits_with(sink: ClickHouseSink, history: ClickHouseHistory) -> None:
    two = History("exec-a").started().called().waiting("suspend", call_id="1-1", args={"n": 1}, expires_s=60)
    two.waiting("issue_refund", call_id="1-0", args={"amount_usd": 5})
    doubt = History("exec-b", started_at=T0 + timedelta(days=40)).started().waiting(call_id="1-0").rejected("1-0")
    doubt.waiting(call_id="1-1").in_doubt("1-1", {"amount_usd": 7})
    await store(sink, [two, doubt, History("exec-c").started().waiting()])
    page = await history.executions(OLDEST)
    pending = await history.pending([view for view in page.items if view.execution_id != "exec-c"])
    assert {name: [(call.call_id, call.tool, call.args) for call in calls] for name, calls in pending.items()} == {
        "exec-a": [("1-1", "suspend", {"n": 1}), ("1-0", "issue_refund", {"amount_usd": 5})],
        "exec-b": [("1-1", "issue_refund", {"amount_usd": 7})],
    }
    expires = [call.expires_at and call.expires_at - call.since for call in pending["exec-a"]]
    assert expires == [timedelta(seconds=60), None]
    assert pending["exec-a"][0].since == T0 + timedelta(seconds=3)
    assert pending["exec-b"][0].doubt is not None
    assert await history.pending([]) == {}
