"""A row that the real ClickHouse refuses: it is put aside, and all others are in history, whatever stands before it."""

from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from datetime import timedelta

import pytest

from agentspan.eventlog.memory import MemoryLog
from agentspan.eventlog.messages import log_record
from agentspan_query.adapters.clickhouse import Database
from agentspan_query.adapters.history import ClickHouseHistory
from agentspan_query.adapters.shadow import Shadow
from agentspan_query.adapters.sink import ClickHouseSink
from agentspan_query.domain.filters import ExecutionFilter
from agentspan_query.domain.rows import event_row, execution_row
from agentspan_query.errors import HistoryFailed
from agentspan_query.rebuild import rebuild
from tests.support.eventually import until
from tests.support.orchestration import World
from tests.support.query_history import T0, History
from tests.support.query_reading import Reading, reading

pytestmark = pytest.mark.asyncio(loop_scope="module")
CONSTRAINT = "ALTER TABLE {} ADD CONSTRAINT nothing_bad CHECK agent != 'bad'"
VIEW = (
    "CREATE TABLE numbers (number Int32) ENGINE = MergeTree ORDER BY number",
    "CREATE MATERIALIZED VIEW view TO numbers AS SELECT if(agent = 'bad', toInt32(agent), 1) AS number FROM events",
)


def good(number: int) -> History:
    return History(f"exec-{number}", started_at=T0 + timedelta(minutes=number)).started().done()


def bad() -> History:
    return History("exec-bad", agent="bad").started()


@asynccontextmanager
async def written(database: Database, told: Sequence[History]) -> AsyncIterator[Reading]:
    """These are on the log, and all of it is behind the projection."""
    world = World(MemoryLog(1))
    owner = await world.log.partition(0).take_over("owner")
    async with reading(world, database) as server:
        for history in told:
            await owner.append([log_record(event) for event in history.events])
        await server.projected()
        yield server


async def listed(database: Database) -> list[str]:
    page = await ClickHouseHistory(database).executions(ExecutionFilter(), limit=100)
    return sorted(f"{item.execution_id} {item.status}" for item in page.items)


LAST, FIRST, AMONG = (
    pytest.param(lambda others: [*others, bad()], id="behind the others"),
    pytest.param(lambda others: [bad(), *others], id="before the others"),
    pytest.param(lambda others: [*others[:3], bad(), *others[3:]], id="among the others"),
)


@pytest.mark.parametrize("ordered", [LAST, FIRST, AMONG])
@pytest.mark.parametrize(
    "statements", [(CONSTRAINT.format("events"), CONSTRAINT.format("executions")), VIEW], ids=["constraint", "view"]
)
async def test_one_event_that_is_refused_leaves_all_others_in_history(
    database: Database, statements: Sequence[str], ordered: Callable[[list[History]], list[History]]
) -> None:
    for statement in statements:
        await database.command(statement)
    others = [good(number) for number in range(20)]
    async with written(database, ordered(others)) as server:
        [letter] = server.letters.letters
        assert (letter.key, letter.why.error, letter.why.partition) == (b"exec-bad", "not_in_history", 0)
        assert server.projection.trouble is None
        found = {each for each in await listed(database) if "bad" not in each}
        assert found == {f"exec-{number} completed" for number in range(20)}
        for other in others:
            events = await ClickHouseHistory(database).events(other.execution_id)
            assert [event.seq for event in events] == [1, 2]
        await server.projected()


async def test_a_row_of_the_list_that_is_refused_is_put_aside_and_its_events_stay(database: Database) -> None:
    await database.command(CONSTRAINT.format("executions"))
    async with written(database, [good(1), bad(), good(2)]) as server:
        assert server.letters.codes == ["not_in_history"]
        assert await listed(database) == ["exec-1 completed", "exec-2 completed"]
        assert len(await ClickHouseHistory(database).events("exec-bad")) == 1


