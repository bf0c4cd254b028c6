"""History and the log's live end together, on a real orchestrator and a real ClickHouse child."""

import asyncio

import pytest

from agentspan.eventlog.memory import MemoryLog
from agentspan_query import service as query_service
from agentspan_query.adapters.clickhouse import Database
from agentspan_query.domain.filters import ExecutionFilter
from agentspan_query.errors import BadPosition, HistoryUnavailable
from agentspan_query.streams import At, Following, Logged
from agentspan_query.tail import NOTHING_YET
from tests.support.orchestration import EXECUTION, World, approve, ask, claim, process, result, say, start
from tests.support.query_reading import Reading, reading, whole_run

pytestmark = pytest.mark.asyncio(loop_scope="module")
ALL = ExecutionFilter()


async def seqs(read: Reading, after: int = 0) -> list[int]:
    sent = read.query.stream(Following(EXECUTION, after))
    return [event.seq async for event in sent if isinstance(event, Logged)]


async def test_ones_own_write_is_seen_before_clickhouse_has_it(database: Database) -> None:
    world = World(MemoryLog(1))
    async with process(world) as here, reading(world, database, project=False) as read:
        answer = await here.send(start())
        partition, offset = map(int, (answer.position or "").split(":"))
        assert await read.query.exists(EXECUTION, at=At(partition, offset))
        found = await read.query.execution(EXECUTION, at=At(partition, offset))
        assert found is not None
        assert (found.status, found.prompt) == ("running", "My invoice is wrong")
        events = await read.query.events(EXECUTION, after=0, limit=10, at=At(partition, offset))
        assert [stored.type for stored in events] == ["started", "model_called"]


async def test_a_list_that_asks_for_a_write_waits_until_it_is_projected(database: Database) -> None:
    world = World(MemoryLog(1))
    async with process(world) as here, reading(world, database) as read:
        answer = await here.send(start())
        partition, offset = map(int, (answer.position or "").split(":"))
        page = await read.query.executions(ALL, cursor=None, limit=10, at=At(partition, offset))
        assert [item.execution_id for item in page.items] == [EXECUTION]


async def test_a_list_says_up_to_when_it_is_complete(database: Database) -> None:
    world = World(MemoryLog(1))
    async with process(world) as here, reading(world, database, project=False) as read:
        assert (await read.query.executions(ALL, cursor=None, limit=10)).as_of == NOTHING_YET
        read.tail.project(0, await world.log.partition(0).end())
        assert (await read.query.executions(ALL, cursor=None, limit=10)).as_of == world.clock.at
        await here.send(start())
        before = world.clock.at
        world.clock.advance(60)
        await here.send(ask("refund"))
        async with asyncio.timeout(10):
            await read.tail.reached(0, await world.log.partition(0).end() - 1)
        page = await read.query.executions(ALL, cursor=None, limit=10)
        assert page.as_of == before


async def test_a_stream_joins_what_was_with_what_comes_and_ends_with_the_run(database: Database) -> None:
    world = World(MemoryLog(1))
    async with process(world) as here:
        await here.send(start())
        await here.send(ask("refund"))
        async with reading(world, database, keep=0) as read:
            streaming = asyncio.create_task(seqs(read))
            await here.send(approve("1-0"))
            await here.send(claim("1-0"))
            await here.send(result("1-0", claim_id="claim-1"))
            await here.send(say("Refunded.", turn=2))
            async with asyncio.timeout(20):
                assert await streaming == list(range(1, 12))


async def test_a_stream_resumes_after_any_seq_also_when_the_run_is_over(database: Database) -> None:
    world = World(MemoryLog(1))
    async with process(world) as here, reading(world, database) as read:
        await whole_run(here)
        await read.projected()
    async with reading(world, database) as later:
        async with asyncio.timeout(20):
            assert await seqs(later, after=4) == list(range(5, 12))
            assert await seqs(later, after=11) == []
            view = await later.query.execution(EXECUTION)
    assert view is not None
    assert (view.status, view.output, view.seq) == ("completed", "Refunded.", 11)


