"""What stands on a log, and where a reader of it stands: plain frozen values, shared by the rule and every adapter.

Those that are made for every record of a log are named tuples: they cost a quarter of a frozen dataclass.
"""

import json
from collections.abc import Mapping
from typing import NamedTuple

TAKEOVER = "owner"
"""The type of a takeover's record."""


class Record(NamedTuple):
    """What an owner appends, an inbox receives and a table holds: a CloudEvent without its envelope."""

    type: str
    key: str
    """The execution_id, on every topic that has one."""
    value: bytes
    """JSON."""
    attributes: Mapping[str, str] = {}
    """CloudEvents extension attributes: what a reader routes by without decoding the value."""
    message: object | None = None
    """The decoded value, where this process made it: inside, events move as objects and are encoded once. It is no part
    of what the record is."""

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Record) and self[:4] == other[:4]

    def __ne__(self, other: object) -> bool:
        return not self == other

    def __repr__(self) -> str:
        return f"Record({', '.join(map(repr, self[:4]))})"


class Stamp(NamedTuple):
    """A record's place in its owner's epoch. The takeover is number 0, and `last` of itself."""

    epoch: int
    n: int
    last: bool
    """Whether the record ends an outcome."""
    takeover: int
    """The offset of a takeover that the record's author had read and found valid when it wrote; 0 where there was none.
    A fresh reader may begin there. (docs/decisions: a reader starts in the middle)"""


class Stored(NamedTuple):
    """A record as it stands in the raw log, whether it counts or not."""

    offset: int
    stamp: Stamp
    record: Record


class Position(NamedTuple):
    """Where a reader stands: at an outcome's end, or at a takeover. `str` and `parse` suit an offset's metadata and
    an HTTP header."""

    offset: int
    """Of the next record to read."""
    epoch: int
    """Of the last valid takeover before it; 0 for a fresh reader."""
    n: int
    """The number of the last record that counts in it."""

    def __str__(self) -> str:
        return f"{self.offset}.{self.epoch}.{self.n}"

    @classmethod
    def parse(cls, text: str) -> "Position":
        """The position that `str` wrote. Raises ValueError."""
        offset, dot, rest = text.partition(".")
        epoch, second, n = rest.partition(".")
        # not each part by itself: a restore parses hundreds of thousands
        if not (dot and second and offset and epoch and n and text.isascii() and f"{offset}{epoch}{n}".isdigit()):
            raise ValueError(f"{text!r} is no position; one looks like '1042.3.17' (offset, epoch, number)")
        return cls(int(offset), int(epoch), int(n))


BEGINNING = Position(0, 0, 0)


class Outcome(NamedTuple):
    """The records of one decision, whole and counted."""

    records: tuple[Stored, ...]
    position: Position
    """Just after the last of them."""


def takeover_record(owner_id: str) -> Record:
    """The record that takes a partition over; its stamp carries the epoch."""
    return Record(TAKEOVER, owner_id, json.dumps({"owner_id": owner_id}).encode())