async def test_a_run_that_ended_in_words_that_the_list_refuses_is_listed_as_ended_without_them(
    database: Database,
) -> None:
    await database.command("ALTER TABLE executions ADD CONSTRAINT polite CHECK output_preview != 'no'")
    rude = History("exec-rude").started().done("no")
    async with written(database, [good(1), rude, good(2)]) as server:
        assert server.letters.codes == ["not_in_history"]
        assert await listed(database) == ["exec-1 completed", "exec-2 completed", "exec-rude completed"]
        view = await server.query.execution("exec-rude")
        assert view is not None
        assert (view.status, view.output) == ("completed", "no")


async def test_a_value_that_fits_no_column_is_refused_as_one_that_the_table_refuses(database: Database) -> None:
    large, odd = History("exec-large").started(), History("exec-odd").started()
    large.events[0] = large.events[0].model_copy(update={"seq": 2**32})
    odd.events[0] = odd.events[0].model_copy(update={"agent_version": "\ud800"})
    events = [event for history in (large, good(1), odd, good(2)) for event in history.events]
    rows = [event_row(event, raw=b"{}", partition=0, offset=offset) for offset, event in enumerate(events)]
    refused = await ClickHouseSink(database, "log").write(rows, [execution_row(event) for event in events])
    assert [(each.event.execution_id, each.table) for each in refused] == [
        ("exec-large", "events"), ("exec-odd", "events"), ("exec-large", "executions"), ("exec-odd", "executions"),
    ]  # fmt: skip
    assert all(f"does not fit the columns of {each.table!r}" in each.why for each in refused)
    assert await listed(database) == ["exec-1 completed", "exec-2 completed"]


async def test_executions_of_more_months_than_one_insert_takes_are_all_written(database: Database) -> None:
    told = [History(f"exec-{n}", started_at=T0 + timedelta(days=31 * n)).started() for n in range(150)]
    async with written(database, told) as server:
        assert server.letters.letters == []
    assert await database.query("SELECT count() FROM events", {}) == [(150,)]


async def test_a_table_that_nobody_can_write_to_puts_nothing_aside_and_the_log_waits(database: Database) -> None:
    world = World(MemoryLog(1))
    owner = await world.log.partition(0).take_over("owner")
    async with reading(world, database) as server:
        await database.command("RENAME TABLE events TO elsewhere")
        await owner.append([log_record(event) for event in good(1).events])
        await until(lambda: server.projection.failed > 1)
        assert server.letters.letters == []
        await database.command("RENAME TABLE elsewhere TO events")
        await server.projected()
    assert await listed(database) == ["exec-1 completed"]


async def test_a_rebuild_tells_what_it_leaves_out_and_one_after_the_cause_is_gone_has_it(database: Database) -> None:
    await database.command(CONSTRAINT.format("events"))
    async with written(database, [good(1), bad(), good(2)]) as server:
        said: list[str] = []
        log = server.world.log
        new = Strict(database, log.id, now=server.world.clock.now, keep_days=None)
        await rebuild(log, new, said.append)
        [left_out] = [line for line in said if "left out" in line]
        assert "event exec-bad/1 at 0:3 of the log" in left_out
        assert await listed(database) == ["exec-1 completed", "exec-2 completed", "exec-bad running"]
        await rebuild(log, Shadow(database, log.id, now=server.world.clock.now, keep_days=None), said.append)
        assert len(await ClickHouseHistory(database).events("exec-bad")) == 1


class Strict(Shadow):
    """Its tables refuse what the live ones do."""

    async def open(self) -> None:
        await super().open()
        await self._beside.command(CONSTRAINT.format("events"))


async def test_reads_are_not_taken_for_refusals_of_rows(database: Database) -> None:
    with pytest.raises(HistoryFailed) as failed:
        await database.query("SELECT no_such_column FROM events", {})
    assert type(failed.value) is HistoryFailed
