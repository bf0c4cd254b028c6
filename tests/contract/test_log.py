"""What every log promises: owners, the reader's rule over real storage, and what a stale owner can do: nothing."""

import asyncio
from collections.abc import Callable

import pytest

from agentspan.eventlog import (
    BeyondEnd,
    Deposed,
    Fenced,
    Log,
    Outcome,
    Ownership,
    Position,
    RawLog,
    Record,
    StaleEpoch,
    Stamp,
    partition_for,
)
from tests.contract.reading import counted, fill, first_outcomes, keys, outcome, record

Processes = Callable[[], Log]


async def test_outcomes_stand_in_the_order_in_which_they_were_appended(processes: Processes) -> None:
    owner = await processes().partition(0).take_over("a")
    released = await asyncio.gather(*[owner.append(outcome(str(i), 1 + i % 3)) for i in range(40)])
    read = await counted(processes().partition(0))
    assert read == released
    assert keys(read) == [f"{i}/{j}" for i in range(40) for j in range(1 + i % 3)]


async def test_outcomes_are_released_in_order(processes: Processes) -> None:
    owner = await processes().partition(0).take_over("a")
    order: list[asyncio.Future[Outcome]] = []
    appended = [owner.append(outcome(str(i))) for i in range(20)]
    for released in appended:
        released.add_done_callback(order.append)
    await asyncio.gather(*appended)
    assert order == appended


async def test_records_come_back_as_they_were(processes: Processes) -> None:
    owner = await processes().partition(0).take_over("a")
    written = [
        Record("done", "exec-ü", b'{"text": "\xe2\x82\xac"}', {"status": "completed", "agent": "süß"}),
        Record("tool_result", "large", b"x" * 1024 * 1024),
        Record("message", "", b"\x00\xff"),
    ]
    await owner.append(written)
    [read] = await first_outcomes(processes().partition(0), 1)
    assert [stored.record for stored in read.records] == written


async def test_an_owner_is_confirmed_until_another_one_has_taken_over(processes: Processes) -> None:
    owner = await processes().partition(0).take_over("a")
    await owner.confirm()
    appended = [owner.append(outcome(str(i))) for i in range(20)]
    await owner.confirm()
    await asyncio.gather(*appended)
    await processes().partition(0).take_over("b")
    with pytest.raises(Fenced, match="'b'"):
        await owner.confirm()
    with pytest.raises(Fenced):
        await owner.append(outcome("late"))


async def test_a_follower_is_woken_by_what_comes(processes: Processes) -> None:
    following = asyncio.create_task(first_outcomes(processes().partition(0), 3))
    owner = await processes().partition(0).take_over("a")
    released = await fill(owner, "x", [1, 2, 1])
    assert await following == released


async def test_a_follower_goes_on_from_a_position(processes: Processes) -> None:
    owner = await processes().partition(0).take_over("a")
    released = await fill(owner, "x", [1, 2, 3, 1, 4, 1, 2])
    for at, outcome_ in enumerate(released):
        assert await counted(processes().partition(0), outcome_.position) == released[at + 1 :]


async def test_a_new_owner_reads_up_to_its_takeover_and_no_further(processes: Processes) -> None:
    first = await processes().partition(0).take_over("a")
    before = await fill(first, "x", [2, 1])
    partition = processes().partition(0)
    second = await partition.take_over("b")
    await fill(second, "y", [1])
    assert [read async for read in partition.follow(until=second.position)] == before


async def test_a_reader_that_starts_in_the_middle_gives_the_rest(processes: Processes) -> None:
    """From every offset: inside outcomes, at takeovers, behind owners that renewed or lost their partition."""
    for round_ in range(3):
        owner = await processes().partition(0).take_over(f"owner-{round_}")
        await fill(owner, f"{round_}.", [3, 1, 2, 2, 1])
    partition = processes().partition(0)
    whole = await counted(partition)
    assert len(whole) == 15
    for start in range(await partition.end() + 1):
        assert await counted(partition, start) == [read for read in whole if read.position.offset > start]


async def test_a_position_beyond_the_end_is_refused(processes: Processes) -> None:
    with pytest.raises(BeyondEnd, match="another log"):
        await anext(processes().partition(0).follow(Position(7, 1, 3)))


