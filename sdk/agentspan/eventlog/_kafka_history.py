"""What is older than anybody has in memory: a few consumers, each standing at one offset of one partition.

Whoever reads on where a cursor stands finds it there, and librdkafka has read ahead; others take the one that has been
idle longest and move it.
"""

import asyncio
import contextlib
import itertools
import logging
import threading
import time
from collections import deque
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import TypeVar

from confluent_kafka import Consumer, KafkaError, KafkaException, Message, TopicPartition

from agentspan.eventlog._errors import BeyondEnd, LogClosed
from agentspan.eventlog._kafka_config import KafkaConfig
from agentspan.eventlog._kafka_errors import OffsetGone, read_error
from agentspan.eventlog._kafka_live import Place
from agentspan.eventlog._kafka_pulse import Pulse, let_go

logger = logging.getLogger(__name__)

CURSORS = 8
"""With fewer than there are partitions that are read from afar, each piece would throw away what was fetched ahead."""

POLL_S = 0.05
FETCH_WAIT_MS = 2
"""A cursor never waits for what is new, but behind its own last fetch."""

TOLD_WITHIN_S = 1.0
"""So long may the brokers take to say where a topic is. Unasked, a consumer hears of one that is new to it only with
librdkafka's next look round, up to a second later."""

READ_AHEAD_KB = 8192
LOOKED_AT_ONCE = 5000
SLOW_S = 10.0
"""After so long without an answer, say so."""

T = TypeVar("T")
Decode = Callable[[Message], T]


class History:
    """Reads at any offset below an end that is known."""

    def __init__(self, config: KafkaConfig, *, cursors: int = CURSORS) -> None:
        self._config = config
        self._cursors = cursors
        self._idle: deque[_Cursor] = deque()
        self._made = 0
        self._free = asyncio.Semaphore(cursors)
        self._threads = ThreadPoolExecutor(cursors, thread_name_prefix="agentspan-kafka-history")
        self._closed = False

    async def read(
        self, place: Place, offset: int, limit: int, stop: int, decode: Decode[T]
    ) -> Sequence[tuple[int, T]]:
        """Up to `limit` messages from `offset` on with their offsets; none only if none stands below `stop`.

        Raises OffsetGone when the partition begins above the offset.
        """
        return await self._by_cursor(
            place, offset, lambda cursor, stopped: cursor.read(place, offset, limit, stop, decode, stopped)
        )

    async def look_at(self, place: Place, offset: int, stop: int, note: Callable[[Sequence[Message]], None]) -> None:
        """Give `note`, in another thread, all messages from `offset` to `stop`, in their order and some at a time.

        Raises OffsetGone when the partition begins above the offset.
        """
        await self._by_cursor(place, offset, lambda cursor, stopped: cursor.look_at(place, offset, stop, note, stopped))

    async def _by_cursor(self, place: Place, offset: int, act: "Callable[[_Cursor, threading.Event], T]") -> T:
        await self._free.acquire()
        try:
            if self._closed:
                raise LogClosed("this process has closed its connection to Kafka")
            cursor, stopped = self._take(place, offset), threading.Event()
            acting = asyncio.get_running_loop().run_in_executor(self._threads, act, cursor, stopped)
        except BaseException:
            self._free.release()
            raise
        # however often whoever waits is cancelled: the cursor is of use again when its thread is done with it
        acting.add_done_callback(lambda _: self._give_back(cursor))
        try:
            return await asyncio.shield(acting)
        finally:
            stopped.set()
            await asyncio.wait([acting])

    async def close(self) -> None:
        """Nobody reads any more."""
        self._closed = True
        loop = asyncio.get_running_loop()
        await asyncio.gather(*[loop.run_in_executor(self._threads, cursor.close) for cursor in self._idle])
        await loop.run_in_executor(None, self._threads.shutdown)

    def _give_back(self, cursor: "_Cursor") -> None:
        self._idle.append(cursor)
        self._free.release()

    def _take(self, place: Place, offset: int) -> "_Cursor":
        for cursor in self._idle:
            if cursor.at == (place, offset):
                self._idle.remove(cursor)
                return cursor
        if self._made < self._cursors:
            cursor = _Cursor(self._config)
            self._made += 1
            return cursor
        return self._idle.popleft()


