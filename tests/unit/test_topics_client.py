"""What another team imports, on a cluster in memory: what it sends, and what it is given, whatever stands there."""

import asyncio
import json
from collections.abc import AsyncGenerator
from contextlib import aclosing
from datetime import UTC, datetime, timedelta
from types import ModuleType
from typing import Any, TypeVar

import pytest

from agentspan import topics as package
from agentspan.eventlog import Record, Stamp
from agentspan.eventlog.memory import MemoryLog, MemoryTable
from agentspan.eventlog.messages import log_record
from agentspan.topics import Found, LogError, MemoryTransport, Position, Ticket, Topics
from agentspan_schemas import NewerVersion, TooLarge
from agentspan_schemas.answers import Refused
from agentspan_schemas.approvals import ApprovalRecord
from agentspan_schemas.cloudevents import read
from agentspan_schemas.codec import APPROVALS, DECISIONS, EVENTS, NOTES, TICKETS, encode
from agentspan_schemas.events import Event
from tests.unit.schemas_examples import APPROVAL_FIELDS, AT, ENVELOPE, EVENT_FIELDS, NOTE_FIELDS

T = TypeVar("T")


def test_all_public_names_are_gathered() -> None:
    public = {
        name for name, value in vars(package).items() if not name.startswith("_") and not isinstance(value, ModuleType)
    }
    assert public == set(package.__all__)


async def take(stream: AsyncGenerator[T, None], count: int) -> list[T]:
    """The first items of a stream that goes on for ever."""
    found: list[T] = []
    async with asyncio.timeout(20), aclosing(stream):
        while len(found) < count:
            found.append(await anext(stream))
    return found


# -- sending --


async def test_a_ticket_is_sent_as_a_cloud_event_that_a_plain_reader_understands() -> None:
    transport = MemoryTransport()
    ticket = Ticket(id="T-1", source="crm", text="Help", metadata={"tier": "gold"})
    async with Topics(transport, now=lambda: datetime(2026, 3, 1, 9, tzinfo=UTC)) as topics:
        await topics.emit(ticket, type="com.shop.refund", traceparent="00-1-1-01")
    [sent] = transport.sent
    event = read(sent.headers, sent.value)
    assert (sent.topic.name, sent.key, TICKETS.decode(event.data)) == ("tickets", "T-1", ticket)
    assert event.attributes == {
        "specversion": "1.0", "id": "T-1", "type": "com.shop.refund", "source": "crm", "subject": "T-1",
        "traceparent": "00-1-1-01", "time": "2026-03-01T09:00:00Z",
    }  # fmt: skip
    assert transport.closed


async def test_a_ticket_beyond_any_message_is_not_sent() -> None:
    transport = MemoryTransport()
    with pytest.raises(TooLarge):
        await Topics(transport).emit(Ticket(id="T-1", source="crm", text="x" * 2**20))
    assert transport.sent == []


REQUEST: ApprovalRecord = APPROVALS.adapter.validate_python(APPROVAL_FIELDS | {"state": "pending", "attempts": []})


async def test_a_decision_names_exactly_what_was_seen() -> None:
    transport = MemoryTransport()
    made = await Topics(transport).decide(
        REQUEST, "approve", by="risk", reason="small", edited_args={"usd": 5}, decision_id="d-7"
    )
    [sent] = transport.sent
    decision = DECISIONS.decode(sent.value)
    assert (sent.topic.name, sent.key, made) == ("decisions", REQUEST.approval_id, "d-7")
    assert (decision.approval_id, decision.args_hash) == (REQUEST.approval_id, REQUEST.args_hash)
    assert (decision.decision, decision.by, decision.reason) == ("approve", "risk", "small")
    assert (decision.decision_id, decision.edited_args) == ("d-7", {"usd": 5})
    assert read(sent.headers, sent.value).attributes["source"] == "/services/risk"


async def test_the_same_decision_made_again_has_the_same_id_and_another_has_another() -> None:
    topics = Topics(MemoryTransport())
    first, again = [await topics.decide(REQUEST, "approve", by="risk") for _ in range(2)]
    other = await topics.decide(REQUEST, "reject", by="risk")
    assert first == again != other


async def test_what_no_door_would_take_is_not_sent() -> None:
    transport = MemoryTransport()
    with pytest.raises(ValueError, match="approve"):
        await Topics(transport).decide(REQUEST, "reject", by="risk", edited_args={})
    assert transport.sent == []


# -- requests --


