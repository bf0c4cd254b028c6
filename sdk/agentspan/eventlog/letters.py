"""What people do with dead letters: look at them, send them again, or put them away.

Apart from the intake that writes them. The topic of dead letters is only ever appended to: that a letter was handled is
a note behind it, in its own partition, so that the note is kept as long as the letter.
"""

import logging
import re
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass, replace
from typing import Literal, Protocol

from agentspan.eventlog._errors import LogError
from agentspan.eventlog.intake import Delivery
from agentspan_schemas import Unreadable
from agentspan_schemas.cloudevents import Headers, binary_headers
from agentspan_schemas.codec import DEAD_LETTERS_HANDLED, encode
from agentspan_schemas.dead_letters import HANDLED, OMITTED, Handled, Why, original, why

logger = logging.getLogger(__name__)

_ID = re.compile(r"([a-z]+)/(\d{1,9}):(\d{1,18})", re.ASCII)


class NotReplayable(LogError):
    """Nothing of the record was kept, so that nothing can be sent again."""


@dataclass(frozen=True, slots=True, order=True)
class LetterId:
    """Where a dead letter stands: `tickets/0:12` is offset 12 of partition 0 of the tickets' dead letters."""

    topic: str
    """The name of the topic that it came from, without prefix."""
    partition: int
    offset: int

    def __str__(self) -> str:
        return f"{self.topic}/{self.partition}:{self.offset}"

    @classmethod
    def parse(cls, text: str) -> "LetterId":
        """The id that `str` wrote. Raises ValueError."""
        found = _ID.fullmatch(text)
        if found is None:
            raise ValueError(f"{text!r} is no dead letter's id: one looks like 'tickets/0:12'")
        return cls(found[1], int(found[2]), int(found[3]))


@dataclass(frozen=True, slots=True)
class Letter:
    """A dead letter, taken apart."""

    id: LetterId
    why: Why
    key: bytes | None
    value: bytes
    """As it came; empty in a listing."""
    headers: Headers
    """The record's own."""
    size: int
    """Of the value, in bytes."""
    omitted: str | None = None
    """How large the record was, where nothing of it was kept."""
    handled: Handled | None = None


class Letterbox(Protocol):
    """The dead letters of one topic, and that topic."""

    name: str
    """Of the topic that they came from, without prefix."""

    def read(self) -> AsyncIterator[Delivery]:
        """All that stands among the dead letters when it begins, each partition in order."""
        ...

    def send(self, partition: int, key: bytes | None, value: bytes, headers: Headers) -> Awaitable[object]:
        """Write to the topic that they came from: awaiting returns when it is acknowledged, or raises a WriteError.
        Any partition will do where there is no such one."""
        ...

    def note(self, partition: int, key: bytes, value: bytes, headers: Headers) -> Awaitable[object]:
        """Write to the dead letters themselves."""
        ...


async def letters(box: Letterbox) -> list[Letter]:
    """All of them without their values, in the order in which they were put aside; with what was done about them."""
    found: dict[tuple[int, int], Letter] = {}
    async for delivery in box.read():
        if (letter := _letter(box, delivery)) is not None:
            found[delivery.partition, delivery.offset] = replace(letter, value=b"")
        elif (note := _note(delivery)) is not None and (about := found.get((note.partition, note.offset))) is not None:
            found[note.partition, note.offset] = replace(about, handled=note)
    return sorted(found.values(), key=lambda letter: (letter.why.at, letter.id))


async def whole(box: Letterbox, wanted: Callable[[LetterId], bool]) -> AsyncIterator[Letter]:
    """Those that are wanted, with their values; what was done about them is not looked up."""
    async for delivery in box.read():
        letter = _letter(box, delivery) if wanted(_id(box, delivery)) else None
        if letter is not None:
            yield letter


async def replay(box: Letterbox, letter: Letter, note: Handled) -> None:
    """Send the record again as it came, and note that. At least once: after a crash between the two it is not noted.

    `letter` has its value. Raises NotReplayable, or a WriteError: the letter is as it was.
    """
    if letter.omitted is not None:
        raise NotReplayable(
            f"{str(letter.id)!r}: nothing of the record was kept ({letter.omitted}); it stands in {letter.why.topic!r}"
            f" at partition {letter.why.partition}, offset {letter.why.offset}: have a smaller one sent, then discard"
        )
    await box.send(letter.why.partition, letter.key, letter.value, letter.headers)
    await handle(box, note)


async def handle(box: Letterbox, note: Handled) -> None:
    """Note that a letter needs nobody any more. Raises a WriteError."""
    headers = binary_headers(
        id=f"{note.place}/{note.action}/{note.at.isoformat()}",
        type="agentspan.dead_letter_handled",
        source="/dlq",
        subject=note.place,
        time=note.at,
    )
    marked = (*headers, (HANDLED, note.place.encode()))
    await box.note(note.partition, note.place.encode(), encode(note), marked)


def kind(delivery: Delivery) -> Literal["letter", "note"]:
    """What a record among the dead letters is. A letter never has the note's header: it loses what looks like one."""
    return "note" if any(name == HANDLED for name, _ in delivery.headers) else "letter"


def _letter(box: Letterbox, delivery: Delivery) -> Letter | None:
    if kind(delivery) == "note":
        return None
    id_ = _id(box, delivery)
    try:
        reason = why(delivery.headers)
    except ValueError as error:
        logger.warning("%s is left out: %s", id_, error)
        return None
    omitted = dict(delivery.headers).get(OMITTED)
    return Letter(
        id=id_,
        why=reason,
        key=delivery.key,
        value=delivery.value,
        headers=original(delivery.headers),
        size=len(delivery.value),
        omitted=None if omitted is None else omitted.decode("utf-8", "replace"),
    )


def _note(delivery: Delivery) -> Handled | None:
    if kind(delivery) == "letter":
        return None
    try:
        return DEAD_LETTERS_HANDLED.decode(delivery.value)
    except Unreadable as error:
        logger.warning("%s at %d:%d is left out: %s", delivery.topic, delivery.partition, delivery.offset, error)
        return None


def _id(box: Letterbox, delivery: Delivery) -> LetterId:
    return LetterId(box.name, delivery.partition, delivery.offset)
