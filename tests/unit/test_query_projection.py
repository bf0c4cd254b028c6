"""The projection's one loop over all partitions: what is written together, when, and what a failure may not lose."""

import asyncio
from collections import Counter

import pytest

from agentspan.eventlog.memory import MemoryLog
from agentspan.eventlog.messages import log_record
from agentspan_query import batch, projection, sources
from agentspan_query.items import Item
from agentspan_query.projection import FLUSH_S, MANY_EVENTS, MOST_FLUSHES
from tests.support.eventually import until
from tests.support.projection_room import Tables, many, room
from tests.support.query_history import T0, History


async def test_what_all_partitions_have_ready_is_written_in_one() -> None:
    async with room(MemoryLog(3), Tables()) as here:
        for number in (2, 0, 1):
            await here.append(number, History(f"exec-{number}").started().done())
        await here.sleeper.wake()
        await here.caught_up()
        assert sorted(here.tables.writes[0]) == [f"exec-{number}/{seq}" for number in range(3) for seq in (1, 2)]
        assert len(here.tables.writes) == 1
        assert here.tables.executions == dict.fromkeys(("exec-0", "exec-1", "exec-2"), "completed")
        ends = {number: await here.log.partition(number).end() for number in range(3)}
        assert {number: at.offset for number, at in here.tables.saved.items()} == here.projection.reached == ends


async def test_what_was_there_before_is_written_at_once_and_what_comes_then_only_once() -> None:
    log, tables = MemoryLog(2), Tables()
    async with room(log, tables) as here:
        await here.append(0, History("exec-a").started())
    assert tables.rows == []
    async with room(log, tables) as later:
        assert tables.rows == ["exec-a/1"]
        await later.append(0, History("exec-b").started())
        await later.sleeper.wake()
        await later.caught_up()
    assert tables.rows == ["exec-a/1", "exec-b/1"]


@pytest.mark.parametrize("refused", ["rows", "positions"])
async def test_what_is_refused_is_written_again_the_same_and_no_position_leads(refused: str) -> None:
    async with room(MemoryLog(2), Tables()) as here:
        here.tables.refuses = refused
        await here.append(0, History("exec-a").started())
        await here.append(1, History("exec-b").started())
        await here.sleeper.wake()
        await until(lambda: here.projection.trouble == "gone")
        await here.append(1, History("exec-c").started())
        await here.sleeper.wake()
        await until(lambda: here.projection.failed == 2)
        assert here.tables.saved == {}
        here.tables.refuses = ""
        await here.sleeper.wake()
        await until(lambda: here.projection.trouble is None)
        await here.sleeper.wake()
        await here.caught_up()
        assert here.sleeper.slept[1:3] == [0.5, 1.0]
        again = [["exec-a/1", "exec-b/1"]] * (3 if refused == "positions" else 1)
        assert here.tables.writes == [*again, ["exec-c/1"]]
        assert here.projection.written == 3


async def test_a_process_that_died_before_positions_were_saved_writes_the_same_rows_again() -> None:
    log, tables = MemoryLog(2), Tables()
    async with room(log, tables) as here:
        tables.refuses = "positions"
        await here.append(0, History("exec-a").started().waiting())
        await here.append(1, History("exec-b").started())
        await here.sleeper.wake()
        await until(lambda: here.projection.failed)
    tables.refuses = ""
    async with room(log, tables):
        assert tables.writes == [["exec-a/1", "exec-a/2", "exec-b/1"]] * 2
        assert sorted(tables.saved) == [0, 1]


async def test_a_long_backlog_of_one_partition_keeps_no_other_waiting(monkeypatch: pytest.MonkeyPatch) -> None:
    for module in (batch, projection):
        monkeypatch.setattr(module, "FLUSH_ROWS", 10)
    log, tables = MemoryLog(2), Tables()
    async with room(log, tables) as here:
        tables.refuses = "rows"
        await here.append(0, *many(100, "exec-0"))
        await here.append(1, *many(3, "exec-1"))
    tables.refuses = ""
    async with room(log, tables):
        rows = [row for row in tables.rows if row.startswith("exec-1")]
        assert max(tables.rows.index(row) for row in rows) < 20
        assert len(tables.rows) == 103


async def test_a_few_events_wait_once() -> None:
    async with room(MemoryLog(2), Tables()) as here:
        await here.append(0, *many(MANY_EVENTS - 1))
        await here.sleeper.wake()
        await here.caught_up()
        assert here.sleeper.slept == [FLUSH_S]


async def test_the_rows_of_a_flood_are_made_in_many_turns_of_the_loop(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sources, "ROWS_A_TURN", 10)
    made = Counter[int]()
    turn, real = 0, batch.Batch.add

    def counted(self: batch.Batch, item: Item) -> None:
        made[turn] += 1
        real(self, item)

    async def turns() -> None:
        nonlocal turn
        while True:
            await asyncio.sleep(0)
            turn += 1

    monkeypatch.setattr(batch.Batch, "add", counted)
    async with room(MemoryLog(1), Tables()) as here:
        await here.append(0, *many(45))
        counting = asyncio.create_task(turns())
        await here.sleeper.wake()
        await until(lambda: made.total() > 0)
        await here.append(0, *many(1, "late"))
        await until(lambda: here.tables.rows)
        await here.sleeper.wake()
        await here.caught_up()
        counting.cancel()
        assert sorted(made.values()) == [1, 5, 10, 10, 10, 10]
        assert here.tables.rows == [f"exec-{number}/1" for number in range(45)] + ["late-0/1"]


