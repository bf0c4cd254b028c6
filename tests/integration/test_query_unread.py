"""What stands where an event should and cannot be read, with the embedded log and the real ClickHouse: who follows that
execution is told, and goes on behind it; all others, their lists and their streams, notice nothing."""

from collections.abc import AsyncIterator, Sequence
from datetime import timedelta
from pathlib import Path

import pytest
import pytest_asyncio

from agentspan.eventlog import Ownership, Record
from agentspan.eventlog.messages import log_record
from agentspan.eventlog.sqlite import SqliteLog
from agentspan_query.adapters.clickhouse import Database
from agentspan_query.adapters.history import ClickHouseHistory
from agentspan_query.adapters.shadow import Shadow
from agentspan_query.domain.filters import ExecutionFilter
from agentspan_query.errors import EventMissing, HistoryFailed, WrittenLater
from agentspan_query.rebuild import rebuild
from agentspan_query.stream_doors import problem_of
from agentspan_query.streams import Broken, Following, Logged, Sent
from agentspan_schemas import codec
from tests.support.eventually import until
from tests.support.orchestration import World
from tests.support.query_history import T0, History
from tests.support.query_reading import Reading, reading
from tests.support.unread import damaged, later, of_a_new_type

pytestmark = pytest.mark.asyncio(loop_scope="module")
ALL = ExecutionFilter()


@pytest_asyncio.fixture(loop_scope="module")
async def world(tmp_path: Path) -> AsyncIterator[World]:
    log = SqliteLog.open(tmp_path / "log.sqlite3", 1)
    yield World(log)
    await log.close()


@pytest_asyncio.fixture(loop_scope="module")
async def owner(world: World) -> Ownership:
    return await world.log.partition(0).take_over("owner")


def records(execution_id: str = "exec-a") -> list[Record]:
    """Of a run that waited once."""
    return [log_record(event) for event in History(execution_id).started().waiting().done().events]


def without_the_second(execution_id: str = "exec-a") -> Sequence[Record]:
    first, second, third = records(execution_id)
    return first, second._replace(value=b"\xff\x00", message=None), third


async def followed(read: Reading, execution_id: str, after: int = 0) -> list[int | Exception]:
    """The seqs of its events up to its end, or up to what its client is told instead."""
    stream = read.query.open_stream()
    stream.follow(Following(execution_id, after))
    found: list[int | Exception] = []
    async for batch in stream.batches():
        found += [_said(sent) for sent in batch]
        if not len(stream):
            break
    stream.close()
    return found


def _said(sent: Sent) -> int | Exception:
    match sent:
        case Logged():
            return sent.seq
        case Broken():
            return sent.error
        case _:
            raise AssertionError(sent)


async def test_who_follows_it_is_told_at_once_and_goes_on_behind_it(
    database: Database, world: World, owner: Ownership
) -> None:
    async with reading(world, database, project=False) as read:
        affected, other = read.query.open_stream(), read.query.open_stream()
        affected.follow(Following("exec-a"))
        other.follow(Following("exec-b"))
        coming = affected.batches()
        await owner.append(records()[:1])
        assert [_said(sent) for sent in await anext(coming)] == [1]
        for record in (without_the_second()[1], *records("exec-b")):
            await owner.append([record])
        [missing] = [_said(sent) for sent in await anext(coming)]
        assert isinstance(missing, EventMissing)
        assert str(missing).startswith("event 2 of 'exec-a' is missing: event: not JSON")
        assert "follow the execution after 2" in str(missing)
        assert (problem_of(missing).status, problem_of(missing).code) == (500, "event_missing")
        seqs: list[int] = []
        async for batch in other.batches():
            seqs += [sent.seq for sent in batch if isinstance(sent, Logged)]
            if not len(other):
                break
        assert seqs == [1, 2, 3]
        await owner.append(without_the_second()[2:])
        assert await followed(read, "exec-a", after=2) == [3]


async def test_who_comes_late_is_told_in_its_place_also_after_a_restart(
    database: Database, world: World, owner: Ownership
) -> None:
    async def say_so(each: Reading) -> None:
        await each.projected()
        [first, missing] = await followed(each, "exec-a")
        assert (first, isinstance(missing, EventMissing)) == (1, True)
        assert await followed(each, "exec-a", after=2) == [3]
        assert await followed(each, "exec-b") == [1, 2, 3]

    async with reading(world, database) as read:
        await owner.append(without_the_second("exec-a"))
        await owner.append(records("exec-b"))
        await say_so(read)
    async with reading(world, database) as later_process:
        await say_so(later_process)
        view = await later_process.query.execution("exec-a")
        assert view is not None
        assert (view.status, view.seq) == ("completed", 3)
        page = await later_process.query.executions(ALL, cursor=None, limit=10)
        assert sorted((item.execution_id, item.status) for item in page.items) == [
            ("exec-a", "completed"),
            ("exec-b", "completed"),
        ]
        assert later_process.letters.letters == []
    [letter] = read.letters.letters
    assert (letter.value, letter.why.error) == (b"\xff\x00", "unreadable_event")


