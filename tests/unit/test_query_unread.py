"""What stands where an event should and cannot be read: history goes on without it and says so, or, where a later
release can read it, waits in its partition alone."""

import logging

import pytest

from agentspan.eventlog import Record
from agentspan.eventlog.memory import MemoryLog
from agentspan.eventlog.messages import log_record
from agentspan_query.projection import FLUSH_S
from agentspan_schemas import codec
from tests.support.eventually import until
from tests.support.projection_room import Room, Tables, room
from tests.support.query_history import T0, History
from tests.support.unread import damaged, last, later, of_a_new_type

NOT_EVENTS = [
    b"",
    b"\xff\x00",
    b"[]",
    b"{}",
    b'{"type": "done"}',
    b'{"type": "budget_exceeded"}',
    b'{"type": ["done"]}',
]


def a_run() -> History:
    return History("exec-a").started().waiting().done()


async def written(here: Room) -> None:
    await here.sleeper.wake()
    await here.caught_up()


@pytest.mark.parametrize("value", NOT_EVENTS)
async def test_what_nobody_can_read_is_put_aside_as_it_is_and_all_others_are_written(
    value: bytes, caplog: pytest.LogCaptureFixture
) -> None:
    events = a_run().events
    async with room(MemoryLog(2), Tables()) as here:
        await here.append_records(1, log_record(events[0]), damaged(events[1], value), log_record(events[2]))
        await here.append(0, History("exec-b").started())
        await here.append(1, History("exec-c").started())
        await written(here)
        assert sorted(here.tables.rows) == ["exec-a/1", "exec-a/3", "exec-b/1", "exec-c/1"]
        assert here.tables.executions["exec-a"] == "completed"
        [letter] = here.letters.letters
        assert (letter.key, letter.value) == (b"exec-a", value)
        headers = dict(letter.headers)
        said = [headers[f"ce_{name}"] for name in ("type", "subject", "seq", "status", "agent", "commandid")]
        assert said == [b"waiting", b"exec-a", b"2", b"waiting", b"support", b"command-2"]
        why = letter.why
        assert (why.error, why.at, why.service) == ("unreadable_event", T0, "query")
        assert why.message.startswith("event: ")
        assert (why.topic, why.partition, why.offset) == ("agentspan.events", 1, 2)
        assert (here.projection.left_out, here.projection.trouble, here.projection.waits_for) == (1, None, {})
        [line] = [record.getMessage() for record in caplog.records if record.levelno == logging.ERROR]
        assert "'waiting' of 'exec-a' at 1:2 of the log: event: " in line


@pytest.mark.parametrize("type_", ["", "mars", "done"])
async def test_what_has_no_attributes_is_put_aside_too(type_: str) -> None:
    async with room(MemoryLog(1), Tables()) as here:
        await here.append_records(0, Record(type_, "", b"{}"))
        await here.append(0, History("exec-b").started())
        await written(here)
        assert here.tables.rows == ["exec-b/1"]
        [letter] = here.letters.letters
        assert (letter.key, letter.value, letter.why.error) == (b"", b"{}", "unreadable_event")


async def test_an_event_whose_attributes_are_wrong_is_read_all_the_same() -> None:
    async with room(MemoryLog(1), Tables()) as here:
        await here.append_records(0, log_record(last(History("exec-a").started()))._replace(type="mars", message=None))
        await written(here)
        assert here.tables.rows == ["exec-a/1"]
        assert here.letters.letters == []


async def test_no_position_passes_what_nobody_can_read_before_its_letter_stands_and_it_stands_once() -> None:
    log, tables = MemoryLog(1), Tables()
    async with room(log, tables) as here:
        here.letters.refuse = 1
        await here.append_records(0, damaged(last(a_run())))
        await here.append(0, History("exec-b").started())
        await here.sleeper.wake()
        await until(lambda: here.projection.trouble == "not acknowledged")
        assert tables.saved == {}
        await written(here)
        assert here.letters.codes == ["unreadable_event"]
    async with room(log, tables) as again:
        assert again.letters.letters == []


async def test_what_nobody_can_read_is_put_aside_also_from_before_the_process_began() -> None:
    log = MemoryLog(1)
    owner = await log.partition(0).take_over("before")
    await owner.append([damaged(last(a_run()))])
    async with room(log, Tables()) as here:
        assert here.letters.codes == ["unreadable_event"]
        await here.append(0, History("exec-b").started())
        await written(here)
        assert here.tables.rows == ["exec-b/1"]


async def test_at_an_event_of_a_later_release_its_partition_waits_and_no_other(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    log, tables, events = MemoryLog(3), Tables(), a_run().events
    async with room(log, tables) as here:
        await here.append(1, History("exec-before").started())
        await here.append_records(1, log_record(events[0]), later(events[1]))
        await here.append(1, History("exec-behind").started())
        await here.append(0, History("exec-b").started())
        await here.sleeper.wake()
        await until(lambda: here.projection.waits_for)
        for number in range(3):
            await here.append(2, History(f"exec-{number}").started())
            await here.sleeper.wake()
            await here.tail.is_projected(2, await log.partition(2).end())
        assert sorted(tables.rows) == ["exec-0/1", "exec-1/1", "exec-2/1", "exec-b/1", "exec-before/1"]
        assert set(here.sleeper.slept) == {FLUSH_S}
        [(number, why)] = here.projection.waits_for.items()
        assert (number, "'waiting' of 'exec-a' at 1:3 of the log" in why, "upgrade" in why) == (1, True, True)
        assert (here.letters.letters, here.projection.trouble, here.projection.left_out) == ([], None, 0)
        assert here.projection.reached[1] == tables.saved[1].offset == 2
        assert here.tail.complete_up_to(T0.replace(year=2030)) == last(History("exec-before").started()).at
        assert len([record for record in caplog.records if record.levelno == logging.ERROR]) == 1
    async with room(log, tables, waits=True) as again:
        await until(lambda: again.projection.waits_for)
        assert (again.letters.letters, again.projection.reached[1], len(tables.rows)) == ([], 2, 5)
    monkeypatch.setattr(codec, "SCHEMA_VERSION", 2)
    async with room(log, tables) as upgraded:
        assert tables.rows[5:] == ["exec-a/1", "exec-a/2", "exec-behind/1"]
        assert (upgraded.letters.letters, upgraded.projection.waits_for) == ([], {})


async def test_while_all_partitions_wait_nothing_runs() -> None:
    async with room(MemoryLog(1), Tables()) as here:
        await here.append_records(0, later(last(a_run())))
        await here.sleeper.wake()
        await until(lambda: here.projection.waits_for)
        await here.append(0, History("exec-b").started())
        await until(lambda: here.tail.lacking == 1)
        assert (here.sleeper.slept, here.tables.rows) == ([FLUSH_S], [])


async def test_an_event_of_a_type_that_a_later_release_has_added_is_history_with_all_that_it_says() -> None:
    events = a_run().events
    async with room(MemoryLog(1), Tables()) as here:
        await here.append_records(0, log_record(events[0]), of_a_new_type(events[1]))
        await written(here)
        assert here.tables.rows == ["exec-a/1", "exec-a/2"]
        assert here.tables.executions == {"exec-a": "waiting"}
        assert here.letters.letters == []
