"""History in ClickHouse: what is written is what is read, whatever is written twice."""

import asyncio
import gc
import weakref
from concurrent.futures import Executor
from datetime import timedelta

import pytest

from agentspan.eventlog import Position
from agentspan_query.adapters.clickhouse import Database
from agentspan_query.adapters.clickhouse_child import ClickHouseChild
from agentspan_query.adapters.history import ClickHouseHistory
from agentspan_query.adapters.migrations import Migration, known, migrate
from agentspan_query.adapters.sink import ClickHouseSink
from agentspan_query.domain.filters import ExecutionFilter
from agentspan_query.domain.rows import PREVIEW_CHARS, EventRow, event_row
from agentspan_query.errors import BadCursor, HistoryFailed, HistoryUnavailable, MigrationError, RowsRefused
from agentspan_schemas import Failure
from agentspan_schemas.codec import EVENTS
from tests.support.query_history import T0, History, store

pytestmark = pytest.mark.asyncio(loop_scope="module")


async def test_one_execution_is_read_as_its_events_tell_it(sink: ClickHouseSink, history: ClickHouseHistory) -> None:
    told = History("exec-a").started("p" * 1000).waiting().done({"refunded": True})
    await store(sink, [told])
    view = await history.execution("exec-a")
    assert view is not None
    assert (view.status, view.seq, view.prompt, view.output) == ("completed", 3, "p" * 1000, {"refunded": True})
    assert (view.requested_by, view.source, view.key) == ("user:ada", "zendesk", "ticket of exec-a")
    assert (view.started_at, view.finished_at) == (T0, T0 + timedelta(seconds=3))
    assert view.metadata == {"tier": "gold"}


async def test_an_unknown_execution_is_none(history: ClickHouseHistory) -> None:
    assert await history.execution("exec-none") is None
    assert await history.events("exec-none") == []


async def test_events_come_back_byte_for_byte_in_order_and_from_any_seq(
    sink: ClickHouseSink, history: ClickHouseHistory
) -> None:
    told = History("exec-a").started().waiting().waiting().done()
    await store(sink, [told, History("exec-b").started()])
    stored = await history.events("exec-a")
    assert [EVENTS.decode(event.payload.encode()) for event in stored] == told.events
    assert [event.type for event in stored] == ["started", "waiting", "waiting", "done"]
    assert [event.seq for event in await history.events("exec-a", after=2)] == [3, 4]
    assert [event.seq for event in await history.events("exec-a", after=1, limit=2)] == [2, 3]
    assert await history.events("exec-a", after=2**32) == []


async def test_what_is_written_again_in_other_batches_is_there_once(
    sink: ClickHouseSink, history: ClickHouseHistory
) -> None:
    first, second = History("exec-a").started().waiting(), History("exec-b").started().done()
    await store(sink, [first, second])
    await store(sink, [first])
    await store(sink, [first, second])
    await store(sink, [second], offset=2)
    assert [event.seq for event in await history.events("exec-a")] == [1, 2]
    page = await history.executions(ExecutionFilter())
    assert sorted((item.execution_id, item.status) for item in page.items) == [
        ("exec-a", "waiting"),
        ("exec-b", "completed"),
    ]
    assert await history.status_counts(ExecutionFilter()) == {"waiting": 1, "completed": 1}


class _Rows(list[tuple[object, ...]]):
    """A list that can be watched."""


async def test_written_rows_are_let_go_of_without_the_collector(database: Database) -> None:
    loop, columns = asyncio.get_running_loop(), ("log_id", "partition", "offset", "epoch", "n")
    gc.disable()
    try:
        for offset in (1, 2):  # the second time the types of the columns are known
            rows, gone = _Rows([("log-2", 0, offset, 1, offset)]), asyncio.Event()
            weakref.finalize(rows, loop.call_soon_threadsafe, gone.set)
            await database.insert("positions", columns, rows, token=f"rows-{offset}")
            del rows
            async with asyncio.timeout(30):
                await gone.wait()
    finally:
        gc.enable()
    found = await database.query("SELECT max(offset) FROM positions WHERE log_id = 'log-2'", {})
    assert [tuple(row) for row in found] == [(2,)]


