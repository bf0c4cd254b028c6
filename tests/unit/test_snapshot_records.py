"""Snapshots as records: what is as it was written is taken as it is, and what is not must prove to be a state."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from agentspan.eventlog import Change, Position, Record
from agentspan_orchestrator import snapshot_records
from agentspan_orchestrator.domain import Execution, decide, load_state
from agentspan_orchestrator.ports import Snapshot
from agentspan_orchestrator.snapshot_records import Entry, entry_of, key_of, snapshot_of, state_record
from tests.support.orchestration import AGENT, EXECUTION, ask, say, start

NOON = datetime(2026, 3, 1, 12, tzinfo=UTC)
DUE = NOON + timedelta(hours=1, microseconds=1)
HERE = Position(7, 2, 5)


def busy() -> Execution:
    state = decide(None, start(), NOON, AGENT).state
    assert state is not None
    return state


def parked() -> Execution:
    state = decide(busy(), ask("refund"), NOON, AGENT).state
    assert state is not None
    return state


def over() -> Execution:
    state = decide(busy(), say("Done.", turn=1), NOON, AGENT).state
    assert state is not None
    return state


def timed() -> Execution:
    return replace(parked(), deadline_at=DUE)


STATES = {"busy": busy, "parked": parked, "over": over, "with a timer": timed}


def entry(record: Record) -> Entry:
    found = entry_of(Change(0, key_of(EXECUTION, 3), record))
    assert found is not None
    return found


def restored(record: Record) -> Snapshot:
    return snapshot_of(entry(record), 7, NOON)


@pytest.mark.parametrize("kind", STATES)
def test_what_was_written_is_restored_undecoded_as_if_it_were_decoded(
    kind: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    state = STATES[kind]()
    record = state_record(state, "log-1", HERE, NOON)
    decoded = restored(record._replace(attributes={k: v for k, v in record.attributes.items() if k != "crc32"}))
    monkeypatch.setattr(snapshot_records, "load_state", _nobody_decodes)
    assert restored(record) == decoded
    assert (decoded.busy, decoded.parked) == (kind == "busy", kind in ("parked", "with a timer"))
    assert decoded.next_due == (DUE if kind == "with a timer" else None)
    assert load_state(decoded.state) == state


def _nobody_decodes(raw: bytes) -> Execution:
    raise AssertionError("it is as it was written")


@pytest.mark.parametrize("value", [b'{"odd": true}', b"", b"no JSON"])
def test_bytes_that_nobody_wrote_so_are_no_snapshot(value: bytes) -> None:
    with pytest.raises(ValueError, match=r"."):
        restored(state_record(parked(), "log-1", HERE, NOON)._replace(value=value))