async def test_partitions_are_apart(processes: Processes) -> None:
    log = processes()
    zero, one = await log.partition(0).take_over("a"), await log.partition(1).take_over("b")
    await asyncio.gather(zero.append(outcome("zero")), one.append(outcome("one")))
    assert keys(await counted(log.partition(0))) == ["zero/0"]
    assert keys(await counted(log.partition(1))) == ["one/0"]
    assert partition_for("exec-1", log.partitions) in range(log.partitions)


async def test_a_second_owner_fences_the_first(processes: Processes) -> None:
    first = await processes().partition(0).take_over("a")
    await first.append(outcome("x"))
    second = await processes().partition(0).take_over("b")
    assert second.epoch > first.epoch
    with pytest.raises(Fenced):
        await first.append(outcome("ghost"))
    await second.append(outcome("y"))
    assert keys(await counted(processes().partition(0))) == ["x/0", "y/0"]


async def test_an_owner_that_wakes_before_the_takeover_is_heard(processes: Processes) -> None:
    sleeper = await processes().partition(0).take_over("a")
    await sleeper.append(outcome("woken"))
    partition = processes().partition(0)
    owner = await partition.take_over("b")
    assert keys([read async for read in partition.follow(until=owner.position)]) == ["woken/0"]


@pytest.mark.parametrize("head_start", range(12))
async def test_an_owner_that_wakes_in_a_takeover_is_told_what_the_log_says(
    processes: Processes, head_start: int
) -> None:
    """Its outcome is released if the new owner reads it as counted, else it is fenced: never one without the other."""
    sleeper = await processes().partition(0).take_over("a")
    partition = processes().partition(0)
    taking = asyncio.create_task(partition.take_over("b"))
    for _ in range(head_start):
        await asyncio.sleep(0)
    woken = sleeper.append(outcome("woken", 3))
    owner = await taking
    restored = keys([read async for read in partition.follow(until=owner.position)])
    try:
        await woken
    except Fenced:
        assert restored == []
    else:
        assert restored == ["woken/0", "woken/1", "woken/2"]
    assert keys(await counted(partition)) == restored


async def test_an_owner_that_wakes_after_the_takeover_is_not_heard(processes: Processes) -> None:
    sleeper = await processes().partition(0).take_over("a")
    owner = await processes().partition(0).take_over("b")
    ghosts = [sleeper.append(outcome("ghost")) for _ in range(3)]
    await owner.append(outcome("y"))
    for ghost in ghosts:
        with pytest.raises(Fenced):
            await ghost
    with pytest.raises(Fenced, match="'a' is over"):
        sleeper.append(outcome("again"))
    await owner.append(outcome("z"))
    assert keys(await counted(processes().partition(0))) == ["y/0", "z/0"]


async def test_of_owners_that_race_the_last_one_stays(processes: Processes) -> None:
    racing = [processes().partition(0).take_over(f"owner-{i}") for i in range(4)]
    owners = await asyncio.gather(*racing)
    assert len({owner.epoch for owner in owners}) == 4
    last = max(owners, key=lambda owner: owner.epoch)
    await last.append(outcome("last"))
    for owner in owners:
        if owner is not last:
            with pytest.raises(Fenced):
                await owner.append(outcome("ghost"))
    assert keys(await counted(processes().partition(0))) == ["last/0"]


async def test_a_torn_outcome_is_nobodys(processes: Processes) -> None:
    """Its owner died in the middle of it; its rest may even come after the next takeover."""
    partition = processes().partition(0)
    torn = await partition.take_over("a")
    await land(partition.raw, torn, [(1, True), (2, False)])
    assert keys(await counted(processes().partition(0))) == ["1"]
    owner = await partition.take_over("b")
    await land(partition.raw, torn, [(3, True)])
    await owner.append(outcome("y"))
    assert keys(await counted(processes().partition(0))) == ["1", "y/0"]


async def test_after_a_hole_nothing_more_of_the_epoch_counts(processes: Processes) -> None:
    partition = processes().partition(0)
    owner = await partition.take_over("a")
    await land(partition.raw, owner, [(1, True), (3, True), (2, True), (3, True), (4, True)])
    assert keys(await counted(processes().partition(0))) == ["1"]
    after = await processes().partition(0).take_over("b")
    await after.append(outcome("y"))
    assert keys(await counted(processes().partition(0))) == ["1", "y/0"]