def request(key: str = "exec-a.1-0", seq: int = 5, state: str = "pending", **change: Any) -> Record:
    fields = APPROVAL_FIELDS | {"approval_id": key, "seq": seq, "state": state, "attempts_total": 0} | change
    record = APPROVALS.adapter.validate_python(fields)
    return Record("approval", record.execution_id, encode(record))


async def put(table: MemoryTable, *records: Record | None, key: str = "exec-a.1-0") -> None:
    for record in records:
        await table.put(key, record, partition=0)


def seen(records: list[ApprovalRecord]) -> list[tuple[str, int, int]]:
    return [(record.approval_id, record.seq, record.attempts_total) for record in records]


async def test_requests_come_as_they_stand_and_then_as_they_change() -> None:
    table = MemoryTable(1)
    await put(table, request(seq=5), request(seq=6))
    stream = Topics(MemoryTransport(requests=table)).approvals()
    first = await anext(stream)
    await put(table, request(seq=7))
    [second] = await take(stream, 1)
    assert (first.seq, second.seq) == (6, 7)


async def test_an_older_record_is_never_given_after_a_newer_one() -> None:
    table = MemoryTable(1)
    await put(table, request(seq=5))
    stream = Topics(MemoryTransport(requests=table)).approvals()
    assert (await anext(stream)).version == (5, 0)
    await put(
        table, request(seq=4), request(seq=5), request(seq=5, attempts_total=1), request(seq=7),
        request(seq=6), None, request(seq=8),
    )  # fmt: skip
    assert [record.version for record in await take(stream, 3)] == [(5, 1), (7, 0), (8, 0)]


async def test_requests_are_narrowed_by_state_and_partition() -> None:
    table = MemoryTable(2)
    for key, partition, state in (("a", 0, "approved"), ("b", 0, "pending"), ("c", 1, "pending")):
        await table.put(key, request(key, state=state), partition=partition)
    topics = Topics(MemoryTransport(MemoryLog(2), table))
    pending = await take(topics.approvals(states={"pending"}), 2)
    assert {record.approval_id for record in pending} == {"b", "c"}
    assert [r.approval_id for r in await take(topics.approvals(partitions=[1]), 1)] == ["c"]


async def test_an_entry_that_nobody_can_read_is_left_out() -> None:
    table = MemoryTable(1)
    await put(table, Record("approval", "exec-a", b"{}"), key="odd")
    await put(table, request())
    assert seen(await take(Topics(MemoryTransport(requests=table)).approvals(), 1)) == [("exec-a.1-0", 5, 0)]


# -- events --


def event(seq: int, execution: str = "exec-a", minutes: int = 0) -> Event:
    fields = {"type": "message", "execution_id": execution, "seq": seq, "at": AT + timedelta(minutes=minutes)}
    return EVENTS.adapter.validate_python(ENVELOPE | EVENT_FIELDS["message"] | fields)


def note() -> Refused:
    fields = {"type": "refused", "execution_id": "exec-a", "command_id": "c-9", "at": AT} | NOTE_FIELDS["refused"]
    found = NOTES.adapter.validate_python(fields)
    assert isinstance(found, Refused)
    return found


async def following(log: MemoryLog, count: int, **how: Any) -> list[Found]:
    return await take(Topics(MemoryTransport(log)).events(**how), count)


def seqs(found: list[Found]) -> list[int]:
    return [each.event.seq for each in found]


async def haunted() -> MemoryLog:
    """Two outcomes that count, a torn one and a ghost of a frozen owner between, and a note."""
    log = MemoryLog(1)
    old = await log.partition(0).take_over("one")
    await old.append([log_record(event(1)), log_record(event(2))])
    raw = log.partition(0).raw
    await raw.append([(Stamp(old.epoch, 3, last=False, takeover=0), log_record(event(90)))])
    new = await log.partition(0).take_over("two")
    await raw.append([(Stamp(old.epoch, 4, last=True, takeover=0), log_record(event(91)))])
    await new.append([log_record(note())])
    await new.append([log_record(event(3)), log_record(event(4))])
    return log


async def test_only_events_that_count_are_given() -> None:
    found = await following(await haunted(), 4)
    assert seqs(found) == [1, 2, 3, 4]
    assert [each.event for each in found[:2]] == [event(1), event(2)]


async def test_a_reader_goes_on_anywhere_and_misses_nothing() -> None:
    log = await haunted()
    whole = await following(log, 4)
    for number, stop in enumerate(whole):
        for resume in (stop.resume, Position.parse(str(stop.resume))):
            done = {2: [3, 4], 4: []}.get(stop.event.seq, seqs(whole[number - number % 2 :]))
            assert seqs(await following(log, len(done), after={0: resume})) == done


