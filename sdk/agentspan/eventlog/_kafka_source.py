"""Topics that other teams write, shared by their partitions among the processes of a service: a member of a consumer
group that fetches.

Apart from the log's partitions because nothing fences here: when a partition moves, a record may come to two processes.
Whoever takes it makes that harmless.
"""

import asyncio
import logging
import queue
import threading
import time
from collections import deque
from collections.abc import AsyncGenerator, Iterable, Sequence
from dataclasses import dataclass, field

from confluent_kafka import Consumer, KafkaError, KafkaException, Message, TopicPartition

from agentspan.eventlog._errors import LogClosed, LogError
from agentspan.eventlog._kafka_config import KafkaConfig
from agentspan.eventlog._kafka_errors import AccessDenied, group_error, kafka_error, read_error
from agentspan.eventlog._kafka_messages import headers_of
from agentspan.eventlog._kafka_pulse import MEMBER_S, Pulse, asks_coordinator, let_go, subscribe
from agentspan.eventlog._kafka_threads import post
from agentspan.eventlog.intake import Delivery
from agentspan_schemas.topics import Topic, topic_name

logger = logging.getLogger(__name__)

POLL_S = 0.05
COMMIT_S = 1.0
BATCH = 100
AHEAD = 500
"""So many records may wait to be received; then nothing is fetched until half of them are."""


class KafkaSource:
    """Made by `Kafka.source`. Received by one at a time."""

    def __init__(self, config: KafkaConfig, topic: Topic, group: str) -> None:
        self._config = config
        self._topic = topic_name(topic, config.prefix)
        self._group = group
        self._member: _Member | None = None
        self._closed = False

    async def receive(self) -> AsyncGenerator[Delivery, None]:
        """Be a member until closed. Raises LogError when the group does not have us."""
        if self._closed:
            raise LogClosed("this process has closed its connection to Kafka")
        member = self._member = _Member(self._config, self._topic, self._group, asyncio.get_running_loop())
        try:
            while True:
                yield await member.received()
        finally:
            await member.leave()

    def done(self, delivery: Delivery) -> None:
        """Committed within a second, and before the partition is let go."""
        if self._member is not None:
            self._member.done(delivery)

    def assigned(self) -> frozenset[int]:
        """The partitions that are ours now."""
        return self._member.assigned() if self._member is not None else frozenset()

    async def close(self) -> None:
        """Commit what is done, and leave the group."""
        self._closed = True
        if self._member is not None:
            await self._member.leave()


@dataclass(slots=True)
class _Track:
    """How far a partition is in this assignment of it."""

    in_hand: deque[Delivery] = field(default_factory=deque)
    """Handed out and not done, in their order."""
    done: int = -1
    """The offset behind the last that is done."""
    committed: int = -1