async def test_an_older_state_written_late_changes_nothing(sink: ClickHouseSink, history: ClickHouseHistory) -> None:
    whole = History("exec-a").started().waiting().done()
    await store(sink, [whole])
    await store(sink, [History("exec-a").started().waiting()], offset=100)
    assert (await history.executions(ExecutionFilter(statuses=("waiting",)))).items == ()
    assert [item.status for item in (await history.executions(ExecutionFilter())).items] == ["completed"]


async def test_a_list_shows_previews_and_what_is_waited_for(sink: ClickHouseSink, history: ClickHouseHistory) -> None:
    await store(
        sink,
        [
            History("exec-a", started_at=T0).started("p" * 1000).waiting("issue_refund"),
            History("exec-b", started_at=T0 - timedelta(days=40)).started().failed("the model\nis away"),
            History("exec-c", started_at=T0 - timedelta(days=80)).started().done(["a", "b"]),
        ],
    )
    waiting, failed, done = (await history.executions(ExecutionFilter())).items
    assert waiting.prompt is not None
    assert len(waiting.prompt) == PREVIEW_CHARS
    assert (waiting.totals.waiting_on, waiting.requested_by, waiting.finished_at) == (
        ("issue_refund",),
        "user:ada",
        None,
    )
    assert waiting.started_at == T0
    assert failed.error == Failure(kind="model", message="the model\nis away")
    assert (done.output, done.key, done.totals.input_tokens) == ('["a", "b"]', "ticket of exec-c", 300)


@pytest.mark.parametrize(
    ("chosen", "expected"),
    [
        (ExecutionFilter(), ["d", "c", "b", "a"]),
        (ExecutionFilter(agent="support"), ["c", "a"]),
        (ExecutionFilter(agent="o'brien; DROP"), ["d", "b"]),
        (ExecutionFilter(agent="nobody"), []),
        (ExecutionFilter(statuses=("waiting",)), ["d", "b"]),
        (ExecutionFilter(statuses=("waiting", "completed")), ["d", "c", "b", "a"]),
        (ExecutionFilter(statuses=("failed",)), []),
        (ExecutionFilter(since=T0 + timedelta(days=31)), ["d", "c", "b"]),
        (ExecutionFilter(until=T0 + timedelta(days=31)), ["a"]),
        (ExecutionFilter(since=T0 + timedelta(days=1), until=T0 + timedelta(days=62)), ["b"]),
        (ExecutionFilter(agent="support", statuses=("completed",), since=T0 + timedelta(microseconds=1)), ["c"]),
    ],
)
async def test_a_list_is_filtered_by_agent_status_and_start(
    sink: ClickHouseSink, history: ClickHouseHistory, chosen: ExecutionFilter, expected: list[str]
) -> None:
    await store(
        sink,
        [
            History("exec-a", started_at=T0).started().done(),
            History("exec-b", agent="o'brien; DROP", started_at=T0 + timedelta(days=31)).started().waiting(),
            History("exec-c", started_at=T0 + timedelta(days=62)).started().done(),
            History("exec-d", agent="o'brien; DROP", started_at=T0 + timedelta(days=93)).started().waiting(),
        ],
    )
    page = await history.executions(chosen)
    assert [item.execution_id.removeprefix("exec-") for item in page.items] == expected
    assert await history.agents() == ["o'brien; DROP", "support"]


async def test_counts_are_of_the_same_agent_and_time_whatever_status_is_chosen(
    sink: ClickHouseSink, history: ClickHouseHistory
) -> None:
    await store(
        sink,
        [
            History("exec-a").started().done(),
            History("exec-b").started().waiting(),
            History("exec-c", agent="other").started().waiting(),
            History("exec-d", started_at=T0 + timedelta(days=9)).started().waiting(),
        ],
    )
    chosen = ExecutionFilter(agent="support", statuses=("completed",), until=T0 + timedelta(days=1))
    assert await history.status_counts(chosen) == {"completed": 1, "waiting": 1}


