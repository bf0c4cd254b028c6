"""History is built anew beside the one that people read, whatever happens, and goes on where it was killed."""

from collections.abc import AsyncIterator, Callable
from concurrent.futures import Executor
from datetime import UTC, datetime
from itertools import count

import pytest
import pytest_asyncio
from clickhouse_connect.driver.client import Client

from agentspan.eventlog.memory import MemoryLog
from agentspan_query.adapters.clickhouse import Database, T
from agentspan_query.adapters.clickhouse_child import ClickHouseChild
from agentspan_query.adapters.history import ClickHouseHistory
from agentspan_query.adapters.migrations import migrate
from agentspan_query.adapters.shadow import Shadow
from agentspan_query.adapters.sink import ClickHouseSink
from agentspan_query.domain.filters import ExecutionFilter
from agentspan_query.errors import HistoryUnavailable, RebuildMismatch
from agentspan_query.ports import Counts
from agentspan_query.rebuild import rebuild
from tests.support.orchestration import EXECUTION, World, approve, ask, claim, process, result, say, start
from tests.support.query_reading import reading, whole_run

pytestmark = pytest.mark.asyncio(loop_scope="module")
ALL = ExecutionFilter()
DATABASES = count(1)
NOW = datetime(2026, 11, 1, tzinfo=UTC)


class Mortal(Database):
    """A database whose server is gone after so many more statements, until it is healed."""

    lives: list[int | None]

    def named(self, name: str) -> "Mortal":
        other = Mortal(self._address, self._executor, name=name)
        other.lives = self.lives
        return other

    async def call(self, use: Callable[[Client], T]) -> T:
        left = self.lives[0]
        if left is not None:
            if not left:
                raise HistoryUnavailable("gone")
            self.lives[0] = left - 1
        return await super().call(use)

    def dies_after(self, statements: int | None) -> None:
        self.lives[0] = statements


@pytest_asyncio.fixture(loop_scope="module")
async def database(child: ClickHouseChild, threads: Executor) -> AsyncIterator[Mortal]:
    database = Mortal(child.address, threads, name=f"anew_{next(DATABASES)}")
    database.lives = [None]
    await migrate(database)
    yield database
    database.close()


def shadow(database: Database, world: World) -> Shadow:
    return Shadow(database, world.log.id, now=lambda: NOW, keep_days=None)


def quiet(_: str) -> None:
    pass


async def told(database: Database) -> tuple[list[int], list[str]]:
    """The events of the execution, and the list, as people read them."""
    history = ClickHouseHistory(database)
    seqs = [stored.seq for stored in await history.events(EXECUTION)]
    return seqs, [f"{item.execution_id} {item.status}" for item in (await history.executions(ALL)).items]


WHOLE = (list(range(1, 12)), [f"{EXECUTION} completed"])


async def test_what_was_lost_from_the_tables_is_back(database: Mortal) -> None:
    world = World(MemoryLog(1))
    async with process(world) as here:
        async with reading(world, database) as server:
            await whole_run(here)
            await server.projected()
        await database.command("DELETE FROM events WHERE seq > 3")
        assert (await told(database))[0] == [1, 2, 3]
        assert await rebuild(world.log, shadow(database, world), quiet) == Counts(11, 1)
    assert await told(database) == WHOLE
    assert len(await ClickHouseSink(database, world.log.id).positions()) == 1
    assert (
        await database.query(
            "SELECT name FROM system.databases WHERE name = {n:String}", {"n": f"{database.name}_rebuild"}
        )
        == []
    )


async def test_people_read_the_old_history_until_the_new_one_is_whole_and_a_server_goes_on_meanwhile(
    database: Mortal,
) -> None:
    world = World(MemoryLog(1))
    seen: list[tuple[list[int], list[str]]] = []

    class Watched(Shadow):
        async def verify(self) -> None:
            seen.append(await told(database))
            await super().verify()

        async def exchange(self) -> None:
            # comes too late for the new tables, and is written into the old ones
            await here.send(claim("1-0"))
            await here.send(result("1-0", claim_id="claim-1"))
            await server.projected()
            await super().exchange()

    async with process(world) as here, reading(world, database) as server:
        await here.send(start())
        await here.send(ask("refund"))
        await here.send(approve("1-0"))
        await server.projected()
        before = await told(database)
        await rebuild(world.log, Watched(database, world.log.id, now=lambda: NOW, keep_days=None), quiet)
        assert seen == [before]
        assert len(before[0]) == 6
        assert (await told(database))[0] == list(range(1, 10))
        await here.send(say("Refunded.", turn=2))
        await server.projected()
    assert await told(database) == WHOLE


@pytest.mark.slow
async def test_a_rebuild_that_is_killed_at_any_statement_goes_on_and_shows_no_half_history(database: Mortal) -> None:
    world = World(MemoryLog(1))
    async with process(world) as here:
        async with reading(world, database) as server:
            await whole_run(here)
            await server.projected()
        for statements in count(0):
            database.dies_after(statements)
            try:
                await rebuild(world.log, shadow(database, world), quiet)
            except HistoryUnavailable:
                database.dies_after(None)
                await rebuild(world.log, shadow(database, world), quiet)
                assert await told(database) == WHOLE, f"after {statements} statements"
                assert await database.query("SELECT count() FROM positions FINAL", {}) == [(1,)]
            else:
                break
        database.dies_after(None)
    assert statements > 30


async def test_tables_that_lack_something_are_not_put_in_place(database: Mortal) -> None:
    world = World(MemoryLog(1))

    class Lossy(Shadow):
        async def verify(self) -> None:
            await database.command(f"DELETE FROM {database.name}_rebuild.events WHERE seq = 2")
            await super().verify()

    async with process(world) as here:
        await whole_run(here)
        with pytest.raises(RebuildMismatch, match="11 events of 1 executions, the new tables have 10 events"):
            await rebuild(world.log, Lossy(database, world.log.id, now=lambda: NOW, keep_days=None), quiet)
    assert await told(database) == ([], [])