async def test_ghosts_between_its_records_do_not_stop_an_owner(processes: Processes) -> None:
    stale = await processes().partition(0).take_over("a")
    partition = processes().partition(0)
    owner = await partition.take_over("b")
    for i in range(4):
        await land(partition.raw, stale, [(i + 1, True)])
        await land(partition.raw, stale, [(0, True)])
        await owner.append(outcome(f"y{i}", 2))
    assert keys(await counted(partition)) == [f"y{i}/{j}" for i in range(4) for j in range(2)]


@pytest.mark.parametrize("twice", [[1], [2], [1, 2]], ids=str)
async def test_an_owner_whose_record_stands_twice_releases_nothing_that_does_not_count(
    processes: Processes, twice: list[int]
) -> None:
    """As a producer does that gives up on a write to another partition: what was on its way to this one is repeated."""
    partition = processes().partition(0)
    owner = await partition.take_over("a")
    released = [await owner.append(outcome("x"))] if twice[0] == 2 else []
    await land(partition.raw, owner, [(n, True) for n in twice])
    with pytest.raises(Deposed, match="take over again"):
        await owner.append(outcome("y"))
    again = await partition.take_over("a")
    released.append(await again.append(outcome("z")))
    read = await counted(partition)
    assert [each for each in read if each in released] == released
    assert "y/0" not in keys(read)


async def test_an_owner_takes_over_anew_and_keeps_the_order(processes: Processes) -> None:
    owner = await processes().partition(0).take_over("a")
    epoch = owner.epoch
    released = await asyncio.gather(*[owner.append(outcome(str(i), 2)) for i in range(30)])
    assert owner.epoch >= epoch + 9  # every six records
    read = await counted(processes().partition(0))
    assert read == released
    assert [stored.stamp.n for outcome_ in read for stored in outcome_.records] == [1, 2, 3, 4, 5, 6] * 10
    for stored in (stored for outcome_ in read for stored in outcome_.records):
        assert stored.offset - stored.stamp.takeover == stored.stamp.n, "no reader has further to go back"


async def test_an_owner_that_lost_its_partition_does_not_take_over_anew(processes: Processes) -> None:
    stale = await processes().partition(0).take_over("a")
    owner = await processes().partition(0).take_over("b")
    ghosts = [stale.append(outcome(f"ghost{i}", 3)) for i in range(5)]
    assert all(isinstance(error, Fenced) for error in await asyncio.gather(*ghosts, return_exceptions=True))
    await owner.append(outcome("y"))
    assert keys(await counted(processes().partition(0))) == ["y/0"]


async def test_a_closed_ownership_releases_nothing_more(processes: Processes) -> None:
    owner = await processes().partition(0).take_over("a")
    await owner.append(outcome("x"))
    waiting = [owner.append(outcome(f"y{i}", 3)) for i in range(4)]
    owner.close()
    errors = await asyncio.gather(*waiting, return_exceptions=True)
    assert all(isinstance(error, Deposed) and not isinstance(error, Fenced) for error in errors)
    with pytest.raises(Deposed, match="closed"):
        owner.append(outcome("z"))


async def test_an_outcome_without_records_is_refused(processes: Processes) -> None:
    owner = await processes().partition(0).take_over("a")
    with pytest.raises(ValueError, match="at least one record"):
        owner.append([])


async def test_whoever_asks_for_an_outcome_may_go_away(processes: Processes) -> None:
    owner = await processes().partition(0).take_over("a")
    owner.append(outcome("x")).cancel()
    await owner.append(outcome("y"))
    assert keys(await counted(processes().partition(0))) == ["x/0", "y/0"]


async def land(raw: RawLog, owner: Ownership, numbers: list[tuple[int, bool]]) -> None:
    """Write records of an owner below it, each as (n, last): what the network makes of an honest owner's writes.

    A log may refuse those of a stale owner.
    """
    takeover = owner.position.offset - 1
    for n, last in numbers:
        try:
            await raw.append([(Stamp(owner.position.epoch, n, last, takeover), record(str(n)))])
        except StaleEpoch:
            continue