async def test_many_events_wait_for_more_up_to_a_bound() -> None:
    async with room(MemoryLog(2), Tables()) as here:
        for turn in range(MOST_FLUSHES):
            await here.append(turn % 2, *many(MANY_EVENTS, f"exec-{turn}"))
            assert here.tables.writes == []
            await here.sleeper.wake()
        await here.caught_up()
        assert here.sleeper.slept == [FLUSH_S] * MOST_FLUSHES
        assert [len(rows) for rows in here.tables.writes] == [MANY_EVENTS * MOST_FLUSHES]


async def test_many_events_are_written_when_no_more_come() -> None:
    async with room(MemoryLog(1), Tables()) as here:
        await here.append(0, *many(2 * MANY_EVENTS))
        await here.sleeper.wake()
        await here.sleeper.wake()
        await here.caught_up()
        assert here.sleeper.slept == [FLUSH_S] * 2


async def test_many_events_do_not_wait_where_somebody_waits_for_them() -> None:
    async with room(MemoryLog(1), Tables()) as here:
        await here.append(0, *many(2 * MANY_EVENTS))
        waiting = asyncio.create_task(here.caught_up())
        await until(lambda: here.tail.is_awaited)
        await here.sleeper.wake()
        await waiting
        assert here.sleeper.slept == [FLUSH_S]
        assert not here.tail.is_awaited


async def test_what_the_tail_let_go_of_is_read_from_the_log() -> None:
    async with room(MemoryLog(2), Tables(), most=4, keep=0) as here:
        here.tables.refuses = "rows"
        await here.append(0, *many(2, "exec-first"))
        await here.sleeper.wake()
        await until(lambda: here.projection.failed)
        await here.append(0, *many(10, "exec-0"))
        await here.append(1, *many(3, "exec-1"))
        assert here.tail.lacking == 4
        here.tables.refuses = ""
        await here.sleeper.wake()
        await here.sleeper.wake()
        await here.caught_up()
        assert here.tables.rows[:2] == ["exec-first-0/1", "exec-first-1/1"]
        assert here.tables.rows[2:] == [f"exec-{of}-{n}/1" for of, count in ((0, 10), (1, 3)) for n in range(count)]
        assert here.tail.lacking == 0


async def test_an_event_that_is_never_taken_is_put_aside_with_its_place_and_history_goes_on(
    caplog: pytest.LogCaptureFixture,
) -> None:
    async with room(MemoryLog(2), Tables(never={"exec-b/1"})) as here:
        await here.append(0, History("exec-a").started())
        bad = History("exec-b").started()
        await here.append(1, History("exec-c").started(), bad, History("exec-d").started())
        await here.sleeper.wake()
        await here.caught_up()
        assert sorted(here.tables.rows) == ["exec-a/1", "exec-c/1", "exec-d/1"]
        [letter] = here.letters.letters
        assert (letter.key, letter.value) == (b"exec-b", log_record(bad.events[0]).value)
        headers = dict(letter.headers)
        assert (headers["ce_type"], headers["ce_subject"], headers["ce_seq"]) == (b"started", b"exec-b", b"1")
        why = letter.why
        assert (why.error, why.message, why.at, why.service) == ("not_in_history", "no", T0, "query")
        assert (why.topic, why.partition, why.offset) == ("agentspan.events", 1, 2)
        assert here.projection.left_out == 1
        assert here.projection.trouble is None
        [said] = [record.getMessage() for record in caplog.records if record.levelname == "ERROR"]
        assert "event exec-b/1 at 1:2 of the log: no" in said


async def test_no_position_passes_an_event_whose_letter_does_not_stand() -> None:
    async with room(MemoryLog(1), Tables(never={"exec-b/1"})) as here:
        here.letters.refuse = 1
        await here.append(0, *(History(f"exec-{name}").started() for name in "abc"))
        await here.sleeper.wake()
        await until(lambda: here.projection.trouble == "not acknowledged")
        assert here.tables.saved == {}
        await here.sleeper.wake()
        await here.caught_up()
        assert here.letters.codes == ["not_in_history"]


async def test_what_is_tried_again_puts_nothing_aside_twice() -> None:
    async with room(MemoryLog(1), Tables(never={"exec-b/1"})) as here:
        here.tables.refuses = "positions"
        await here.append(0, History("exec-b").started())
        await here.sleeper.wake()
        await until(lambda: here.projection.failed == 1)
        await here.sleeper.wake()
        await until(lambda: here.projection.failed == 2)
        here.tables.refuses = ""
        await here.sleeper.wake()
        await here.caught_up()
        assert len(here.letters.letters) == here.projection.left_out == 1


async def test_a_takeover_alone_is_passed() -> None:
    async with room(MemoryLog(1), Tables()) as here:
        await here.log.partition(0).take_over("another")
        await here.sleeper.wake()
        await until(lambda: here.projection.reached == {0: 2})
        assert here.tables.writes == []
