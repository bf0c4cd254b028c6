"""What the memory log's faults do, one by one, and that an owner answers each with an error and no lie."""

import asyncio
import random
from collections.abc import Awaitable, Callable

import pytest

from agentspan.eventlog import CaughtUp, Change, Deposed, FateUnknown, Fenced, Outcome, PartitionLog, Record, Stamp
from agentspan.eventlog.memory import Faults, Link, MemoryInbox, MemoryLog, MemoryTable


class Sleeps:
    """A sleep that takes one turn of the event loop and remembers for how long it should have been."""

    def __init__(self) -> None:
        self.seconds: list[float] = []

    async def __call__(self, seconds: float) -> None:
        self.seconds.append(seconds)
        await asyncio.sleep(0)


def link(seed: int = 0, sleep: Callable[[float], Awaitable[object]] | None = None, **faults: float) -> Link:
    return Link(Faults(random.Random(seed), sleep or Sleeps(), **faults))


def outcome(name: str, size: int = 1) -> list[Record]:
    return [Record("x", f"{name}/{i}", b"{}") for i in range(size)]


async def counted(partition: PartitionLog) -> list[str]:
    until = (await partition.take_over("auditor")).position
    return [stored.record.key async for read in partition.follow(until=until) for stored in read.records]


async def turns(count: int = 50) -> None:
    for _ in range(count):
        await asyncio.sleep(0)


async def landed(log: MemoryLog) -> list[str]:
    return [stored.record.key for stored in await log.partition(0).raw.read(0, 1000)]


async def test_a_lost_record_deposes_its_owner_and_all_behind_it() -> None:
    log = MemoryLog(1)
    process = link(seed=3, lose=0.0)
    owner = await log.over(process).partition(0).take_over("a")
    await owner.append(outcome("x"))
    process.faults = Faults(random.Random(1), Sleeps(), lose=0.5)
    results = await asyncio.gather(*[owner.append(outcome(f"y{i}", 2)) for i in range(6)], return_exceptions=True)
    first = next(at for at, result in enumerate(results) if isinstance(result, Deposed))
    assert all(isinstance(result, Outcome) for result in results[:first])
    assert all(isinstance(result, Deposed) and isinstance(result.__cause__, FateUnknown) for result in results[first:])
    after = [key for key in await landed(log) if key.startswith("y")]
    released = [key for at in range(first) for key in (f"y{at}/0", f"y{at}/1")]
    assert len(after) > len(released), "a later record landed behind the hole"
    assert (await counted(log.partition(0)))[1:] == released


async def test_a_torn_outcome_never_counts() -> None:
    log = MemoryLog(1)
    process = link(tear=1.0)
    broker = await log.partition(0).take_over("a")
    with pytest.raises(FateUnknown):
        await log.over(process).partition(0).take_over("b")
    await broker.append(outcome("x"))
    assert await counted(log.partition(0)) == ["x/0"]


async def test_a_forgotten_acknowledgement_leaves_the_outcome_to_be_read() -> None:
    log = MemoryLog(1)
    process = link()
    owner = await log.over(process).partition(0).take_over("a")
    process.faults = Faults(random.Random(0), Sleeps(), forget=1.0)
    with pytest.raises(Deposed, match="read what stands") as deposed:
        await owner.append(outcome("x"))
    assert isinstance(deposed.value.__cause__, FateUnknown)
    assert await counted(log.partition(0)) == ["x/0"]


async def test_what_a_producer_repeats_ends_the_ownership_and_counts_once() -> None:
    log = MemoryLog(1)
    process = link()
    owner = await log.over(process).partition(0).take_over("a")
    process.faults = Faults(random.Random(0), Sleeps(), repeat=1.0)
    with pytest.raises(Deposed, match="read what stands") as deposed:
        await owner.append(outcome("x"))
    assert isinstance(deposed.value.__cause__, FateUnknown)
    assert await counted(log.partition(0)) == ["x/0"]


async def test_a_takeover_of_unknown_fate_is_harmless() -> None:
    log = MemoryLog(1)
    process = link(forget=1.0)
    with pytest.raises(FateUnknown):
        await log.over(process).partition(0).take_over("a")
    process.faults = Faults(random.Random(0), Sleeps())
    owner = await log.over(process).partition(0).take_over("a")
    await owner.append(outcome("x"))
    assert owner.epoch == 2
    assert await counted(log.partition(0)) == ["x/0"]


