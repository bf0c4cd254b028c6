"""A table on Kafka: a compacted topic. Nothing of it stays in memory: who begins to follow reads what stands."""

import asyncio
import uuid
from collections.abc import AsyncGenerator, Sequence
from contextlib import ExitStack, aclosing

from confluent_kafka import Message

from agentspan.eventlog._kafka_connection import Connection, TopicFacts
from agentspan.eventlog._kafka_feed import Bell
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
        feeds = self._feeds if partition is None else [self._feeds[partition]]
        with ExitStack() as holding:
            for feed in feeds:
                holding.enter_context(feed.held())
            followed = [await feed.following() for feed in feeds]
            # what was followed here before may be behind: all that stands now is to be given
            offsets = [await feed.end() for feed in feeds]
            for feed, end in zip(feeds, offsets, strict=True):
                async with aclosing(self._standing.read(feed.place, await feed.begin(), end, _change)) as standing:
                    async for changes in standing:
                        for change in changes:
                            yield change
            yield CaughtUp()
            while True:
                rung = self._bell.rung
                for at, following in enumerate(followed):
                    while following.has(offsets[at]):
                        piece = await feeds[at].read(offsets[at], READ_LIMIT)
                        for _, change in piece.items:
                            yield change
                        offsets[at] = piece.following
                await self._bell.past(rung)

    def _encoded(self, key: str, record: Record | None) -> Encoded:
        if record is None:
            return Encoded(key, None, [])
        return encode(self._topic, uuid.uuid4().hex, record, key=key)


def _change(message: Message) -> Change:
    key, record = decode_entry(message)
    return Change(message.partition() or 0, key, record)
