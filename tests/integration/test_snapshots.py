"""A partition moves to a process without its cache: it restores the fold of all, and reads only the tail of the log."""

import asyncio

import pytest

from agentspan.eventlog import Position, Record
from agentspan.eventlog.memory import MemoryLog
from agentspan_orchestrator import snapshots
from agentspan_orchestrator.domain import load_state
from tests.support.orchestration import EXECUTION, approve, result, say, start
from tests.support.snapshot_stories import A_ROUND_S, OTHER, chat, epochs, play, written
from tests.support.snapshots import ComparedCache, Ground, Member, everything, told


def test_a_process_without_a_cache_reads_the_tail_alone() -> None:
    async def story(ground: Ground) -> None:
        first, second = Member(ground, "first"), Member(ground, "second")
        await written(ground, first)
        await ground.send(*chat("three", "four", "five"))
        await first.caught_up()
        first.process.kill()
        await second.served()
        assert (second.read, second.cache.restored) == (3, 1)
        await ground.send(approve("1-0"), result("1-1"))
        await second.caught_up()
        assert everything(second.cache) == told(ground.fold().values())

    play(story)


def test_without_a_table_the_whole_log_is_folded() -> None:
    async def story(ground: Ground) -> None:
        first, second = Member(ground, "first", table=False), Member(ground, "second", table=False)
        await first.served()
        await ground.send(start(), *chat("one", "two"))
        await asyncio.sleep(A_ROUND_S)
        assert ground.standing() == {}
        first.process.kill()
        await second.served()
        assert (second.read, second.cache.restored) == (4, 1)

    play(story)


def test_commands_go_on_after_the_checkpoint_and_none_is_decided_twice() -> None:
    async def story(ground: Ground) -> None:
        first, second = Member(ground, "first"), Member(ground, "second")
        await written(ground, first)
        first.process.kill()
        await second.served()
        assert second.read == 0
        before = await ground.log.partition(0).end()
        await ground.send(*chat("three"))
        await second.caught_up()
        assert await ground.log.partition(0).end() == before + 1

    play(story)


@pytest.mark.parametrize("kept", ["newer than the checkpoint", "older than the checkpoint", "of another log"])
def test_a_kept_cache_is_used_as_far_as_it_goes(kept: str) -> None:
    async def story(ground: Ground) -> None:
        first, second = Member(ground, "first"), Member(ground, "second")
        await first.served()
        await ground.send(start())
        await first.caught_up()
        if kept == "older than the checkpoint":
            first.cache.copy()
        await ground.send(start(OTHER), *chat("one", "two"))
        await asyncio.sleep(A_ROUND_S)
        await ground.send(*chat("three", "four"))
        await first.caught_up()
        if kept == "of another log":
            first.cache.open("another")
        elif kept == "older than the checkpoint":
            first.cache.set_back()
        first.process.kill()
        second.cache = first.cache
        await second.served()
        assert second.read == (0 if kept == "newer than the checkpoint" else 2)

    play(story)


def test_a_cache_ahead_of_its_log_is_thrown_away_with_the_table() -> None:
    """The log was restored from an older copy, under the same id."""

    async def story(ground: Ground) -> None:
        first = Member(ground, "first")
        await written(ground, first)
        first.process.kill()
        ground.log = MemoryLog(1)
        await ground.log.partition(0).take_over("the copy's")
        third = Member(ground, "third")
        third.cache = first.cache
        await third.served()
        assert ground.standing() == {}
        await ground.send(start("exec-cccccccccccccccc"))
        await asyncio.sleep(A_ROUND_S)
        third.process.kill()
        fourth = Member(ground, "fourth")
        await fourth.served()
        assert everything(fourth.cache) == told(ground.fold().values())

    play(story)


def test_a_table_of_another_log_is_ignored_and_buried() -> None:
    async def story(ground: Ground) -> None:
        first = Member(ground, "first")
        await written(ground, first)
        first.process.kill()
        ground.log = MemoryLog(1, id="new")
        await ground.log.partition(0).take_over("an owner")
        second = Member(ground, "second")
        await second.served()
        assert second.cache.restored == 1, "empty, as the log is"
        await ground.send(start("exec-cccccccccccccccc"))
        await asyncio.sleep(A_ROUND_S)
        assert {record.attributes["logid"] for record in ground.standing().values()} == {"new"}

    play(story)


