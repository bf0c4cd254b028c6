"""The rounds in which an owner writes snapshots: what is written and buried, late, again, or broken off half-way."""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import replace

import pytest

from agentspan.eventlog import FateUnknown, Record
from agentspan.eventlog.memory import MemoryTable
from agentspan_orchestrator import snapshots
from agentspan_schemas import commands as c
from tests.support.orchestration import EXECUTION, start
from tests.support.snapshot_stories import A_ROUND_S, OTHER, chat, checkpoint, epochs, play, written
from tests.support.snapshots import Ground, Member


def test_each_epoch_buries_what_stands_under_lower_ones() -> None:
    async def story(ground: Ground) -> None:
        for number in range(3):
            member = Member(ground, str(number))
            await member.served()
            await ground.send(start(), *chat(f"{number}"))
            await asyncio.sleep(A_ROUND_S)
            member.process.kill()
        assert list(ground.standing()) == [f"{EXECUTION}/3", "checkpoint/3"]

    play(story)


def test_an_owner_that_renews_its_takeover_writes_under_its_new_epoch() -> None:
    async def story(ground: Ground) -> None:
        first, second = Member(ground, "first", renew_after=4), Member(ground, "second")
        await written(ground, first)
        await ground.send(*chat("three", "four", "five", "six", "seven"))
        await asyncio.sleep(A_ROUND_S)
        assert epochs(ground, EXECUTION) == epochs(ground, "checkpoint")
        assert epochs(ground, EXECUTION)[0] > epochs(ground, OTHER)[0] > 1
        first.process.kill()
        await second.served()
        assert (second.read, second.cache.restored) == (0, 1)

    play(story)


def test_a_stale_owner_that_writes_late_hides_nothing() -> None:
    async def story(ground: Ground) -> None:
        first, second, third = (Member(ground, name) for name in ("first", "second", "third"))
        await first.served()
        await ground.send(start(), start(OTHER))
        await first.caught_up()
        await asyncio.sleep(snapshots.ROUND_EVERY_S - 20)
        first.process.cut_off()  # its clock goes on: its round waits in its own network
        await asyncio.sleep(30)
        await second.served()
        await ground.send(*chat("one", "two"))
        await asyncio.sleep(A_ROUND_S)
        [stands] = epochs(ground, EXECUTION)
        first.process.thaw()
        await asyncio.sleep(20)
        assert epochs(ground, EXECUTION) == [1, stands]
        second.process.kill()
        first.process.kill()
        await third.served()
        assert (third.read, third.cache.restored) == (0, 1)
        await ground.send(*chat("three"))
        await asyncio.sleep(A_ROUND_S)
        assert len(epochs(ground, EXECUTION)) == 1

    play(story)


@pytest.mark.parametrize("what", ["checkpoint", EXECUTION])
def test_who_finds_the_writing_of_a_later_owner_is_fenced_and_takes_over_above_it(what: str) -> None:
    async def story(ground: Ground) -> None:
        first, second = Member(ground, "first"), Member(ground, "second")
        await written(ground, first)
        first.process.kill()
        key = next(key for key in ground.standing() if key.startswith(what))
        await ground.snapshots.put(f"{what}/4", ground.standing()[key], partition=0)
        await second.served()
        taken = [
            stored.stamp.epoch for stored in await ground.log.partition(0).raw.read(0, 1000) if stored.stamp.n == 0
        ]
        assert taken == [1, 2, 3, 4, 5]

    play(story)


class Stubborn:
    """A table that fails the puts that it is told to fail, before they land or after."""

    def __init__(self, table: MemoryTable, fails: Callable[[str, Record | None], bool], *, lands: bool) -> None:
        self.partitions = table.partitions
        self.follow = table.follow
        self.fails = fails
        self._table = table
        self._lands = lands

    def put(self, key: str, record: Record | None, *, partition: int | None = None) -> Awaitable[object]:
        if not self.fails(key, record):
            return self._table.put(key, record, partition=partition)
        if self._lands:
            self._table.put(key, record, partition=partition)
        failed: asyncio.Future[Sequence[None]] = asyncio.get_running_loop().create_future()
        failed.set_exception(FateUnknown("nobody knows"))
        return failed


def stubborn(member: Member, fails: Callable[[str, Record | None], bool], *, lands: bool = False) -> Stubborn:
    """Let that member's table fail."""
    table = Stubborn(member.snapshots, fails, lands=lands)
    around = member.orchestrator._around
    member.orchestrator._around = replace(around, snapshots=table)
    return table


