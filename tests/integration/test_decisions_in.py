"""Decisions of other services: what becomes of each comes back on the record of the request, or is a dead letter."""

import json
from typing import Any

import pytest

from agentspan_schemas import commands as c
from agentspan_schemas.approvals import ApprovalRecord
from agentspan_schemas.canonical import args_hash
from agentspan_schemas.cloudevents import Headers
from tests.support.approvals import Office
from tests.support.orchestration import ARGS, EXECUTION, Process, approve, ask, start

CALL = f"{EXECUTION}.1-0"
DECISION: dict[str, Any] = {
    "decision_id": "d-1", "approval_id": CALL, "decision": "approve", "args_hash": args_hash(ARGS), "by": "risk",
}  # fmt: skip


def raw(**change: Any) -> bytes:
    return json.dumps(DECISION | change).encode()


async def requested(here: Process) -> None:
    await here.send(start())
    await here.send(ask("refund", "refund"))


def attempted(record: ApprovalRecord) -> bool:
    return record.attempts_total > 0


async def test_a_service_approves_and_sees_so_on_the_record() -> None:
    office = Office()
    async with office.open() as here:
        await requested(here)
        await office.topic.write(raw(reason="small", edited_args={"usd": 5}))
        record = await office.record(CALL, attempted)
        await office.topic.all_done()
    assert (record.state, record.decided_by, record.channel) == ("approved", "service:risk", "topic")
    assert (record.reason, record.edited_args) == ("small", {"usd": 5})
    [outcome] = record.attempts
    assert (outcome.decision_id, outcome.by, outcome.accepted, outcome.code) == ("d-1", "service:risk", True, None)


async def test_a_service_rejects() -> None:
    office = Office()
    async with office.open() as here:
        await requested(here)
        await office.topic.write(raw(decision="reject", by="service:risk"))
        record = await office.record(CALL, attempted)
    assert (record.state, record.decided_by) == ("rejected", "service:risk")


async def test_a_service_that_came_second_is_told_who_won() -> None:
    office = Office()
    async with office.open() as here:
        await requested(here)
        await here.send(approve("1-0"))
        await office.topic.write(raw(decision="reject"))
        record = await office.record(CALL, attempted)
    assert (record.state, record.decided_by) == ("approved", "user:bo")
    [outcome] = record.attempts
    assert (outcome.accepted, outcome.code) == (False, "already_decided")
    assert outcome.winner is not None
    assert outcome.winner.by == "user:bo"


@pytest.mark.parametrize(
    ("change", "code"), [({"args_hash": "0" * 64}, "args_changed"), ({"edited_args": {"n": 2**70}}, "invalid_args")]
)
async def test_a_refused_decision_says_why_and_the_request_still_waits(change: dict[str, Any], code: str) -> None:
    office = Office()
    async with office.open() as here:
        await requested(here)
        await office.topic.write(raw(**change))
        record = await office.record(CALL, attempted)
    assert record.state == "pending"
    assert [outcome.code for outcome in record.attempts] == [code]
    assert office.dead.letters == []


async def test_the_same_decision_sent_again_is_one_decision() -> None:
    office = Office()
    async with office.open() as here:
        await requested(here)
        for _ in range(3):
            await office.topic.write(raw())
        await office.topic.all_done()
        await office.topic.write(raw(decision_id="d-2", decision="reject"))
        record = await office.record(CALL, lambda r: r.attempts_total > 1)
    assert [(o.decision_id, o.accepted) for o in record.attempts] == [("d-1", True), ("d-2", False)]


async def test_a_decision_id_counts_for_one_call_and_one_service() -> None:
    office = Office()
    async with office.open() as here:
        await requested(here)
        await office.topic.write(raw(args_hash="0" * 64))
        await office.topic.write(raw(approval_id=f"{EXECUTION}.1-1"))
        await office.topic.write(raw(by="fraud"))
        second = await office.record(f"{EXECUTION}.1-1", attempted)
        first = await office.record(CALL, lambda r: r.attempts_total > 1)
    assert second.attempts[0].accepted
    assert [(o.by, o.accepted) for o in first.attempts] == [("service:risk", False), ("service:fraud", True)]


async def test_decisions_on_one_request_are_taken_in_their_order() -> None:
    office = Office()
    async with office.open() as here:
        await requested(here)
        for number in range(5):
            await office.topic.write(raw(decision_id=f"d-{number}", by=f"s{number}"))
        record = await office.record(CALL, lambda r: r.attempts_total == 5)
    assert [outcome.accepted for outcome in record.attempts] == [True, False, False, False, False]
    assert record.decided_by == "service:s0"