async def test_what_a_frozen_owner_wrote_lands_when_it_is_thawed() -> None:
    log = MemoryLog(1)
    process = link()
    sleeper = await log.over(process).partition(0).take_over("a")
    process.freeze()
    ghost = sleeper.append(outcome("ghost"))
    await turns()
    owner = await log.partition(0).take_over("b")
    await owner.append(outcome("y0"))
    assert "ghost/0" not in await landed(log)
    process.thaw()
    with pytest.raises(Fenced, match="'b' has taken over"):
        await ghost
    await owner.append(outcome("y1"))
    assert "ghost/0" in await landed(log)
    assert await counted(log.partition(0)) == ["y0/0", "y1/0"]


async def test_of_a_killed_process_nothing_more_lands() -> None:
    log = MemoryLog(1)
    process = link()
    owner = await log.over(process).partition(0).take_over("a")
    waiting = owner.append(outcome("x", 40))
    await turns(10)
    process.cut()
    await turns()
    stands = [key for key in await landed(log) if key.startswith("x")]
    assert 0 < len(stands) < 40
    assert not waiting.done()
    assert await counted(log.partition(0)) == []
    log.over(process).partition(0).raw.append([(Stamp(1, 41, True, 0), outcome("x")[0])])
    await turns()
    assert [key for key in await landed(log) if key.startswith("x")] == stands


async def test_crossings_take_as_long_as_chance_says() -> None:
    sleeps = Sleeps()
    owner = await MemoryLog(1).over(link(sleep=sleeps, delay_s=0.5, stall=0.2, stall_s=30)).partition(0).take_over("a")
    await asyncio.gather(*[owner.append(outcome(str(i))) for i in range(60)])
    assert all(0 <= seconds <= 30 for seconds in sleeps.seconds)
    short = [seconds for seconds in sleeps.seconds if seconds <= 0.5]
    assert 0.6 < len(short) / len(sleeps.seconds) < 0.95


async def test_the_same_seed_is_the_same_run() -> None:
    async def run(seed: int) -> list[str]:
        log = MemoryLog(1)
        chances = random.Random(seed)
        for who in "abc":
            process = Link(Faults(chances, Sleeps(), lose=0.1, tear=0.1, forget=0.1, delay_s=1))
            try:
                owner = await log.over(process).partition(0).take_over(who)
                for i in range(20):
                    await owner.append(outcome(f"{who}{i}", 2))
            except (Deposed, FateUnknown):
                continue
        return await landed(log)

    assert await run(5) == await run(5)
    assert await run(5) != await run(6)


async def test_an_inbox_may_receive_a_record_twice() -> None:
    inbox = MemoryInbox(1, id="i")
    await inbox.over(link(twice=1.0)).send(0, Record("start", "exec-1", b"{}"))
    receiving = inbox.receive(0, 0)
    assert [(await anext(receiving))[1].key for _ in range(2)] == ["exec-1", "exec-1"]


async def test_a_put_into_a_table_may_land_late() -> None:
    table = MemoryTable()
    process = link()
    process.freeze()
    late = table.over(process).put("task", Record("open", "task", b"{}"))
    await table.put("task", None)
    process.thaw()
    await late
    following = table.follow()
    first = await anext(following)
    assert first != CaughtUp()


async def test_objects_do_not_cross_a_link() -> None:
    log = MemoryLog(1)
    made = Record("x", "k", b"{}", message=object())
    for process, crosses in ((log, True), (log.over(link()), False)):
        owner = await process.partition(0).take_over("a")
        released = await owner.append([made])
        [stored] = await log.partition(0).raw.read(released.records[0].offset, 1)
        assert (stored.record.message is made.message) is crosses


async def test_an_object_reaches_who_follows_a_table_but_does_not_stay_there() -> None:
    table, made = MemoryTable(), Record("x", "k", b"{}", message=object())
    following = table.follow()
    assert await anext(following) == CaughtUp()
    await table.put("k", made)
    assert made.message is not None
    for follower, kept in ((following, made.message), (table.follow(), None)):
        change = await anext(follower)
        assert isinstance(change, Change)
        assert change.record == made
        assert change.record is not None
        assert change.record.message is kept


async def test_an_inbox_forgets_what_was_received_long_ago() -> None:
    inbox = MemoryInbox(1, id="i", keep=10)
    for i in range(100):
        await inbox.send(0, Record("start", str(i), b"{}"))
    receiving = inbox.receive(0, 0)
    assert [(await anext(receiving))[0] for _ in range(90)] == list(range(90))
    earliest, record = await anext(inbox.receive(0, 0))
    assert 75 < earliest < 80
    assert record.key == str(earliest)
    assert (await anext(receiving))[1].key == "90"
