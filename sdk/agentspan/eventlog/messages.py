"""Messages as records and back: the one place where what stands on a log is encoded and decoded.

Apart from the log itself, which carries records of any meaning.
"""

from collections.abc import Iterator
from typing import TypeVar

from agentspan.eventlog._records import Outcome, Record, Stored
from agentspan_schemas.answers import Answer, Note, Refused, Repeated, UnreadableCommand, answer_to
from agentspan_schemas.codec import EVENTS, NOTES, Family, encode
from agentspan_schemas.commands import Command
from agentspan_schemas.events import Event

COMMAND_OFFSET = "commandoffset"
"""The attribute that says up to where its inbox a partition has been decided: `<inbox id>/<offset>`."""

M = TypeVar("M")

OnLog = Event | Note
"""What an owner writes."""

_NOTES = (Refused, Repeated, UnreadableCommand)


def log_record(message: OnLog, command_offset: str | None = None) -> Record:
    """The record of an event or a note; readers route by its attributes."""
    at = {} if command_offset is None else {COMMAND_OFFSET: command_offset}
    if isinstance(message, _NOTES):
        attributes = {"commandid": message.command_id, **at}
    else:
        seq, status, agent = str(message.seq), message.status, message.agent
        attributes = {"commandid": message.causation_id, **at, "seq": seq, "status": status, "agent": agent}
    return Record(message.type, message.execution_id, encode(message), attributes, message)


def read_log_record(record: Record) -> OnLog:
    """The event or note of a record; decoded only where another process made it. Raises Unreadable."""
    if record.message is not None:
        return record.message  # type: ignore[return-value]
    return EVENTS.decode(record.value) if record.type in EVENTS.types else NOTES.decode(record.value)


def message_of(record: Record, family: Family[M]) -> M:
    """What a record of one family says; decoded only where another process made it. Raises Unreadable."""
    return family.decode(record.value) if record.message is None else record.message  # type: ignore[return-value]


def stored_events(outcome: Outcome) -> Iterator[tuple[Stored, Event]]:
    """The events of an outcome, each with its record."""
    for stored in outcome.records:
        if stored.record.type in EVENTS.types:
            yield stored, read_log_record(stored.record)  # type: ignore[misc]


def events_of(outcome: Outcome) -> Iterator[tuple[int, Event]]:
    """The events of an outcome, each with its offset."""
    return ((stored.offset, event) for stored, event in stored_events(outcome))


def answer_of(outcome: Outcome, partition: int) -> Answer | UnreadableCommand:
    """The answer to the command that the outcome came of; the note itself where its owner could not read it."""
    last = outcome.records[-1]
    message = read_log_record(last.record)
    if isinstance(message, UnreadableCommand):
        return message
    return answer_to(message, f"{partition}:{last.offset}")


def command_record(command: Command) -> Record:
    """The record of a command."""
    return Record(command.type, command.execution_id, encode(command), {"commandid": command.command_id}, command)