async def test_pages_follow_one_another_without_gap_or_repetition_while_rows_come_in_above(
    sink: ClickHouseSink, history: ClickHouseHistory
) -> None:
    # three share each start, so that the second half of the order decides
    told = [History(f"exec-{n:02}", started_at=T0 + timedelta(microseconds=n // 3)).started() for n in range(10)]
    offset = await store(sink, told)
    seen: list[str] = []
    cursor = None
    while True:
        page = await history.executions(ExecutionFilter(agent="support"), cursor=cursor, limit=4)
        seen += [item.execution_id for item in page.items]
        cursor = page.cursor
        if cursor is None:
            break
        offset = await store(
            sink, [History(f"exec-x{offset}", started_at=T0 + timedelta(days=1)).started()], offset=offset
        )
    assert seen == [f"exec-{n:02}" for n in reversed(range(10))]


async def test_a_list_reaches_behind_any_number_of_past_states(
    sink: ClickHouseSink, history: ClickHouseHistory, database: Database
) -> None:
    await database.command("SYSTEM STOP MERGES")  # what a busy hour leaves behind for a while
    told = [History(f"exec-{n:03}", started_at=T0 + timedelta(seconds=n)).started().waiting() for n in range(200)]
    offset = await store(sink, told)
    await store(sink, [each.done() for each in told[3:]], offset=offset)
    waiting = ExecutionFilter(statuses=("waiting",))
    seen: list[str] = []
    cursor = None
    for _ in range(3):
        page = await history.executions(waiting, cursor=cursor, limit=1)
        seen += [item.execution_id for item in page.items]
        cursor = page.cursor
    assert (seen, cursor) == (["exec-002", "exec-001", "exec-000"], None)
    assert len((await history.executions(waiting)).items) == 3
    assert len((await history.executions(ExecutionFilter(agent="support"), limit=150)).items) == 150
    await database.command("SYSTEM START MERGES")


async def test_a_list_shows_those_that_called_a_tool(
    sink: ClickHouseSink, history: ClickHouseHistory, database: Database
) -> None:
    told = [History(f"exec-{n:03}", started_at=T0 + timedelta(minutes=n)).started() for n in range(150)]
    for each in told[::3]:
        each.called("lookup_order").called("lookup_order").done()
    told[2].called("send_mail").waiting()
    await store(sink, told)
    found, cursor, pages = [], None, 0
    while pages == 0 or cursor is not None:
        page = await history.executions(ExecutionFilter(tool="lookup_order"), cursor=cursor, limit=20)
        found += [item.execution_id for item in page.items]
        cursor, pages = page.cursor, pages + 1
    assert (found, pages) == ([each.execution_id for each in reversed(told[::3])], 3)

    rare = ExecutionFilter(tool="send_mail", agent="support", statuses=("waiting",), until=T0 + timedelta(days=1))
    assert [item.execution_id for item in (await history.executions(rare, limit=1)).items] == ["exec-002"]
    assert await history.status_counts(ExecutionFilter(tool="send_mail")) == {"waiting": 1}
    for none in (ExecutionFilter(tool="issue_refund"), ExecutionFilter(tool="send_mail", agent="billing")):
        assert (await history.executions(none)).items == (), "asking for a decision is no call by itself"


async def test_a_page_that_ends_with_the_list_has_no_cursor(sink: ClickHouseSink, history: ClickHouseHistory) -> None:
    await store(sink, [History(f"exec-{n}").started() for n in range(4)])
    assert (await history.executions(ExecutionFilter(), limit=4)).cursor is None


async def test_a_cursor_of_another_list_is_refused(sink: ClickHouseSink, history: ClickHouseHistory) -> None:
    await store(sink, [History(f"exec-{n}").started() for n in range(2)])
    page = await history.executions(ExecutionFilter(agent="support"), limit=1)
    with pytest.raises(BadCursor, match="other filters"):
        await history.executions(ExecutionFilter(), cursor=page.cursor)


async def test_the_position_is_the_one_saved_last_for_each_partition_of_a_log(
    sink: ClickHouseSink, database: Database
) -> None:
    assert await sink.positions() == {}
    await sink.save_positions({0: Position(10, 1, 9), 1: Position(7, 3, 2)})
    await sink.save_positions({0: Position(25, 2, 4)})
    assert await sink.positions() == {0: Position(25, 2, 4), 1: Position(7, 3, 2)}
    assert await ClickHouseSink(database, "log-2").positions() == {}


@pytest.mark.parametrize(
    ("log_id", "end", "another"),
    [("log-1", 10, False), ("log-1", 11, False), ("log-1", 9, True), ("log-2", 10, True)],
)
async def test_a_history_beyond_its_log_or_of_another_is_of_another_past(
    database: Database, sink: ClickHouseSink, log_id: str, end: int, another: bool
) -> None:
    assert not await sink.is_of_another_past({0: 0})
    await sink.save_positions({0: Position(10, 1, 3)})
    assert await ClickHouseSink(database, log_id).is_of_another_past({0: end}) is another


async def test_what_was_cleared_is_written_again_though_it_is_the_same(
    database: Database, sink: ClickHouseSink, history: ClickHouseHistory
) -> None:
    told = History("exec-a").started().waiting()
    for _ in range(2):
        await store(sink, [told])
        await store(sink, [told])
        await sink.save_positions({0: Position(10, 1, 3)})
        assert len(await history.events("exec-a")) == 2
        assert await history.status_counts(ExecutionFilter()) == {"waiting": 1}
        assert await sink.positions() == {0: Position(10, 1, 3)}
        await sink.clear()
        assert await database.query("SELECT count() FROM events", {}) == [(0,)]
        assert await history.execution("exec-a") is None
        assert await sink.positions() == {}


async def test_what_the_table_refuses_is_told_and_not_taken_for_written(database: Database) -> None:
    await database.command("ALTER TABLE events ADD CONSTRAINT no_bad CHECK agent != 'bad'")
    events = [*History("exec-a").started().events, *History("exec-b", agent="bad").started().events]
    rows = [event_row(event, raw=b"{}", partition=0, offset=offset) for offset, event in enumerate(events)]
    with pytest.raises(RowsRefused, match="no_bad") as refused:
        await database.insert("events", EventRow._fields, rows, token="both")
    assert refused.value.code == 469
    assert await database.query("SELECT count() FROM events", {}) == [(0,)]


async def test_any_bytes_arrive(sink: ClickHouseSink, history: ClickHouseHistory) -> None:
    prompt = "line\n\n;-- \0 'INSERT' FORMAT Native\n\u00ff\u2028"
    await store(sink, [History("exec-a").started(prompt)])
    view = await history.execution("exec-a")
    assert view is not None
    assert view.prompt == prompt


async def test_migrating_again_runs_nothing(database: Database) -> None:
    assert await migrate(database) == []


async def test_servers_that_migrate_at_once_agree(child: ClickHouseChild, threads: Executor) -> None:
    one, two = (Database(child.address, threads, name="made_at_once") for _ in range(2))
    await asyncio.gather(migrate(one), migrate(two))
    assert await migrate(one) == []
    one.close()
    two.close()


async def test_a_new_migration_runs_once(database: Database) -> None:
    more = [*known(), Migration(9001, "9001_more.sql", "-- one; more\nCREATE TABLE more (n UInt8) ENGINE = Memory;\n")]
    assert await migrate(database, more) == ["9001_more.sql"]
    assert await migrate(database, more) == []
    assert await database.query("SELECT count() FROM more", {}) == [(0,)]


async def test_a_database_of_a_later_release_is_refused(database: Database) -> None:
    with pytest.raises(MigrationError, match="later release"):
        await migrate(database, [])


async def test_an_edited_migration_is_refused(database: Database) -> None:
    first, *others = known()
    with pytest.raises(MigrationError, match="edited after it had run"):
        await migrate(database, [Migration(first.version, first.name, first.text + " "), *others])


async def test_a_read_that_takes_too_long_is_given_up(database: Database) -> None:
    with pytest.raises(HistoryFailed) as failed:
        await database.query("SELECT sleepEachRow(0.2) FROM numbers(20) SETTINGS max_block_size = 1", {}, within_s=0.5)
    assert failed.value.code == 159


async def test_history_without_its_tables_is_not_there_yet(child: ClickHouseChild, threads: Executor) -> None:
    database = Database(child.address, threads, name="not_yet_made")
    history = ClickHouseHistory(database)
    with pytest.raises(HistoryUnavailable, match="no tables yet"):
        await history.agents()
    await database.create()
    with pytest.raises(HistoryUnavailable, match="no tables yet"):
        await history.status_counts(ExecutionFilter())
    database.close()