@pytest.mark.parametrize("what", ["checkpoint", EXECUTION])
@pytest.mark.parametrize("harm", ["another version", "no position", "no state"])
def test_what_cannot_be_read_is_ignored_and_the_log_folded_from_before(what: str, harm: str) -> None:
    async def story(ground: Ground) -> None:
        first, second, third = (Member(ground, name) for name in ("first", "second", "third"))
        await written(ground, first)
        first.process.kill()
        key = f"{what}/1"
        record = ground.standing()[key]
        broken = {
            "another version": record._replace(attributes={**record.attributes, "snapshotversion": "999"}),
            "no position": record._replace(attributes={**record.attributes, "position": "soon"}),
            "no state": record._replace(value=b'{"odd": true}'),
        }[harm]
        await ground.snapshots.put(key, broken, partition=0)
        await second.served()
        harmless = what == "checkpoint" and harm == "no state"
        assert second.since == (second.cache.position if harmless else Position(0, 0, 0))
        await ground.send(*chat("three"))
        await asyncio.sleep(A_ROUND_S)
        second.process.kill()
        await third.served()
        assert (third.read, third.cache.restored) == (0, 1), "and the next owner finds it mended"

    play(story)


def test_a_key_that_no_owner_writes_is_passed_over() -> None:
    async def story(ground: Ground) -> None:
        first, second = Member(ground, "first"), Member(ground, "second")
        await written(ground, first)
        first.process.kill()
        await ground.snapshots.put("note/to self", Record("note", "note", b"{}"), partition=0)
        await second.served()
        assert (second.read, second.cache.restored) == (0, 1)

    play(story)


def test_a_finished_execution_stands_as_a_stub_that_still_answers() -> None:
    async def story(ground: Ground) -> None:
        first, second = Member(ground, "first"), Member(ground, "second")
        await first.served()
        await ground.send(start(), say("x" * 5000, turn=1))
        await asyncio.sleep(A_ROUND_S)
        stub = ground.standing()[f"{EXECUTION}/1"]
        assert len(stub.value) < 2000
        assert load_state(stub.value).status == "completed"
        first.process.kill()
        await second.served()
        before = ground.fold()
        await ground.send(start())
        await second.caught_up()
        assert ground.fold()[EXECUTION].seq == before[EXECUTION].seq, "the old ticket starts nothing again"

    play(story)


def test_a_late_command_of_what_is_over_leaves_a_second_stub_until_the_next_takeover() -> None:
    """Nobody remembers the keys of all that ever ran."""

    async def story(ground: Ground) -> None:
        first, second, third = (Member(ground, name) for name in ("first", "second", "third"))
        await first.served()
        await ground.send(start(), say("Done.", turn=1))
        await asyncio.sleep(A_ROUND_S)
        first.process.kill()
        for number, member in enumerate((second, third)):
            await member.served()
            await ground.send(*chat(f"too late {number}"))
            await asyncio.sleep(A_ROUND_S)
            assert epochs(ground, EXECUTION) == [number + 1, number + 2]
            member.process.kill()

    play(story)


def test_many_executions_are_filled_in_batch_by_batch(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(snapshots, "FILLED_AT_ONCE", 7)
    monkeypatch.setattr(snapshots, "PUT_AT_ONCE", 7)

    async def story(ground: Ground) -> None:
        sizes: list[int] = []

        class Counting(ComparedCache):
            def fill(self, snapshots):  # type: ignore[no-untyped-def]
                filled = list(snapshots)
                sizes.append(len(filled))
                super().fill(filled)

        first, second = Member(ground, "first"), Member(ground, "second")
        await first.served()
        await ground.send(*[start(f"exec-{number:016d}") for number in range(50)])
        await asyncio.sleep(A_ROUND_S)
        first.process.kill()
        second.cache = Counting(ground)
        await second.served()
        assert (second.read, sum(sizes), max(sizes)) == (0, 50, 7)

    play(story)
