"""The tasks topic takes any writer's word: what an owner that woke up late writes there, the owner puts right.

A resumed run opens the task of the same step and attempt again, so a tombstone of before the pause could bury it.
"""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable

import pytest

from agentspan.eventlog import CaughtUp, Change, Fenced, Record
from agentspan.eventlog.memory import MemoryLog, MemoryTable
from agentspan_orchestrator.domain import decide
from agentspan_orchestrator.leases import Leases, Watch
from agentspan_orchestrator.taskbook import TaskBook
from agentspan_schemas import Failure
from agentspan_schemas import commands as c
from tests.support.eventually import until
from tests.support.orchestration import AGENT, EXECUTION, Clock, Process, World, ask, process, result, start

OPEN = f"{EXECUTION}/1-0/1"
RETRIED = f"{EXECUTION}/model-1/2"
FAILED = c.ModelFailed(
    command_id="failed",
    execution_id=EXECUTION,
    turn=1,
    attempt=1,
    error=Failure(kind="overloaded", message="later"),
    retryable=True,
)


def control(kind: type[c.Pause] | type[c.Resume]) -> c.Command:
    """Pause or resume the run."""
    return kind(command_id=kind.__name__, execution_id=EXECUTION, by="user:bo", channel="cli")


async def written(here: Process, act: Callable[[], Awaitable[object]], count: int) -> list[Record | None]:
    """What is written under the key from now on, the first of it by `act`."""
    seen: list[Record | None] = []
    caught_up = False
    async with asyncio.timeout(20):
        async for change in here.tasks.follow():
            if isinstance(change, CaughtUp):
                caught_up = True
                await act()
            elif caught_up and change.key == OPEN:
                seen.append(change.record)
                if len(seen) == count:
                    break
    return seen


async def test_a_late_tombstone_of_before_a_pause_does_not_bury_the_task_that_was_resumed() -> None:
    async with process(World(MemoryLog(1))) as here:
        await here.send(start())
        await here.send(ask("look_up"))
        await here.send(control(c.Pause))
        assert await here.open_tasks() == []
        await here.send(control(c.Resume))
        late, again = await written(here, lambda: here.tasks.put(OPEN, None, partition=0), 2)
        assert late is None
        assert again is not None
        assert await here.open_tasks() == [OPEN]


async def test_a_late_task_that_is_closed_is_buried_before_anybody_claims_it() -> None:
    async with process(World(MemoryLog(1))) as here:
        await here.send(start())
        [task] = await written(here, lambda: here.send(ask("look_up", "refund")), 1)
        assert task is not None
        await here.send(result("1-0"))
        assert await written(here, lambda: here.tasks.put(OPEN, task, partition=0), 2) == [task, None]
        assert await here.open_tasks() == []


async def test_what_the_owner_itself_writes_is_not_written_again() -> None:
    async with process(World(MemoryLog(1))) as here:

        async def tells() -> None:
            await here.send(start())
            await here.send(ask("look_up", "refund"))
            await here.send(control(c.Pause))
            await here.send(control(c.Resume))
            await here.send(result("1-0"))
            await here.tasks.put(OPEN, None, partition=0)  # the end of what is looked at

        seen = await written(here, tells, 5)
        assert [record is not None for record in seen] == [True, False, True, False, False]


async def test_a_retry_that_a_late_owner_opens_before_ours_does_is_not_buried() -> None:
    """The simulation's seed 9000609: it was due, by both clocks, and only the timer of one had come."""
    log, tasks, clock = MemoryLog(1), MemoryTable(), Clock()
    ownership = await log.partition(0).take_over("a")
    watch = Watch(Leases(MemoryTable(), now=clock.now, lease_s=10))
    book = TaskBook(tasks, 0, watch, clock.now, confirm=ownership.confirm)
    begun = decide(None, start(), clock.now(), AGENT).state
    failed = decide(begun, FAILED, clock.now(), AGENT).state
    assert failed is not None
    running = asyncio.create_task(book.run(lambda: book.update(failed), lambda _: failed))
    await book.restored.wait()
    assert book.open_keys == set()
    clock.advance(60)
    late = Record("model", EXECUTION, b"{}")
    await tasks.put(RETRIED, late, partition=0)
    await until(lambda: book.open_keys == {RETRIED})
    running.cancel()
    [standing] = [change async for change in _until_caught_up(tasks)]
    assert standing.key == RETRIED
    assert standing.record not in (late, None), "it is our own"


async def test_an_owner_that_was_replaced_puts_nothing_right_and_hears_of_it() -> None:
    log, tasks, clock = MemoryLog(1), MemoryTable(), Clock()
    ownership = await log.partition(0).take_over("a")
    watch = Watch(Leases(MemoryTable(), now=clock.now, lease_s=10))
    book = TaskBook(tasks, 0, watch, clock.now, confirm=ownership.confirm)
    running = asyncio.create_task(book.run(lambda: None, lambda _: None))
    await book.restored.wait()
    await log.partition(0).take_over("b")
    await tasks.put(OPEN, Record("tool", EXECUTION, b"{}"), partition=0)
    with pytest.raises(Fenced, match="'b'"):
        await running


async def test_an_owner_that_was_replaced_while_it_read_what_stands_buries_nothing_of_its_successor() -> None:
    """The simulation's seed 983: its own state knew the run, but not yet the call that the successor had opened."""
    log, tasks, clock = MemoryLog(1), MemoryTable(), Clock()
    ownership = await log.partition(0).take_over("a")
    await log.partition(0).take_over("b")
    await tasks.put(OPEN, Record("tool", EXECUTION, b"{}"), partition=0)
    watch = Watch(Leases(MemoryTable(), now=clock.now, lease_s=10))
    book = TaskBook(tasks, 0, watch, clock.now, confirm=ownership.confirm)
    outcome = decide(None, start(), clock.now(), AGENT)
    with pytest.raises(Fenced, match="'b'"):
        await book.run(lambda: None, lambda _: outcome.state)
    standing = [change async for change in _until_caught_up(tasks)]
    assert [(change.key, change.record is None) for change in standing] == [(OPEN, False)]


async def _until_caught_up(tasks: MemoryTable) -> AsyncIterator[Change]:
    async for change in tasks.follow():
        if isinstance(change, CaughtUp):
            return
        yield change