async def test_a_projection_that_starts_again_writes_nothing_twice(database: Database) -> None:
    world = World(MemoryLog(1))
    async with process(world) as here:
        async with reading(world, database) as read:
            await here.send(start())
            await read.projected()
        await here.send(ask("refund"))
        async with reading(world, database) as read:
            await here.send(approve("1-0"))
            await read.projected()
            found = await read.query.events(EXECUTION, after=0, limit=100)
            counts = await read.query.status_counts(ALL)
    assert [stored.seq for stored in found] == list(range(1, len(found) + 1))
    assert counts == {"running": 1}


async def test_what_comes_after_the_first_round_is_projected_too(database: Database) -> None:
    world = World(MemoryLog(1, renew_after=3))
    async with process(world) as here, reading(world, database) as read:
        await here.send(start())
        await read.projected()
        await here.send(ask("refund"))
        await read.projected()
        counts = await read.query.status_counts(ALL)
    assert counts == {"waiting": 1}


async def test_what_the_tail_let_go_of_is_read_from_clickhouse(database: Database) -> None:
    world = World(MemoryLog(1))
    async with process(world) as here, reading(world, database, keep=1) as read:
        await whole_run(here)
        await read.projected()
        assert len(read.tail.events(EXECUTION)) <= 1
        found = await read.query.events(EXECUTION, after=0, limit=100)
    assert [stored.seq for stored in found] == list(range(1, 12))


async def test_without_history_a_read_that_needs_it_says_so_and_loses_nothing(
    database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(query_service, "SEEN_WITHIN_S", 0.05)
    world = World(MemoryLog(1))
    async with process(world) as here:
        await here.send(start())
        async with reading(world, database, project=False) as read:
            with pytest.raises(HistoryUnavailable, match="try again"):
                await read.query.execution(EXECUTION)
        async with reading(world, database) as read:
            await read.projected()
            assert await read.query.execution(EXECUTION) is not None


async def test_nobody_is_told_that_there_is_none_of_what_was_written_behind_what_was_seen(
    database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As while the brokers are away: a start was answered, and its events cannot be read yet."""
    monkeypatch.setattr(query_service, "SEEN_WITHIN_S", 0.05)
    world = World(MemoryLog(1))
    async with process(world) as here, reading(world, database) as read:
        unseen = At(0, 99)
        for asked in (
            lambda: read.query.execution(EXECUTION, at=unseen),
            lambda: read.query.exists(EXECUTION, at=unseen),
            lambda: read.query.events(EXECUTION, after=0, limit=10, at=unseen),
        ):
            with pytest.raises(HistoryUnavailable, match="position of your write"):
                await asked()
        await here.send(start())
        await read.projected()
        assert await read.query.exists(EXECUTION, at=unseen), "what is there is shown as it is"
        assert len(await read.query.events(EXECUTION, after=0, limit=10, at=unseen)) == 2
        with pytest.raises(HistoryUnavailable, match="position of your write"):
            await read.query.events(EXECUTION, after=2, limit=10, at=unseen)


async def test_a_position_of_another_log_is_refused(database: Database) -> None:
    world = World(MemoryLog(1))
    async with process(world), reading(world, database) as read:
        with pytest.raises(BadPosition, match="min_position"):
            await read.query.execution(EXECUTION, at=At(9, 0))
        with pytest.raises(BadPosition, match="min_position"):
            await read.query.executions(ALL, cursor=None, limit=1, at=At(9, 0))


async def test_an_unknown_execution_is_none(database: Database) -> None:
    world = World(MemoryLog(1))
    async with process(world), reading(world, database) as read:
        assert await read.query.execution("exec-zzzzzzzzzzzzzzzz") is None
        assert not await read.query.exists("exec-zzzzzzzzzzzzzzzz")
