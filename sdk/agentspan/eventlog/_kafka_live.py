"""What is new: one thread and one consumer for every partition that somebody follows, from where it ended then.

The consumer belongs to its thread alone (a call from another one would wait for the poll under way). One that brings
nothing is asked for a sign of life, and replaced when it has none (see `_kafka_pulse`).
"""

import asyncio
import contextlib
import logging
import queue
import threading
import time
from collections.abc import Callable, Sequence
from functools import partial
from typing import NamedTuple, Protocol

from confluent_kafka import Consumer, KafkaError, KafkaException, Message, TopicPartition

from agentspan.eventlog._errors import LogError
from agentspan.eventlog._kafka_config import KafkaConfig
from agentspan.eventlog._kafka_errors import read_error
from agentspan.eventlog._kafka_pulse import Pulse, let_go
from agentspan.eventlog._kafka_threads import post

logger = logging.getLogger(__name__)

POLL_S = 0.025
"""How long a new follower may wait for its turn."""

TOLD_WITHIN_S = 1.0
"""So long may a broker take to say where a topic is. Unasked, a consumer hears of one that is new to it only with
librdkafka's next look round, up to a second later."""

BATCH = 500
FETCH_WAIT_MS = 25
READ_AHEAD_KB = 4096
REST_S = 0.01
"""So long is nothing fetched after what this process wrote itself has come: it has that from the acknowledgements."""

SHARED_S = 0.2
"""So long nobody rests after somebody else's record."""


class Place(NamedTuple):
    """A partition of a topic."""

    topic: str
    partition: int


class Sink(Protocol):
    """Takes what is new of one partition. `keep` and `known` are for the live thread, the rest for the event loop."""

    @property
    def known(self) -> int:
        """The offset below which it has everything."""
        ...

    @property
    def foreign(self) -> int:
        """How many records were given that this process has not written."""
        ...

    def keep(self, messages: Sequence[Message]) -> Callable[[], None] | None:
        """Decode what is not known yet; what the loop has to do with it."""
        ...

    def ended(self, offset: int) -> None:
        """Nothing but what it was given stands below the offset, as after the marker of a transaction."""
        ...

    def fail(self, error: LogError) -> None:
        """Nothing more will come."""
        ...