async def test_what_a_later_release_wrote_is_waited_for_and_what_is_there_is_read(
    database: Database, world: World, owner: Ownership, monkeypatch: pytest.MonkeyPatch
) -> None:
    events = History("exec-a", started_at=T0 + timedelta(minutes=1)).started().waiting().done().events
    async with reading(world, database) as read:
        await owner.append(records("exec-b"))
        await read.projected()
        await owner.append([log_record(events[0]), later(events[1])])
        await owner.append([log_record(events[2])])
        await until(lambda: read.projection.waits_for)
        [first, waits] = await followed(read, "exec-a")
        assert (first, isinstance(waits, WrittenLater)) == (1, True)
        assert isinstance(waits, WrittenLater)
        assert (problem_of(waits).status, problem_of(waits).code) == (503, "history_unavailable")
        view = await read.query.execution("exec-b")
        assert view is not None
        assert [stored.seq for stored in await read.query.events("exec-b", after=0, limit=10)] == [1, 2, 3]
        page = await read.query.executions(ALL, cursor=None, limit=10)
        assert [item.execution_id for item in page.items] == ["exec-b"]
        assert (page.as_of, read.letters.letters) == (view.updated_at, [])
    monkeypatch.setattr(codec, "SCHEMA_VERSION", 2)
    async with reading(world, database) as upgraded:
        await upgraded.projected()
        assert await followed(upgraded, "exec-a") == [1, 2, 3]


async def test_an_event_of_a_new_type_is_read_by_its_envelope_wherever_it_stands(
    database: Database, world: World, owner: Ownership
) -> None:
    events = History("exec-a").started().waiting().events
    async with reading(world, database) as read:
        await owner.append([log_record(events[0])])
        await owner.append([of_a_new_type(events[1])])
        await read.projected()
        views = [await read.query.execution("exec-a")]
    async with reading(world, database) as again:
        await again.projected()
        views.append(await again.query.execution("exec-a"))
        [_, stored] = await again.query.events("exec-a", after=0, limit=10)
        page = await again.query.executions(ALL, cursor=None, limit=10)
    assert (stored.seq, stored.type) == (2, "budget_exceeded")
    assert stored.payload.encode() == of_a_new_type(events[1]).value
    assert [(view.status, view.seq) for view in views if view] == [("waiting", 2)] * 2
    assert [(item.status, item.seq) for item in page.items] == [("waiting", 2)]


async def test_a_rebuild_tells_what_nobody_can_read_and_leaves_to_a_later_release_what_that_wrote(
    database: Database, world: World, owner: Ownership, monkeypatch: pytest.MonkeyPatch
) -> None:
    log, said = world.log, list[str]()
    await owner.append(without_the_second())

    async def build() -> str:
        return str(await rebuild(log, Shadow(database, log.id, now=lambda: T0, keep_days=None), said.append))

    assert await build() == "2 events of 1 executions"
    [left_out] = [line for line in said if "left out" in line]
    assert "'waiting' of 'exec-a' at 0:2 of the log" in left_out
    await owner.append([later(History("exec-b").started().events[0])])
    with pytest.raises(WrittenLater, match="upgrade"):
        await build()
    assert len(await ClickHouseHistory(database).events("exec-a")) == 2
    monkeypatch.setattr(codec, "SCHEMA_VERSION", 2)
    assert await build() == "3 events of 2 executions"


async def test_a_run_whose_last_event_cannot_be_read_is_told_of_to_who_follows_it(
    database: Database, world: World, owner: Ownership
) -> None:
    events = History("exec-a").started().done().events
    async with reading(world, database) as read:
        await owner.append([log_record(events[0]), damaged(events[1], b"{}")])
        await read.projected()
        [first, missing] = await followed(read, "exec-a")
    assert (first, isinstance(missing, EventMissing)) == (1, True)


async def test_a_run_whose_first_event_nobody_can_read_is_listed_and_its_page_says_what_is_missing(
    database: Database, world: World, owner: Ownership
) -> None:
    events = History("exec-a").started().waiting().events
    async with reading(world, database) as read:
        await owner.append([damaged(events[0]), log_record(events[1])])
        await read.projected()
        page = await read.query.executions(ALL, cursor=None, limit=10)
        assert [(item.execution_id, item.status) for item in page.items] == [("exec-a", "waiting")]
        with pytest.raises(HistoryFailed, match="history lacks the first event of execution 'exec-a'"):
            await read.query.execution("exec-a")
        [missing] = await followed(read, "exec-a")
        assert isinstance(missing, EventMissing)


async def test_what_a_later_release_has_left_in_history_is_said_by_the_one_before_it(
    database: Database, world: World, owner: Ownership, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as upgraded:
        upgraded.setattr(codec, "SCHEMA_VERSION", 2)
        async with reading(world, database) as read:
            await owner.append([later(History("exec-a").started().events[0])])
            await read.projected()
    with pytest.raises(HistoryFailed, match="'exec-a' was written by a later release"):
        await ClickHouseHistory(database).edges("exec-a")