class _Cursor:
    """One consumer, used by one thread at a time."""

    def __init__(self, config: KafkaConfig) -> None:
        self._settings = config.consumer(wait_ms=FETCH_WAIT_MS, queued_kb=READ_AHEAD_KB) | {
            "enable.partition.eof": True
        }
        self._consumer = Consumer(self._settings, logger=logger)
        self.at: tuple[Place, int] | None = None
        """Where it goes on without being moved."""
        self._topic: str | None = None
        """Of which it knows where it is."""
        self._passed = False
        """Whether it stands behind messages that it has not given, which came after an error or an end."""

    def read(
        self, place: Place, offset: int, limit: int, stop: int, decode: Decode[T], stopped: threading.Event
    ) -> Sequence[tuple[int, T]]:
        """As `History.read`; nothing, once it is stopped from another thread."""
        messages = self._next(place, offset, limit, stop, stopped)
        return [(message.offset() or 0, decode(message)) for message in messages]

    def look_at(
        self, place: Place, offset: int, stop: int, note: Callable[[Sequence[Message]], None], stopped: threading.Event
    ) -> None:
        """As `History.look_at`; no further, once it is stopped from another thread."""
        while offset < stop and (messages := self._next(place, offset, LOOKED_AT_ONCE, stop, stopped)):
            offset = (messages[-1].offset() or 0) + 1
            note(messages if offset <= stop else [each for each in messages if (each.offset() or 0) < stop])

    def _next(self, place: Place, offset: int, limit: int, stop: int, stopped: threading.Event) -> Sequence[Message]:
        if self.at != (place, offset):
            self._move(place, offset)
        self.at = None
        messages = self._fetch(place, offset, limit, stop, stopped)
        following = (messages[-1].offset() or 0) + 1 if messages else stop
        if following >= stop:
            self._consumer.unassign()  # or it would ask for more, every few milliseconds
        elif not self._passed:
            self.at = place, following
        return messages

    def close(self) -> None:
        self._consumer.close()

    def _move(self, place: Place, offset: int) -> None:
        if self._topic != place.topic:
            with contextlib.suppress(KafkaException):  # what is wrong is found when it reads
                self._asked(place, TOLD_WITHIN_S)
            self._topic = place.topic
        self._consumer.assign([TopicPartition(*place, offset)])

    def _fetch(self, place: Place, offset: int, limit: int, stop: int, stopped: threading.Event) -> Sequence[Message]:
        slow, pulse = time.monotonic() + SLOW_S, Pulse(f"reading {place} at offset {offset}")
        while not stopped.is_set():
            first = self._consumer.poll(POLL_S)
            if first is not None and first.error() is None:
                came = [first, *(self._consumer.consume(limit - 1, 0) if limit > 1 else [])]
                messages = list(itertools.takewhile(lambda message: message.error() is None, came))
                self._passed = any(message.error() is None for message in came[len(messages) :])
                return messages
            if first is not None and self._ended(first, place, offset, stop):
                return []
            if time.monotonic() > slow:
                logger.warning("reading %s at offset %d takes long", place, offset)
                slow += SLOW_S
            if pulse.lost(partial(self._asked, place)):
                self._begin_anew(place, offset)
                pulse.heard()
        return []

    def _asked(self, place: Place, within_s: float) -> None:
        self._consumer.get_watermark_offsets(TopicPartition(*place), timeout=within_s)

    def _begin_anew(self, place: Place, offset: int) -> None:
        """Nothing was given yet: it begins where this one began."""
        old, self._consumer = self._consumer, Consumer(self._settings, logger=logger)
        let_go(old)
        self._consumer.assign([TopicPartition(*place, offset)])

    def _ended(self, event: Message, place: Place, offset: int, stop: int) -> bool:
        """Whether nothing stands from here to `stop`."""
        error = event.error()
        assert error is not None
        if error.code() == KafkaError._PARTITION_EOF:
            return (event.offset() or 0) >= stop
        named = read_error(error, place.topic)
        if isinstance(named, BeyondEnd) and offset < stop:
            raise OffsetGone(f"{place.topic!r}, partition {place.partition!r}: offset {offset!r} is no longer kept")
        if named is not None:
            raise named
        logger.warning("reading %s: %s", place, error)
        return False