async def test_a_decision_on_a_run_that_is_over_says_so() -> None:
    office = Office()
    async with office.open() as here:
        await requested(here)
        await here.send(c.Cancel(command_id="cancel", execution_id=EXECUTION, by="user:bo", channel="cli"))
        await office.topic.write(raw())
        record = await office.record(CALL, attempted)
    assert (record.state, record.attempts[0].code) == ("cancelled", "finished")


STRUCTURED: Headers = (("content-type", b"application/cloudevents+json"),)
BAD: list[tuple[str, bytes, Headers, str, str]] = [
    ("no JSON", b"\x00", (), "unreadable", "JSON"),
    ("a list", b"[]", (), "unreadable", "list"),
    ("no structured event", b"[]", STRUCTURED, "unreadable", "list"),
    ("a missing field", b"{}", (), "invalid", "decision_id"),
    ("a later version", raw(schema_version=2), (), "newer_version", "upgrade"),
    ("no approval's id", raw(approval_id="7"), (), "invalid", "'7'"),
    ("no hash", raw(args_hash="x"), (), "invalid", "args_hash"),
    ("a rejection that edits", raw(decision="reject", edited_args={}), (), "invalid", "approve"),
    (
        "a decision that says both",
        raw()[:-1] + b', "decision": "reject"}',
        (),
        "field_repeated",
        "'decision' stands twice",
    ),
    (
        "edited args that have one twice",
        raw()[:-1] + b', "edited_args": {"usd": 2, "usd": 20}}',
        (),
        "field_repeated",
        "'usd' stands twice",
    ),
    (
        "a structured event that says both",
        b'{"data": %s, "data": %s}' % (raw(), raw(decision="reject")),
        STRUCTURED,
        "field_repeated",
        "'data' stands twice",
    ),
    (
        "structured, and a decision that says both",
        b'{"data": %s, "decision": "reject"}}' % raw()[:-1],
        STRUCTURED,
        "field_repeated",
        "'decision' stands twice",
    ),
    ("other arguments by another name", raw(args={"usd": 20}), (), "invalid", "'edited_args'"),
    ("other arguments, misspelt", raw(editedArgs={"usd": 20}), (), "invalid", "has no 'editedArgs'"),
    ("too deep", raw()[:-1] + b', "edited_args": {"n": ' + b"[" * 150 + b"]" * 150 + b"}}", (), "invalid", "deep"),
    ("too large", raw(reason="x" * 2**20), (), "too_large", "1048576"),
    ("too large as a command", raw(reason="x" * (2**20 - 280)), (), "too_large", "1048576"),
    ("an unknown execution", raw(approval_id="exec-zzzzzzzzzzzzzzzz.1-0"), (), "unknown_execution", "exec-z"),
    ("an unknown call", raw(approval_id=f"{EXECUTION}.9-9"), (), "unknown_call", "9-9"),
]


@pytest.mark.parametrize(
    ("value", "headers", "code", "says"), [case[1:] for case in BAD], ids=[case[0] for case in BAD]
)
async def test_what_is_no_decision_is_put_aside_whole_and_stops_no_other(
    value: bytes, headers: Headers, code: str, says: str
) -> None:
    office = Office()
    own = (*headers, ("team", b"\xff"))
    async with office.open() as here:
        await requested(here)
        await office.topic.write(value, own, key=b"k")
        await office.topic.write(raw())
        await office.record(CALL, attempted)
        await office.topic.all_done()
    [letter] = office.dead.letters
    assert (letter.key, letter.value, letter.headers) == (b"k", value, own)
    assert (letter.why.error, letter.why.service, letter.why.offset) == (code, "approvals", 0)
    assert says in letter.why.message


async def test_a_field_that_nobody_knows_and_that_edits_nothing_is_left_aside() -> None:
    office = Office()
    async with office.open() as here:
        await requested(here)
        await office.topic.write(raw(trace="t-1"))
        record = await office.record(CALL, attempted)
    assert (record.state, office.dead.letters) == ("approved", [])


async def test_a_structured_cloud_event_is_a_decision_too() -> None:
    office = Office()
    event = {"specversion": "1.0", "id": "1", "source": "/risk", "type": "x", "data": DECISION}
    async with office.open() as here:
        await requested(here)
        await office.topic.write(json.dumps(event).encode(), STRUCTURED)
        assert (await office.record(CALL, attempted)).state == "approved"
