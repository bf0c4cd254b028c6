"""A record that stands where an event should and cannot be read, for everybody who reads the log beside history: nobody
ends, and what concerns others goes on."""

import asyncio
import logging
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

import pytest

from agentspan.eventlog import Log, Record, partition_for
from agentspan.eventlog.commands import CommandLog, OutcomeUnknown, Unavailable
from agentspan.eventlog.memory import MemoryInbox, MemoryLog
from agentspan.eventlog.messages import log_record
from agentspan_approvals.adapters.sqlite_store import SqliteApprovalStore
from agentspan_approvals.ports import Search
from agentspan_approvals.service import Approvals
from agentspan_schemas import codec
from agentspan_schemas.events import Event
from tests.support.eventually import WITHIN_S, until
from tests.support.orchestration import World, process, say, start
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


@pytest.mark.parametrize("make", [damaged, later])
async def test_a_partition_whose_state_is_not_known_is_not_decided_and_the_other_is(
    make: Callable[[Event], Record], caplog: pytest.LogCaptureFixture
) -> None:
    world, number = World(MemoryLog(2)), partition_for(HERE, 2)
    async with process(world) as here:
        await here.send(start(HERE))
        await here.send(start(BESIDE))
        await put(world.log, HERE, make(last(waiting(HERE))))
        met = asyncio.create_task(here.send(say("Hello.", turn=1, execution_id=HERE)))
        await until(lambda: "can't be read" in (here.orchestrator.unavailable(number) or ""))
        with pytest.raises(OutcomeUnknown):
            await met
        with pytest.raises(Unavailable, match=f"'waiting' of '{HERE}' at {number}:[0-9]+ of the log can't be read"):
            await here.send(say("Hello.", turn=1, execution_id=HERE))
        assert (await here.send(say("Hello.", turn=1, execution_id=BESIDE))).refusal is None
        end = await world.log.partition(number).end()
        for _ in range(20):
            await asyncio.sleep(0.01)
        assert await world.log.partition(number).end() == end  # it is not taken over again and again
    [line] = [record.getMessage() for record in caplog.records if record.levelno == logging.ERROR]
    assert f"partition {number}: nothing of it is decided" in line


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
