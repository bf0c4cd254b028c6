"""A record that stands where an event should and cannot be read, for everybody who reads the log beside history: nobody
ends, and what concerns others goes on."""

import asyncio
import logging
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import replace

import pytest

from agentspan.eventlog import Log, Record, partition_for
from agentspan.eventlog.commands import CommandLog, OutcomeUnknown, Unavailable
from agentspan.eventlog.memory import MemoryInbox, MemoryLog, MemoryTable
from agentspan.eventlog.messages import log_record
from agentspan_approvals.adapters.sqlite_store import SqliteApprovalStore
from agentspan_approvals.ports import Search
from agentspan_approvals.service import Approvals
from agentspan_schemas import codec
from agentspan_schemas import commands as c
from agentspan_schemas.codec import EVENTS
from agentspan_schemas.events import Event
from tests.support.eventually import WITHIN_S, until
from tests.support.orchestration import MemoryCaches, World, ask, outcomes, process, say, start
from tests.support.query_history import History
from tests.support.unread import damaged, last, later

HERE, BESIDE = "exec-a", "exec-d"
"""Of two partitions."""


async def put(log: Log, execution_id: str, *records: Record) -> None:
    """As a new owner of the execution's partition."""
    owner = await log.partition(partition_for(execution_id, log.partitions)).take_over("another")
    await owner.append(records)


def waiting(execution_id: str) -> History:
    return History(execution_id).started().waiting()


def test_the_executions_of_these_tests_are_of_two_partitions() -> None:
    assert partition_for(HERE, 2) != partition_for(BESIDE, 2)


HELLO = say("Hello.", turn=1, execution_id=HERE)


async def begun(*more: c.Command) -> World:
    """Two executions, and what else one of them is told."""
    world = World(MemoryLog(1))
    async with process(world) as here:
        for command in (start(HERE), start(BESIDE), *more):
            assert (await here.send(command)).refusal is None
    return world


async def spoiled(world: World, make: Callable[[Event], Record]) -> World:
    """The same log as another owner wrote it, but for the last outcome's first event; with caches that are lost."""
    log, found = MemoryLog(1, id="spoiled"), await outcomes(world)
    owner = await log.partition(0).take_over("another")
    for outcome in found:
        records = [stored.record for stored in outcome.records]
        if outcome is found[-1]:
            event = EVENTS.decode(records[0].value)
            records[0] = records[0]._replace(value=make(event).value, message=None)
        await owner.append(records)
    return World(log, agents=world.agents)


@pytest.mark.parametrize("make", [damaged, later])
async def test_what_cannot_be_read_keeps_its_execution_alone_from_being_decided_in_every_process_that_meets_it(
    make: Callable[[Event], Record], caplog: pytest.LogCaptureFixture
) -> None:
    world = await spoiled(await begun(HELLO), make)
    for another in ("exec-1", "exec-2"):
        async with process(world) as here:
            with pytest.raises(Unavailable, match=f"'model_replied' of '{HERE}' at 0:[0-9]+ of the log can't be read"):
                await here.send(say("Hello again.", turn=1, execution_id=HERE))
            assert (await here.send(start(another))).refusal is None
            assert {key.partition("/")[0] for key in await here.open_tasks()} >= {BESIDE, another}
            assert not any(key.startswith(HERE) for key in await here.open_tasks()), "no model is asked again"
    async with process(world) as here:
        assert (await here.send(say("Hello.", turn=1, execution_id="exec-1"))).refusal is None
    told = [record.getMessage() for record in caplog.records if record.levelno == logging.ERROR]
    assert len(told) == 3
    assert all(f"nothing of '{HERE}' is decided" in line for line in told)


async def test_no_timer_fires_of_an_execution_whose_state_is_not_known() -> None:
    expiring = ask("credit", execution_id=HERE)
    paused = c.Pause(command_id="pause", execution_id=HERE, by="user:ana", channel="cli")
    world = await spoiled(await begun(expiring, paused), damaged)
    async with process(world) as here:
        before = len(await outcomes(world))
        world.clock.advance(7200)
        for _ in range(20):
            await asyncio.sleep(0.01)
        assert len(await outcomes(world)) == before
        assert (await here.send(start("exec-1"))).refusal is None


