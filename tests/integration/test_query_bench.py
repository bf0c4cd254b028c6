"""The history that `make bench-history` makes is one that the projection could have written."""

from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from pathlib import Path

from agentspan_query.adapters.clickhouse import Database
from agentspan_query.adapters.history import ClickHouseHistory
from agentspan_query.adapters.migrations import migrate
from agentspan_query.domain.filters import ExecutionFilter
from agentspan_schemas.codec import EVENTS
from bench.history_rows import EVENTS_EACH, MONTHS, insert_events, insert_executions, month_start, slices
from tests.support.query_history import running_child

EXECUTIONS = 240


async def test_the_made_history_reads_like_a_real_one(tmp_path: Path) -> None:
    async with running_child(tmp_path) as child:
        with ThreadPoolExecutor(2) as threads:
            database = Database(child.address, threads)
            await migrate(database)
            for part in slices(EXECUTIONS, 20, 5):
                await database.command(insert_events(part))
                await database.command(insert_executions(part, waiting=True))
                await database.command(insert_executions(part, waiting=False))
            history = ClickHouseHistory(database)
            counts = await history.status_counts(ExecutionFilter())
            assert sum(counts.values()) == EXECUTIONS
            assert set(counts) == {"completed", "failed", "waiting"}
            for month in range(MONTHS):
                chosen = ExecutionFilter(since=month_start(month), until=month_start(month + 1))
                assert sum((await history.status_counts(chosen)).values()) == EXECUTIONS // MONTHS
            for item in (await history.executions(ExecutionFilter(), limit=30)).items:
                events = [EVENTS.decode(each.payload.encode()) for each in await history.events(item.execution_id)]
                assert [event.seq for event in events] == list(range(1, EVENTS_EACH + 1))
                assert {event.execution_id for event in events} == {item.execution_id}
                assert {(event.agent, event.started_at) for event in events} == {(item.agent, item.started_at)}
                assert (events[-1].status, events[-1].at) == (item.status, item.updated_at)
                assert item.updated_at == item.started_at + timedelta(seconds=EVENTS_EACH)
                assert (await history.execution(item.execution_id)) is not None
            database.close()
