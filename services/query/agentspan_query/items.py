"""What stands on the log where events stand: each event as it can be read, or that it cannot be.

Apart from the tail and the batches, which both read it, and from the streams, which pass it on.
"""

from collections.abc import Iterator
from typing import NamedTuple

from agentspan.eventlog import Outcome, Position, Record
from agentspan_query.domain.later import ReadEvent, read_event
from agentspan_query.errors import EventMissing, WrittenLater
from agentspan_schemas import NewerVersion, Unreadable
from agentspan_schemas.codec import NOTES


class TailEvent(NamedTuple):
    """An event, with the bytes that it was written as."""

    partition: int
    offset: int
    position: Position
    """Just after the outcome that it is part of."""
    event: ReadEvent
    raw: bytes

    @property
    def execution_id(self) -> str:
        return self.event.execution_id

    @property
    def seq(self) -> int:
        return self.event.seq


class Unread(NamedTuple):
    """A record that counts, and that is no event which this process can read."""

    partition: int
    offset: int
    position: Position
    """Just after the outcome that it is part of."""
    record: Record
    error: Unreadable

    @property
    def execution_id(self) -> str:
        """As its attributes say."""
        return self.record.key

    @property
    def seq(self) -> int:
        """As its attributes say; 0 where they do not."""
        said = self.record.attributes.get("seq", "")
        return int(said) if said.isascii() and said.isdigit() else 0

    @property
    def raw(self) -> bytes:
        return self.record.value

    @property
    def is_later(self) -> bool:
        """Whether a later release can read it: nothing of it may be lost until then."""
        return isinstance(self.error, NewerVersion)

    @property
    def problem(self) -> WrittenLater | EventMissing:
        """What it means to who wants to read it."""
        if self.is_later:
            return WrittenLater(f"{self}; it waits for a process of the release that wrote it: upgrade this one")
        return EventMissing(self.execution_id, self.seq, str(self.error))

    def __str__(self) -> str:
        place = f"{self.partition}:{self.offset} of the log"
        return f"{self.record.type!r} of {self.execution_id!r} at {place}: {self.error}"


Item = TailEvent | Unread


def items(number: int, outcome: Outcome) -> Iterator[Item]:
    """Those of an outcome, in order. Notes, which stand beside the events, are none."""
    for offset, _, record in outcome.records:
        if record.type in NOTES.types:
            continue
        try:
            event = read_event(record.value) if record.message is None else record.message
        except Unreadable as error:
            yield Unread(number, offset, outcome.position, record, error)
        else:
            yield TailEvent(number, offset, outcome.position, event, record.value)  # type: ignore[arg-type]