async def test_a_reader_begins_at_any_offset() -> None:
    log = await haunted()
    whole = await following(log, 4)
    assert seqs(await following(log, 2, after={0: whole[1].offset + 1})) == [3, 4]
    assert seqs(await following(log, 4, after={0: 0})) == [1, 2, 3, 4]


async def test_a_reader_begins_at_a_time() -> None:
    log = MemoryLog(2)
    for number in range(2):
        owner = await log.partition(number).take_over("one")
        for minutes in (0, 30, 31, 60):
            await owner.append([log_record(event(minutes + 1, f"exec-{number}", minutes))])
    found = await following(log, 4, since=AT + timedelta(minutes=31))
    assert sorted((each.partition, each.event.seq) for each in found) == [(0, 32), (0, 61), (1, 32), (1, 61)]
    resumed = await following(log, 5, since=AT + timedelta(minutes=60), after={0: 0})
    assert sorted((each.partition, each.event.seq) for each in resumed) == [(0, 1), (0, 31), (0, 32), (0, 61), (1, 61)]


async def test_events_of_chosen_partitions_alone() -> None:
    log = MemoryLog(3)
    for number in range(3):
        owner = await log.partition(number).take_over("one")
        await owner.append([log_record(event(number + 1))])
    assert sorted(seqs(await following(log, 2, partitions=[0, 2]))) == [1, 3]
    assert seqs(await following(log, 1, partitions=[2], after={0: 1, 1: 1, 2: 0})) == [3]


async def test_what_comes_later_is_given_when_it_comes() -> None:
    log = MemoryLog(1)
    owner = await log.partition(0).take_over("one")
    taking = asyncio.create_task(following(log, 2))
    for seq in (1, 2):
        await asyncio.sleep(0)
        await owner.append([log_record(event(seq))])
    assert seqs(await taking) == [1, 2]


async def test_an_event_of_a_later_version_ends_the_stream_and_says_to_upgrade() -> None:
    log = MemoryLog(1)
    owner = await log.partition(0).take_over("one")
    later = json.dumps(json.loads(encode(event(1))) | {"schema_version": 2}).encode()
    await owner.append([Record("message", "exec-a", later, {"commandid": "c"})])
    with pytest.raises(NewerVersion, match="upgrade"):
        await following(log, 1)


async def test_an_event_that_nobody_can_read_is_left_out_and_said(caplog: pytest.LogCaptureFixture) -> None:
    log = MemoryLog(1)
    owner = await log.partition(0).take_over("one")
    await owner.append([log_record(event(1)), Record("message", "exec-a", b"\xff", {"seq": "2"})])
    await owner.append([log_record(event(3))])
    found = await following(log, 2)
    assert seqs(found) == [1, 3]
    assert "an event of 'exec-a' at 0:2 is left out" in caplog.text
    assert seqs(await following(log, 1, after={0: found[0].resume})) == [3]


async def test_an_event_of_a_type_that_came_later_is_left_out() -> None:
    log = MemoryLog(1)
    owner = await log.partition(0).take_over("one")
    await owner.append([Record("hologram", "exec-a", b"{}", {"commandid": "c"}), log_record(event(2))])
    assert seqs(await following(log, 1)) == [2]


async def test_a_position_of_another_log_is_refused() -> None:
    with pytest.raises(LogError, match="beyond"):
        await following(MemoryLog(1), 1, after={0: 7})


# -- what would never bring anything --


@pytest.mark.parametrize(
    ("stream", "reason"),
    [
        (lambda topics: topics.approvals(partitions=[0, 2]), r"partitions \[0, 2\]: the topic has 2, from 0 to 1"),
        (lambda topics: topics.approvals(partitions=[-1]), r"partitions \[-1\]: the topic has 2"),
        (lambda topics: topics.approvals(partitions=[]), r"partitions \[\]: the topic has 2"),
        (
            lambda topics: topics.approvals(states=("pendng",)),
            r"\['pendng'\]: no such state; they are pending",
        ),
        (lambda topics: topics.events(partitions=[2]), r"partitions \[2\]: the topic has 2"),
        (lambda topics: topics.events(after={2: 5}), r"partitions \[2\]: the topic has 2"),
    ],
)
async def test_what_is_not_there_is_refused(stream: Any, reason: str) -> None:
    topics = Topics(MemoryTransport(MemoryLog(2), MemoryTable(2)))
    with pytest.raises(ValueError, match=reason):
        await take(stream(topics), 1)
