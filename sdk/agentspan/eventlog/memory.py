"""Log, inbox and tables in memory. They play Kafka: a log takes any epoch, a table any writer, and what a process sees
through a `Link` is delayed, lost, torn or repeated as its `Faults` say. Without one they are plain and fast.

Each object is the broker's side; `over(link)` is the same as one process sees it.
"""

import asyncio
import copy
from collections.abc import AsyncGenerator, Sequence
from contextlib import aclosing
from typing import TypeVar

from agentspan.eventlog._compacted import Compacted
from agentspan.eventlog._link import Faults, Lane, Link
from agentspan.eventlog._murmur2 import partition_for
from agentspan.eventlog._ownership import RENEW_AFTER
from agentspan.eventlog._partition import PartitionLog
from agentspan.eventlog._ports import CaughtUp, Change
from agentspan.eventlog._records import Record, Stamp, Stored
from agentspan.eventlog._watermark import Watermark

__all__ = ["Faults", "Link", "MemoryInbox", "MemoryLog", "MemoryTable"]


T = TypeVar("T")

RECEIVED_AT_ONCE = 100


class _Partition:
    """A raw partition on the broker's side."""

    def __init__(self) -> None:
        self.records: list[Stored] = []
        self.watermark = Watermark()

    def land(self, stamped: tuple[Stamp, Record]) -> int:
        offset = len(self.records)
        self.records.append(Stored(offset, *stamped))
        self.watermark.grow(offset + 1)
        return offset


class _RawLog:
    """A raw partition as one process sees it."""

    def __init__(self, partition: _Partition, link: Link | None) -> None:
        self._partition = partition
        self._link = link
        self._lane = Lane(link, partition.land)

    def append(self, records: Sequence[tuple[Stamp, Record]]) -> asyncio.Future[Sequence[int]]:
        return self._lane.carry([(stamp, _sent(self._link, record)) for stamp, record in records])

    async def read(self, offset: int, limit: int) -> Sequence[Stored]:
        records = self._partition.records[offset : offset + limit]
        await _cross(self._link)
        return records

    async def end(self) -> int:
        end = self._partition.watermark.end
        await _cross(self._link)
        return end

    async def wait(self, offset: int) -> None:
        await self._partition.watermark.passed(offset)


class MemoryLog:
    """A log in memory."""

    def __init__(self, partitions: int, *, id: str = "memory", renew_after: int = RENEW_AFTER) -> None:
        self.id = id
        self.partitions = partitions
        self._renew_after = renew_after
        self._stored = [_Partition() for _ in range(partitions)]
        self._connect(None)

    def over(self, link: Link) -> "MemoryLog":
        """The same log as another process sees it."""
        seen = copy.copy(self)
        seen._connect(link)
        return seen

    def partition(self, number: int) -> PartitionLog:
        return self._partitions[number]

    def _connect(self, link: Link | None) -> None:
        raw = [_RawLog(partition, link) for partition in self._stored]
        self._partitions = [PartitionLog(partition, renew_after=self._renew_after) for partition in raw]


class _Commands:
    """One partition of an inbox on the broker's side: what is kept of it, from the offset `first` on."""

    def __init__(self, keep: int) -> None:
        self.records: list[Record] = []
        self.first = 0
        self.watermark = Watermark()
        self._keep = keep

    def land(self, record: Record) -> int:
        offset = self.watermark.end
        self.records.append(record)
        self.watermark.grow(offset + 1)
        return offset

    def kept(self, offset: int) -> tuple[int, Sequence[Record]]:
        """Some records from the offset on, and where they begin: further on, when that one is gone."""
        begin = max(offset, self.first) - self.first
        return self.first + begin, self.records[begin : begin + RECEIVED_AT_ONCE]

    def received(self, offset: int) -> None:
        """Drop what lies further back than `keep`, in pieces of a quarter of it: next to nothing per record."""
        surplus = offset - self._keep - self.first
        if surplus > self._keep // 4:
            del self.records[:surplus]
            self.first += surplus


class MemoryInbox:
    """An inbox in memory. Of what was received it keeps at least the last `keep` records of each partition.

    A new one takes another `id`: its offsets start over.
    """

    def __init__(self, partitions: int, *, id: str, keep: int = 100_000) -> None:
        self.id = id
        self.partitions = partitions
        self._commands = [_Commands(keep) for _ in range(partitions)]
        self._connect(None)

    def over(self, link: Link) -> "MemoryInbox":
        """The same inbox as another process sees it."""
        seen = copy.copy(self)
        seen._connect(link)
        return seen

    def send(self, partition: int, record: Record) -> asyncio.Future[Sequence[int]]:
        twice = self._link is not None and self._link.faults.happens(self._link.faults.twice)
        return self._lanes[partition].carry([_sent(self._link, record)] * (2 if twice else 1))

    async def receive(self, partition: int, offset: int) -> AsyncGenerator[tuple[int, Record], None]:
        commands = self._commands[partition]
        while True:
            await commands.watermark.passed(offset)
            offset, records = commands.kept(offset)
            for record in records:
                if self._link is not None:
                    await self._link.cross()
                yield offset, record
                commands.received(offset)
                offset += 1

    def _connect(self, link: Link | None) -> None:
        self._link = link
        self._lanes = [Lane(link, commands.land) for commands in self._commands]


class MemoryTable:
    """A table in memory."""

    def __init__(self, partitions: int = 1) -> None:
        self.partitions = partitions
        self._compacted = Compacted()
        self._connect(None)

    def over(self, link: Link) -> "MemoryTable":
        """The same table as another process sees it."""
        seen = copy.copy(self)
        seen._connect(link)
        return seen

    def put(self, key: str, record: Record | None, *, partition: int | None = None) -> asyncio.Future[Sequence[None]]:
        at = partition_for(key, self.partitions) if partition is None else partition
        sent = None if record is None else _sent(self._link, record)
        return self._lanes[at].carry([Change(at, key, sent)])

    def follow(self, partition: int | None = None) -> AsyncGenerator[Change | CaughtUp, None]:
        changes = self._compacted.follow(partition)
        return changes if self._link is None else _crossing(self._link, changes)

    def _connect(self, link: Link | None) -> None:
        self._link = link
        self._lanes = [Lane(link, self._compacted.apply) for _ in range(self.partitions)]


async def _cross(link: Link | None) -> None:
    if link is not None:
        await link.cross()


async def _crossing(link: Link, changes: AsyncGenerator[T, None]) -> AsyncGenerator[T, None]:
    async with aclosing(changes):
        async for change in changes:
            await link.cross()
            yield change


def _sent(link: Link | None, record: Record) -> Record:
    """What reaches the broker: over a link the bytes alone, not the object that one process made of them."""
    return record if link is None else Record(record.type, record.key, record.value, record.attributes)