class Live:
    """Starts its thread with the first partition."""

    def __init__(self, config: KafkaConfig) -> None:
        self._config = config
        self._wishes: queue.SimpleQueue[Callable[[Consumer], None]] = queue.SimpleQueue()
        self._sinks: dict[Place, Sink] = {}
        self._foreign = 0
        self._restless_until = 0.0
        self._closing = threading.Event()
        self._thread: threading.Thread | None = None

    def attach(self, place: Place, offset: int, sink: Sink) -> None:
        """Give the sink every message from the offset on."""
        self._wishes.put(lambda consumer: self._attach(consumer, place, offset, sink))
        if self._thread is None:
            loop = asyncio.get_running_loop()
            self._thread = threading.Thread(target=self._run, args=(loop,), name="agentspan-kafka-live", daemon=True)
            self._thread.start()

    def detach(self, place: Place, sink: Sink) -> None:
        """Give this sink nothing more."""
        self._wishes.put(lambda consumer: self._detach(consumer, place, sink))

    async def close(self) -> None:
        self._closing.set()
        if self._thread is not None:
            await asyncio.get_running_loop().run_in_executor(None, self._thread.join)

    def _run(self, loop: asyncio.AbstractEventLoop) -> None:
        consumer, pulse = self._made(), Pulse("reading what is new")
        while not self._closing.is_set():
            try:
                if self._turn(consumer, loop):
                    pulse.heard()
                    self._rest()
                elif self._sinks and pulse.lost(partial(self._asked, consumer)):
                    consumer = self._another(consumer)
                    pulse.heard()
            except Exception as error:  # the loop's edge: whatever it is, those who follow are told, and may come again
                logger.exception("following failed")
                broken = LogError(f"following failed: {error}")
                post(loop, _do, [partial(sink.fail, broken) for sink in self._sinks.values()])
                consumer.unassign()
                self._sinks.clear()
        consumer.close()

    def _made(self) -> Consumer:
        settings = self._config.consumer(wait_ms=FETCH_WAIT_MS, queued_kb=READ_AHEAD_KB)
        # while this thread rests, what was fetched waits for it, and librdkafka fetches no more
        settings |= {"queued.min.messages": 1, "fetch.queue.backoff.ms": 1}
        return Consumer(settings | {"enable.partition.eof": True}, logger=logger)

    def _asked(self, consumer: Consumer, within_s: float) -> None:
        place = next(iter(self._sinks))
        consumer.get_watermark_offsets(TopicPartition(*place), timeout=within_s)

    def _another(self, consumer: Consumer) -> Consumer:
        """One that goes on where this one was. While the brokers are away, it is replaced as well."""
        another = self._made()
        another.incremental_assign([TopicPartition(*at, sink.known) for at, sink in self._sinks.items()])
        let_go(consumer)
        return another

    def _turn(self, consumer: Consumer, loop: asyncio.AbstractEventLoop) -> bool:
        """Whether anything came."""
        while not self._wishes.empty():
            self._wishes.get()(consumer)
        first = consumer.poll(POLL_S)
        if first is not None:
            # `consume` with a timeout would wait until it has all it may take
            todo = self._sort(consumer, [first, *consumer.consume(BATCH, 0)])
            if todo:
                post(loop, _do, todo)
        return first is not None

    def _rest(self) -> None:
        """Let more come together, while all that comes is what this process has written."""
        now = time.monotonic()
        foreign = sum([sink.foreign for sink in self._sinks.values()])
        if foreign != self._foreign:
            self._foreign, self._restless_until = foreign, now + SHARED_S
        if now >= self._restless_until:
            self._closing.wait(REST_S)

    def _attach(self, consumer: Consumer, place: Place, offset: int, sink: Sink) -> None:
        if place in self._sinks:
            consumer.incremental_unassign([TopicPartition(*place)])
        elif all(each.topic != place.topic for each in self._sinks):
            with contextlib.suppress(KafkaException):  # what is wrong is found when it reads
                consumer.list_topics(place.topic, timeout=TOLD_WITHIN_S)  # by any broker: here all others wait for it
        self._sinks[place] = sink
        consumer.incremental_assign([TopicPartition(*place, offset)])

    def _detach(self, consumer: Consumer, place: Place, sink: Sink) -> None:
        if self._sinks.get(place) is sink:
            del self._sinks[place]
            consumer.incremental_unassign([TopicPartition(*place)])

    def _sort(self, consumer: Consumer, messages: Sequence[Message]) -> list[Callable[[], None]]:
        """By partition, in their order."""
        found: dict[Place, list[Message]] = {}
        events: list[tuple[Place, Message]] = []
        todo: list[Callable[[], None]] = []
        for message in messages:
            place = Place(message.topic() or "", -1 if (number := message.partition()) is None else number)
            if message.error() is not None:
                events.append((place, message))
            else:
                found.setdefault(place, []).append(message)
        for place, new in found.items():
            sink = self._sinks.get(place)
            keep = sink.keep(new) if sink is not None else None
            if keep is not None:
                todo.append(keep)
        for place, event in events:
            todo += self._heard(consumer, place, event)
        return todo

    def _heard(self, consumer: Consumer, place: Place, event: Message) -> list[Callable[[], None]]:
        error, sink = event.error(), self._sinks.get(place)
        assert error is not None
        if sink is not None and error.code() == KafkaError._PARTITION_EOF:
            return [partial(sink.ended, event.offset() or 0)]
        named = read_error(error, place.topic)
        if sink is None or named is None:
            logger.warning("reading %s: %s", place, error)
            return []
        self._detach(consumer, place, sink)
        return [partial(sink.fail, named)]


def _do(todo: Sequence[Callable[[], None]]) -> None:
    for act in todo:
        act()
