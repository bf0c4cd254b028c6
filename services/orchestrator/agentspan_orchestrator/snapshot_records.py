"""Snapshots and checkpoints as records of a table, and back. Pure.

Apart from who writes and reads them. Beside its state a snapshot says what a cache keeps next to it, and a sum of the
bytes: what is as it was written need not be decoded by whoever restores thousands of them.
"""

import zlib
from dataclasses import dataclass
from datetime import datetime
from typing import NamedTuple

from agentspan.eventlog import Change, Position, Record
from agentspan.eventlog.messages import COMMAND_OFFSET
from agentspan_orchestrator.domain import SNAPSHOT_VERSION, Execution, dump_state, has_work, load_state, next_due
from agentspan_orchestrator.ports import Snapshot

CHECKPOINT = "checkpoint"
"""Stands where a snapshot's key has an execution_id, which begins with `exec-`."""


@dataclass(frozen=True, slots=True)
class Checkpoint:
    """Up to where on the log every state is on the table, and the command offset that this reflects."""

    position: Position
    command_offset: str | None


class Entry(NamedTuple):
    """What stands under one key."""

    execution_id: str
    epoch: int
    record: Record
    position: Position | None
    """Up to where on the log it is true; None: of another version."""

    @property
    def is_over(self) -> bool:
        """Whether it says that its execution has ended."""
        return self.record.attributes.get("work") == "over"


def key_of(execution_id: str, epoch: int) -> str:
    """Where it stands."""
    return f"{execution_id}/{epoch}"


def entry_of(change: Change) -> Entry | None:
    """None for a tombstone, and for a key that no owner writes."""
    execution_id, _, epoch = change.key.rpartition("/")
    if change.record is None or not epoch.isdecimal():
        return None
    return Entry(execution_id, int(epoch), change.record, _position(change.record))


def state_record(state: Execution, log_id: str, position: Position, now: datetime) -> Record:
    """The snapshot of a state that is true up to the position."""
    value, due = dump_state(state), next_due(state, now)
    attributes = _attributes(log_id, position) | {"work": _work(state), "crc32": _sum(value)}
    if due is not None:
        attributes["due"] = due.isoformat()
    return Record("snapshot", state.execution_id, value, attributes)


def checkpoint_record(reached: Checkpoint, log_id: str) -> Record:
    """The checkpoint."""
    attributes = _attributes(log_id, reached.position)
    if reached.command_offset is not None:
        attributes[COMMAND_OFFSET] = reached.command_offset
    return Record("checkpoint", CHECKPOINT, b"{}", attributes)


def snapshot_of(entry: Entry, reflects: int, now: datetime) -> Snapshot:
    """What a cache keeps of the entry. Raises ValueError where it holds no state."""
    record = entry.record
    said = record.attributes
    if "work" in said and said.get("crc32") == _sum(record.value):
        due = datetime.fromisoformat(said["due"]) if "due" in said else None
        busy, parked = said["work"] == "busy", said["work"] == "parked"
    else:  # what wrote it said nothing of this, or these are not the bytes that it wrote
        state = load_state(record.value)
        due, busy = next_due(state, now), has_work(state)
        parked = not (busy or state.terminal)
    return Snapshot(entry.execution_id, record.value, reflects, due, busy, parked)


def _attributes(log_id: str, position: Position) -> dict[str, str]:
    return {"logid": log_id, "snapshotversion": str(SNAPSHOT_VERSION), "position": str(position)}


def _position(record: Record) -> Position | None:
    if record.attributes.get("snapshotversion") != str(SNAPSHOT_VERSION):
        return None
    try:
        return Position.parse(record.attributes.get("position", ""))
    except ValueError:
        return None


def _work(state: Execution) -> str:
    """As a cache tells them apart."""
    if has_work(state):
        return "busy"
    return "over" if state.terminal else "parked"


def _sum(value: bytes) -> str:
    return f"{zlib.crc32(value):08x}"