async def test_a_release_that_can_read_it_decides_its_execution_from_there(monkeypatch: pytest.MonkeyPatch) -> None:
    world = await spoiled(await begun(HELLO), later)
    async with process(world) as here:
        assert (await here.send(start("exec-1"))).refusal is None
    monkeypatch.setattr(codec, "SCHEMA_VERSION", 2)
    async with process(world) as upgraded:
        answer = await upgraded.send(say("Hello again.", turn=1, execution_id=HERE))
        assert (answer.refusal, answer.repeated) == (None, True), "it had its answer"
        assert (await upgraded.send(say("Hello.", turn=1, execution_id="exec-1"))).refusal is None


async def test_no_checkpoint_hides_what_cannot_be_read_from_whoever_restores_next() -> None:
    world, snapshots = await spoiled(await begun(HELLO), damaged), MemoryTable(1)
    for another in ("exec-1", "exec-2"):
        world = replace(world, snapshots=snapshots, cache=MemoryCaches().of)
        async with process(world) as here:
            await here.send(start(another))
            world.clock.advance(3600)  # a round is due by far
            for _ in range(20):
                await asyncio.sleep(0.01)
            with pytest.raises(Unavailable, match="can't be read"):
                await here.send(say("Hello again.", turn=1, execution_id=HERE))


async def test_who_waits_for_an_answer_that_cannot_be_read_is_told_and_others_get_theirs() -> None:
    log, inbox = MemoryLog(1), MemoryInbox(1, id="inbox")
    commands, sent = CommandLog(log, inbox), inbox.receive(0, 0)
    following = asyncio.create_task(commands.run())
    first, second = (asyncio.create_task(commands.submit(start(name))) for name in (HERE, BESIDE))
    for _ in range(2):
        await anext(sent)
    records = {
        name: log_record(last(History(name).started()).model_copy(update={"causation_id": f"start:{name}"}))
        for name in (HERE, BESIDE)
    }
    await put(log, HERE, records[HERE]._replace(value=b"{}", message=None))
    await put(log, BESIDE, records[BESIDE])
    async with asyncio.timeout(WITHIN_S):
        with pytest.raises(OutcomeUnknown, match="what came of it can't be read here"):
            await first
        assert (await second).seq == 1
    following.cancel()
    await asyncio.wait([following])


@asynccontextmanager
async def approving(log: Log, store: SqliteApprovalStore) -> AsyncIterator[Approvals]:
    """The approvals of one process, which has nobody to send decisions to."""
    approvals = Approvals(log=log, commands=CommandLog(log, MemoryInbox(log.partitions, id="inbox")), store=store)
    running = asyncio.create_task(approvals.run())
    try:
        yield approvals
        assert not running.done()
    finally:
        running.cancel()
        await asyncio.wait([running])


async def requested(approvals: Approvals) -> list[str]:
    async with asyncio.timeout(4):  # a read of a partition that does not move would wait for five seconds
        return [found.execution_id for found in await approvals.search(Search())]


async def test_approvals_go_on_without_a_request_that_nobody_can_read(caplog: pytest.LogCaptureFixture) -> None:
    log, store = MemoryLog(1), SqliteApprovalStore(":memory:")
    async with approving(log, store) as approvals:
        await put(log, HERE, damaged(last(waiting(HERE))))
        await put(log, BESIDE, log_record(last(waiting(BESIDE))))
        assert await requested(approvals) == [BESIDE]
    store.close()
    [line] = [record.getMessage() for record in caplog.records if record.levelno == logging.ERROR]
    assert f"without 'waiting' of '{HERE}' at 0:1 of the log, which can't be read" in line


async def test_approvals_of_a_partition_wait_for_the_release_that_can_read_it_and_no_other_does(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    log, store = MemoryLog(2), SqliteApprovalStore(":memory:")
    async with approving(log, store) as approvals:
        await put(log, HERE, later(last(waiting(HERE))))
        await until(lambda: "wait, upgrade this server" in caplog.text)
        await put(log, BESIDE, log_record(last(waiting(BESIDE))))
        assert await requested(approvals) == [BESIDE]
    monkeypatch.setattr(codec, "SCHEMA_VERSION", 2)
    async with approving(log, store) as upgraded:
        assert sorted(await requested(upgraded)) == [HERE, BESIDE]
    store.close()
