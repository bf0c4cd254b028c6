"""The inbox on Kafka: the partitions of the commands topic, read by offset. Group offsets say nothing here."""

import asyncio
import logging
import uuid
from collections.abc import AsyncGenerator, Sequence

from agentspan.eventlog._errors import BeyondEnd
from agentspan.eventlog._kafka_connection import Connection, TopicFacts
from agentspan.eventlog._kafka_errors import OffsetGone
from agentspan.eventlog._kafka_feed import Feed
from agentspan.eventlog._kafka_live import Place
from agentspan.eventlog._kafka_messages import decode, encode
from agentspan.eventlog._records import Record

logger = logging.getLogger(__name__)

READ_LIMIT = 500


class KafkaInbox:
    """Made by `Kafka.inbox`."""

    def __init__(self, connection: Connection, topic: TopicFacts) -> None:
        self.id = topic.id
        self.partitions = topic.partitions
        self._topic = topic.name
        self._producing = connection.producing
        self._feeds = [connection.feed(Place(topic.name, number), decode) for number in range(topic.partitions)]

    def send(self, partition: int, record: Record) -> asyncio.Future[Sequence[int]]:
        def landed(_: int, offset: int) -> None:
            self._feeds[partition].landed(offset, record, len(record.value))

        # the same command sent again is the same CloudEvent
        id_ = record.attributes.get("commandid") or uuid.uuid4().hex
        sent = self._producing.send(self._topic, partition, [encode(self._topic, id_, record)], landed)
        self._feeds[partition].sending(sent)
        return sent

    async def receive(self, partition: int, offset: int) -> AsyncGenerator[tuple[int, Record], None]:
        feed = self._feeds[partition]
        with feed.held():
            offset = await _kept(feed, offset)
            while True:
                try:
                    await feed.wait(offset)
                    piece = await feed.read(offset, READ_LIMIT)
                except (OffsetGone, BeyondEnd):  # retention was faster than this process, or the topic is cut short
                    offset = await _kept(feed, offset)
                    continue
                for at, record in piece.items:
                    yield at, record
                offset = piece.following


async def _kept(feed: Feed[Record], offset: int) -> int:
    """Where to begin: not below the earliest, and not above the end of a topic that was cut short."""
    begin, end = await feed.begin(), await feed.end()
    if begin > offset > 0:
        logger.warning("%s: commands %d to %d were never read: they are no longer kept", feed.place, offset, begin - 1)
    if offset > end:
        logger.warning("%s ends at %d, %d was expected: it was cut short", feed.place, end, offset)
    return min(max(offset, begin), end)
