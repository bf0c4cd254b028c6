"""The ports of the log: what an adapter implements for one partition, for commands and for tables.

Writes are plain functions that return futures, not coroutines: a write is queued when it is called, in call order,
also when nobody awaits it yet. Cancelling does not take it back.
"""

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Sequence
from dataclasses import dataclass
from typing import NamedTuple, Protocol

from agentspan.eventlog._records import Record, Stamp, Stored


class RawLog(Protocol):
    """One partition of a log that may hold ghosts, holes and torn outcomes. Offsets count from 0, without a gap."""

    def append(self, records: Sequence[tuple[Stamp, Record]]) -> asyncio.Future[Sequence[int]]:
        """Queue records; the future has their offsets once they are durable, or a WriteError or LogClosed."""
        ...

    async def read(self, offset: int, limit: int) -> Sequence[Stored]:
        """Up to `limit` durable records from `offset` on: at least one if there is one, none at the end."""
        ...

    async def end(self) -> int:
        """The offset that the next record will have."""
        ...

    async def wait(self, offset: int) -> None:
        """Return when a record at `offset` exists."""
        ...


class Inbox(Protocol):
    """Commands to the owners of partitions. At least once: a sender that was not acknowledged sends again."""

    @property
    def id(self) -> str:
        """The identity of what the offsets belong to. Under another one they start over."""
        ...

    @property
    def partitions(self) -> int: ...

    def send(self, partition: int, record: Record) -> Awaitable[object]:
        """Queue a record; awaiting returns when it is acknowledged, or raises a WriteError."""
        ...

    def receive(self, partition: int, offset: int) -> AsyncIterator[tuple[int, Record]]:
        """Every record from `offset` on, in order and for ever; from the earliest kept, if that one is gone."""
        ...


class Change(NamedTuple):
    """An entry of a table as it stands or was just put; None is a tombstone."""

    partition: int
    key: str
    record: Record | None


@dataclass(frozen=True, slots=True)
class CaughtUp:
    """All that stood when the following began has been given; what comes now is new."""


class Table(Protocol):
    """A compacted topic: the last record of each key. Whoever writes last wins, also a writer that woke up late."""

    @property
    def partitions(self) -> int: ...

    def put(self, key: str, record: Record | None, *, partition: int | None = None) -> Awaitable[object]:
        """Queue an entry, None to delete it; awaiting returns when it is acknowledged, or raises a WriteError.

        Without `partition` the key chooses it.
        """
        ...

    def follow(self, partition: int | None = None) -> AsyncGenerator[Change | CaughtUp, None]:
        """First all that stands in the order it was put, then CaughtUp once, then each change; for ever.

        Without `partition`, of all partitions.
        """
        ...
