"""Entries of the approvals topic: one that is as it was written is kept undecoded, others must prove to be requests."""

import zlib
from datetime import UTC, datetime, timedelta

import pytest

from agentspan.eventlog import Position, Record
from agentspan_approvals import entries
from agentspan_approvals.entries import Reach, entry, kept
from agentspan_approvals.ports import Kept
from agentspan_approvals.publishing import Standing
from agentspan_schemas import NewerVersion, Unreadable
from agentspan_schemas.approvals import ApprovalRecord
from agentspan_schemas.codec import Family

NOON = datetime(2026, 3, 1, 12, tzinfo=UTC)
REACH = Reach("log-1", Position(7, 2, 5), None)

PENDING = ApprovalRecord.of(
    approval_id="exec-a.1-0",
    execution_id="exec-a",
    call_id="1-0",
    seq=4,
    state="pending",
    agent="support",
    agent_version="1",
    tool="refund",
    args={"amount": 5},
    args_hash="0" * 64,
    requested_at=NOON + timedelta(microseconds=5),
)
ENDED = PENDING.model_copy(update={"state": "expired", "seq": 6, "ended_at": NOON, "attempts_total": 2})


def read(record: Record) -> tuple[Kept, Standing]:
    return kept(PENDING.approval_id, record)


def signed(record: Record, value: bytes) -> Record:
    """Other bytes under a sum that is right."""
    return record._replace(value=value, attributes={**record.attributes, "crc32": f"{zlib.crc32(value):08x}"})


def without(record: Record, *names: str) -> Record:
    return record._replace(attributes={k: v for k, v in record.attributes.items() if k not in names})


@pytest.mark.parametrize("own", [PENDING, ENDED], ids=lambda own: own.state)
def test_what_was_written_is_kept_undecoded_as_if_it_were_decoded(
    own: ApprovalRecord, monkeypatch: pytest.MonkeyPatch
) -> None:
    record = entry(own, REACH)
    decoded = read(without(record, "crc32"))
    assert decoded == (Kept.of(own, record.value), Standing(own.version, own.ended_at))
    monkeypatch.setattr(Family, "decode", _nobody_decodes)
    assert read(record) == decoded


def _nobody_decodes(*_: object) -> object:
    raise AssertionError("it is as it was written")


@pytest.mark.parametrize("value", [b"{}", b"", b"no JSON"])
def test_bytes_that_nobody_wrote_so_are_no_request(value: bytes) -> None:
    with pytest.raises(Unreadable):
        read(entry(PENDING, REACH)._replace(value=value))


def test_what_a_later_release_wrote_is_not_taken_for_what_this_one_reads() -> None:
    record = entry(PENDING.model_copy(update={"schema_version": 2}), REACH)
    with pytest.raises(NewerVersion):
        read(record)


@pytest.mark.parametrize("name", ["tool", "state", "agent", "requestedat", "seq", "attempts", "schemaversion"])
def test_an_entry_that_says_less_is_decoded(name: str) -> None:
    record = entry(PENDING, REACH)
    assert read(without(record, name)) == read(record)


def test_an_entry_whose_headers_are_nonsense_is_decoded() -> None:
    record = entry(PENDING, REACH)
    assert read(record._replace(attributes={**record.attributes, "seq": "many"})) == read(record)
    with pytest.raises(Unreadable):
        read(signed(record._replace(attributes={**record.attributes, "seq": "many"}), b"{}"))


def test_the_sum_is_of_the_value() -> None:
    record = entry(PENDING, REACH)
    assert record.attributes["crc32"] == f"{zlib.crc32(record.value):08x}"
    assert entries.standing(record) == read(record)[1]