class _Member:
    """The consumer, and the thread that it belongs to."""

    def __init__(self, config: KafkaConfig, topic: str, group: str, loop: asyncio.AbstractEventLoop) -> None:
        self._topic = topic
        self._loop = loop
        self._closing = threading.Event()
        self._fetched: asyncio.Queue[Delivery | LogError] = asyncio.Queue()
        self._done: queue.SimpleQueue[Delivery] = queue.SimpleQueue()
        # each is written by one thread alone: the difference is what waits to be received
        self._handed = self._received = 0
        self._paused = False
        self._tracks: dict[int, _Track] = {}
        self._commit_at = 0.0
        self._broken: Exception | None = None
        self._settings = config.sharer(group) | {"on_commit": self._on_commit}
        self._consumer = Consumer(self._settings, logger=logger)
        self._pulse = Pulse(f"the group {group}", MEMBER_S)
        self._thread = threading.Thread(target=self._run, name=f"agentspan-kafka-{group}", daemon=True)
        self._thread.start()

    async def received(self) -> Delivery:
        found = await self._fetched.get()
        if isinstance(found, LogError):
            raise found
        self._received += 1
        return found

    def done(self, delivery: Delivery) -> None:
        self._done.put(delivery)

    def assigned(self) -> frozenset[int]:
        return frozenset(self._tracks)

    async def leave(self) -> None:
        self._closing.set()
        await self._loop.run_in_executor(None, self._thread.join)

    def _run(self) -> None:
        try:
            self._join()
            while not self._closing.is_set():
                self._turn()
        except Exception as error:  # the thread's edge: whoever receives is told
            post(self._loop, self._fetched.put_nowait, group_error(error, self._topic))
        finally:
            self._consumer.close()

    def _join(self) -> None:
        subscribe(
            self._consumer,
            self._topic,
            is_replaced=lambda who: who is not self._consumer,
            assigned=self._on_assign,
            revoked=self._on_revoke,
            lost=self._on_lost,
            failed=self._misheard,
        )

    def _join_anew(self) -> None:
        """By another instance: what is not committed comes again, to whoever has the partition then."""
        old, self._consumer = self._consumer, Consumer(self._settings, logger=logger)
        let_go(old)
        self._tracks.clear()
        self._join()
        self._pulse.heard()

    def _turn(self) -> None:
        if self._broken is not None:
            raise self._broken
        self._note_done()
        self._pause_or_resume()
        fetched = self._poll()
        if fetched:
            self._handed += len(fetched)
            post(self._loop, self._hand_over, fetched)
        if time.monotonic() >= self._commit_at:
            self._commit(self._tracks, asynchronous=True)
            self._commit_at = time.monotonic() + COMMIT_S
        if fetched:
            self._pulse.heard()
        elif self._pulse.lost(asks_coordinator(self._consumer, self._topic)):
            self._join_anew()

    def _hand_over(self, fetched: Sequence[Delivery]) -> None:
        for delivery in fetched:
            self._fetched.put_nowait(delivery)

    def _poll(self) -> list[Delivery]:
        """What has come. One by one, so that a rebalance between two records is heard of between them."""
        fetched: list[Delivery] = []
        message = self._consumer.poll(POLL_S)
        while message is not None:
            if (error := message.error()) is not None:
                self._failed(error)
            elif (track := self._tracks.get(message.partition() or 0)) is not None:
                fetched.append(delivery_of(message))
                track.in_hand.append(fetched[-1])
            message = self._consumer.poll(0) if len(fetched) < BATCH else None
        return fetched

    def _failed(self, error: KafkaError) -> None:
        # a broker that has just come up may not know a topic yet: it was there when this process began
        if error.fatal() or isinstance(read_error(error, self._topic), AccessDenied):
            raise KafkaException(error)
        logger.warning("reading %s: %s", self._topic, error)

    def _note_done(self) -> None:
        while not self._done.empty():
            delivery = self._done.get()
            track = self._tracks.get(delivery.partition)
            # of an earlier assignment it is no more ours: it comes, or came, again
            if track is not None and track.in_hand and track.in_hand[0] is delivery:
                track.in_hand.popleft()
                track.done = delivery.offset + 1

    def _pause_or_resume(self) -> None:
        ahead = self._handed - self._received
        if not self._paused and ahead >= AHEAD:
            self._paused = True
            self._consumer.pause(self._places())
        elif self._paused and ahead <= AHEAD // 2:
            self._paused = False
            self._consumer.resume(self._places())

    def _places(self) -> list[TopicPartition]:
        return [TopicPartition(self._topic, number) for number in self._tracks]

    def _commit(self, numbers: Iterable[int], *, asynchronous: bool) -> None:
        tracks = {number: self._tracks[number] for number in numbers if number in self._tracks}
        due = {number: track for number, track in tracks.items() if track.done > track.committed}
        if not due:
            return
        offsets = [TopicPartition(self._topic, number, track.done) for number, track in due.items()]
        for track in due.values():
            track.committed = track.done
        try:
            self._commit_now(offsets, asynchronous)
        except KafkaException as exception:
            self._on_commit(kafka_error(exception), offsets)

    def _commit_now(self, offsets: list[TopicPartition], asynchronous: bool) -> None:
        if asynchronous:
            self._consumer.commit(offsets=offsets, asynchronous=True)
        else:
            self._consumer.commit(offsets=offsets, asynchronous=False)

    def _on_commit(self, error: KafkaError | None, offsets: list[TopicPartition]) -> None:
        """What was not committed is due again."""
        for each in offsets:
            why = error or each.error
            if why is not None:
                logger.info("committing %s/%d: %s", self._topic, each.partition, why)
                if each.partition in self._tracks:
                    self._tracks[each.partition].committed = -1

    def _misheard(self, error: Exception) -> None:
        """The next turn raises it."""
        self._broken = error

    def _on_assign(self, partitions: list[TopicPartition]) -> None:
        self._tracks |= {each.partition: _Track() for each in partitions}
        self._consumer.incremental_assign(partitions)  # from what is committed on
        if self._paused:
            self._consumer.pause(partitions)

    def _on_revoke(self, partitions: list[TopicPartition]) -> None:
        self._note_done()
        self._commit([each.partition for each in partitions], asynchronous=False)
        self._on_lost(partitions)

    def _on_lost(self, partitions: list[TopicPartition]) -> None:
        for each in partitions:
            self._tracks.pop(each.partition, None)


def delivery_of(message: Message) -> Delivery:
    """The message as whoever takes it has it."""
    partition, offset = message.partition(), message.offset()
    assert partition is not None
    assert offset is not None
    headers = tuple((name, _bytes(value) or b"") for name, value in headers_of(message))
    value = _bytes(message.value()) or b""
    return Delivery(message.topic() or "", partition, offset, _bytes(message.key()), value, headers)


def _bytes(value: str | bytes | None) -> bytes | None:
    return value.encode() if isinstance(value, str) else value
