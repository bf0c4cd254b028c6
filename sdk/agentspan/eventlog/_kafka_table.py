"""A table on Kafka: a compacted topic. Who begins to follow reads what stands; little stays in memory for the next."""

import asyncio
import uuid
from collections.abc import AsyncGenerator, Sequence
from contextlib import AsyncExitStack, ExitStack, aclosing

from confluent_kafka import Message

from agentspan.eventlog._kafka_connection import Connection, TopicFacts
from agentspan.eventlog._kafka_feed import Bell
from agentspan.eventlog._kafka_kept import Kept
from agentspan.eventlog._kafka_live import Place
from agentspan.eventlog._kafka_messages import Encoded, decode_entry, encode
from agentspan.eventlog._murmur2 import partition_for
from agentspan.eventlog._ports import CaughtUp, Change
from agentspan.eventlog._records import Record

READ_LIMIT = 1000


class KafkaTable:
    """Made by `Kafka.table`."""

    def __init__(self, connection: Connection, topic: TopicFacts) -> None:
        self.partitions = topic.partitions
        self._topic = topic.name
        self._producing = connection.producing
        self._standing = connection.standing
        self._bell = Bell()
        self._feeds = [
            connection.feed(Place(topic.name, number), _change, self._bell) for number in range(topic.partitions)
        ]
        self._kept = [Kept() for _ in self._feeds]

    def put(self, key: str, record: Record | None, *, partition: int | None = None) -> asyncio.Future[Sequence[int]]:
        at = partition_for(key, self.partitions) if partition is None else partition
        if not 0 <= at < self.partitions:
            raise ValueError(f"{self._topic!r} has {self.partitions!r} partitions, no {partition!r}")

        def landed(_: int, offset: int) -> None:
            self._feeds[at].landed(offset, Change(at, key, record), len(record.value) if record else 0)

        sent = self._producing.send(self._topic, at, [self._encoded(key, record)], landed)
        self._feeds[at].sending(sent)
        return sent

    async def follow(self, partition: int | None = None) -> AsyncGenerator[Change | CaughtUp, None]:
        numbers = range(self.partitions) if partition is None else [partition]
        with ExitStack() as holding:
            for at in numbers:
                holding.enter_context(self._feeds[at].held())
                holding.enter_context(self._kept[at].followed())
            followed = [await self._feeds[at].following() for at in numbers]
            # what was followed here before may be behind: all that stands now is to be given
            offsets = {at: await self._feeds[at].end() for at in numbers}
            for at, end in offsets.items():
                async with aclosing(self._stood(at, end)) as stood:
                    async for offset, changes in stood:
                        offsets[at] = offset
                        for change in changes:
                            yield change
            yield CaughtUp()
            while True:
                rung = self._bell.rung
                for at, following in zip(numbers, followed, strict=True):
                    while following.has(offsets[at]):
                        offsets[at], changes = await self._came(at, offsets[at])
                        for change in changes:
                            yield change
                await self._bell.past(rung)

    async def _stood(self, at: int, end: int) -> AsyncGenerator[tuple[int, Sequence[Change]], None]:
        """What stands up to the end, or somewhat further, each time with the offset to go on from when that is all."""
        kept, rest = self._kept[at], None
        async with AsyncExitStack() as reading:
            async with kept.turn:
                while kept.until is not None and kept.until < end:
                    await self._came(at, kept.until)
                if kept.until is None:
                    rest = await self._read(at, end)
                if rest is not None:
                    await reading.enter_async_context(aclosing(rest))
                offset, changes = end if kept.until is None else kept.until, kept.changes
                if rest is not None:
                    kept.forget()
            yield offset, changes
            if rest is not None:
                async for changes in rest:
                    yield end, changes

    async def _read(self, at: int, end: int) -> AsyncGenerator[Sequence[Change], None] | None:
        """Keep what stands below the end; where that is too much to be kept, the rest of it."""
        kept, feed = self._kept[at], self._feeds[at]
        kept.forget()
        reading = self._standing.read(feed.place, await feed.begin(), end, _change)
        async with AsyncExitStack() as closing:
            await closing.enter_async_context(aclosing(reading))
            async for changes in reading:
                if not kept.add(changes):
                    closing.pop_all()
                    return reading
        kept.until = end
        return None

    async def _came(self, at: int, offset: int) -> tuple[int, Sequence[Change]]:
        """What came from the offset on, and the offset behind it."""
        piece = await self._feeds[at].read(offset, READ_LIMIT)
        self._kept[at].bring(offset, piece)
        return piece.following, [change for _, change in piece.items]

    def _encoded(self, key: str, record: Record | None) -> Encoded:
        if record is None:
            return Encoded(key, None, [])
        return encode(self._topic, uuid.uuid4().hex, record, key=key)


def _change(message: Message) -> Change:
    key, record = decode_entry(message)
    return Change(message.partition() or 0, key, record)
