"""The log on Kafka: the partitions of the events topic, each a raw log that keeps whatever anybody writes."""

import asyncio
from collections.abc import Sequence

from confluent_kafka import Message

from agentspan.eventlog._errors import FateUnknown, LogMismatch
from agentspan.eventlog._kafka_connection import Connection, TopicFacts
from agentspan.eventlog._kafka_errors import OffsetGone
from agentspan.eventlog._kafka_live import Place
from agentspan.eventlog._kafka_messages import NOBODYS, decode_stamped, encode_stamped
from agentspan.eventlog._partition import PartitionLog
from agentspan.eventlog._records import Record, Stamp, Stored

RENEW_AFTER = 2_500
"""More often than where one file has all records: whoever restores reads from the last takeover on, of each partition,
and each partition has a share of the records."""


class KafkaLog:
    """Made by `Kafka.log`."""

    def __init__(self, connection: Connection, topic: TopicFacts, *, renew_after: int = RENEW_AFTER) -> None:
        self.id = topic.id
        self.partitions = topic.partitions
        raw = [_RawLog(connection, Place(topic.name, number)) for number in range(topic.partitions)]
        self._partitions = [PartitionLog(partition, renew_after=renew_after) for partition in raw]

    def partition(self, number: int) -> PartitionLog:
        return self._partitions[number]


class _RawLog:
    """One partition of the topic."""

    def __init__(self, connection: Connection, place: Place) -> None:
        self._place = place
        self._producing = connection.producing
        self._feed = connection.feed(place, _stored)

    def append(self, records: Sequence[tuple[Stamp, Record]]) -> asyncio.Future[Sequence[int]]:
        def landed(index: int, offset: int) -> None:
            stamp, record = records[index]
            self._feed.landed(offset, Stored(offset, stamp, record), len(record.value))

        topic, partition = self._place
        encoded = [encode_stamped(topic, partition, stamp, record) for stamp, record in records]
        acknowledged = self._producing.send(topic, partition, encoded, landed)
        self._feed.sending(acknowledged)
        appended: asyncio.Future[Sequence[int]] = asyncio.get_running_loop().create_future()
        acknowledged.add_done_callback(lambda done: _known(done, appended))
        return appended

    async def read(self, offset: int, limit: int) -> Sequence[Stored]:
        """The markers of a foreign transaction, where nothing else stands, are as a record that counts for nobody."""
        try:
            piece = await self._feed.read(offset, limit)
        except OffsetGone as gone:
            raise LogMismatch(
                f"{gone}: the log is kept for ever, or executions are lost; see `agentspan topics check`"
            ) from gone
        if not piece.items and piece.following > offset:
            return [Stored(piece.following - 1, NOBODYS, Record("", "", b""))]
        return [stored for _, stored in piece.items]

    async def end(self) -> int:
        return await self._feed.end()

    async def wait(self, offset: int) -> None:
        await self._feed.wait(offset)


def _known(done: asyncio.Future[Sequence[int]], appended: asyncio.Future[Sequence[int]]) -> None:
    """An owner has to know where its records stand."""
    if appended.done():
        return
    if (error := done.exception()) is not None:
        appended.set_exception(error)
    elif min(done.result()) < 0:
        appended.set_exception(FateUnknown("a record stands at an offset that the broker does not tell; read the log"))
    else:
        appended.set_result(done.result())


def _stored(message: Message) -> Stored:
    return Stored(message.offset() or 0, *decode_stamped(message))