@pytest.mark.parametrize("lands", [False, True])
@pytest.mark.parametrize(
    "failing", ["a snapshot", "the checkpoint", "a tombstone"]
)  # a crash at any of these points leaves the same table as a write that fails for ever
def test_a_round_that_breaks_off_anywhere_leaves_a_table_to_restore_from(failing: str, lands: bool) -> None:
    async def story(ground: Ground) -> None:
        first, second, third = (Member(ground, name) for name in ("first", "second", "third"))
        await written(ground, first)
        first.process.kill()
        fails: Callable[[str, Record | None], bool]
        fails = {
            "a snapshot": lambda key, record: key == f"{EXECUTION}/2" and record is not None,
            "the checkpoint": lambda key, record: key == "checkpoint/2",
            "a tombstone": lambda key, record: record is None,
        }[failing]
        stubborn(second, fails, lands=lands)
        await second.served()
        await ground.send(*chat("three", "four", to=OTHER), *chat("three"))
        await asyncio.sleep(3 * A_ROUND_S)
        assert (f"{EXECUTION}/1" in ground.standing()) != (failing == "a tombstone" and lands)
        assert ("checkpoint/2" in ground.standing()) == (failing == "a tombstone" or (failing[0] == "t" and lands))
        second.process.cut_off()
        await third.served()
        assert third.read == (0 if "checkpoint/2" in ground.standing() else 3)
        assert third.cache.restored == 1

    play(story)


def test_a_failed_round_is_made_up_for_by_the_next() -> None:
    async def story(ground: Ground) -> None:
        first, second = Member(ground, "first"), Member(ground, "second")
        table = stubborn(first, lambda key, record: True)
        await first.served()
        await ground.send(start())
        await asyncio.sleep(2 * A_ROUND_S)
        assert ground.standing() == {}
        await ground.send(*chat("one"))
        await first.caught_up()
        assert len(ground.fold()[EXECUTION].inbox) == 1, "decisions do not wait for it"
        table.fails = lambda key, record: False
        await asyncio.sleep(A_ROUND_S)
        first.process.kill()
        await second.served()
        assert (second.read, second.cache.restored) == (0, 1)

    play(story)


def test_many_records_bring_a_round_before_its_time(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(snapshots, "ROUND_AFTER_RECORDS", 3)

    async def story(ground: Ground) -> None:
        first = Member(ground, "first")
        await first.served()
        await ground.send(start())
        await asyncio.sleep(5)
        assert ground.standing() == {}
        await ground.send(*chat("one"))
        await asyncio.sleep(5)
        assert len(ground.standing()) == 2

    play(story)


def test_a_quiet_partition_writes_nothing_again() -> None:
    async def story(ground: Ground) -> None:
        first, second = Member(ground, "first"), Member(ground, "second")
        await written(ground, first)
        before = ground.standing()
        await asyncio.sleep(3 * A_ROUND_S)
        first.process.kill()
        await second.served()
        await asyncio.sleep(3 * A_ROUND_S)
        assert ground.standing() == before

    play(story)


def test_only_what_changed_is_written() -> None:
    async def story(ground: Ground) -> None:
        first, second = Member(ground, "first"), Member(ground, "second")
        await written(ground, first)
        await ground.send(*chat("three"))
        await first.caught_up()
        first.process.kill()
        await second.served()  # the tail is a change as well
        await asyncio.sleep(A_ROUND_S)
        assert (epochs(ground, EXECUTION), epochs(ground, OTHER), epochs(ground, "checkpoint")) == ([2], [1], [2])

    play(story)


def test_a_state_too_large_for_the_table_holds_the_checkpoint_back_until_it_shrinks(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(snapshots, "MAX_VALUE_BYTES", 4000)

    async def story(ground: Ground) -> None:
        first, second, third = (Member(ground, name) for name in ("first", "second", "third"))
        await written(ground, first)
        _, before = checkpoint(ground)
        await ground.send(*chat("x" * 4000), *chat("three", to=OTHER))
        await asyncio.sleep(2 * A_ROUND_S)
        assert checkpoint(ground)[1] == before
        first.process.kill()
        await second.served()
        assert (second.read, second.cache.restored) == (2, 1)
        cancel = {"command_id": "stop", "execution_id": EXECUTION, "by": "user:ana", "channel": "cli"}
        await ground.send(c.Cancel.model_validate(cancel))
        await asyncio.sleep(A_ROUND_S)
        second.process.kill()
        await third.served()
        assert (third.read, third.cache.restored) == (0, 1)

    play(story)
