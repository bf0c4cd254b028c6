"""Writing: produced in the event loop's thread, acknowledged by one that polls, told to the loop in bulk.

librdkafka keeps the order of a partition and retries until `message.timeout.ms`. After a fatal error its producer is of
no more use; so it is, for all that anybody knows, when nothing was acknowledged for long and a write has timed out (see
`_kafka_pulse`). What it had under way is of unknown fate, and a new one goes on.
"""

import asyncio
import logging
import threading
import time
from collections.abc import Callable, Sequence
from functools import partial

from confluent_kafka import KafkaError, KafkaException, Message, Producer

from agentspan.eventlog._errors import FateUnknown, LogClosed, LogError
from agentspan.eventlog._kafka_config import KafkaConfig
from agentspan.eventlog._kafka_errors import kafka_error, write_error
from agentspan.eventlog._kafka_lanes import Lanes
from agentspan.eventlog._kafka_messages import Encoded
from agentspan.eventlog._kafka_pulse import SILENT_S
from agentspan.eventlog._kafka_threads import post

logger = logging.getLogger(__name__)

POLL_S = 0.1

Landed = Callable[[int, int], None]
"""Told which record of a write landed, and at which offset."""

ANY_PARTITION = -1


def nobody_asks(index: int, offset: int) -> None:
    """Where it landed."""


class _Write:
    """Records that are acknowledged together."""

    def __init__(self, topic: str, partition: int, records: Sequence[Encoded], landed: Landed) -> None:
        self.future: asyncio.Future[Sequence[int]] = asyncio.get_running_loop().create_future()
        self.place = topic, partition
        self.records = records
        self._landed = landed
        self._offsets = [-1] * len(records)
        self._missing = len(records)

    def acknowledge(self, index: int, offset: int) -> None:
        self._offsets[index] = offset
        self._missing -= 1
        if offset >= 0:
            self._landed(index, offset)
        if self._missing == 0 and not self.future.done():
            self.future.set_result(self._offsets)

    def fail(self, error: LogError) -> None:
        if not self.future.done():
            self.future.set_exception(error)


class Producing:
    """The writes of this process to all topics."""

    def __init__(self, config: KafkaConfig) -> None:
        self._config = config
        self._life: _Life | None = None
        self._closed = False

    def send(
        self, topic: str, partition: int, records: Sequence[Encoded], landed: Landed = nobody_asks
    ) -> asyncio.Future[Sequence[int]]:
        """Queue records; the future has their offsets, -1 for one that stands where nobody knows."""
        write = _Write(topic, partition, records, landed)
        if self._closed:
            write.fail(LogClosed("this process has closed its connection to Kafka"))
            return write.future
        self._living().send(write)
        return write.future

    def connect(self) -> None:
        """Look for the brokers before there is something to write: librdkafka is half a second late else."""
        if not self._closed:
            self._living()

    async def close(self) -> None:
        """Every write before this is acknowledged or fails; every write after it raises LogClosed."""
        self._closed = True
        if self._life is not None:
            await self._life.close()

    def _living(self) -> "_Life":
        if self._life is None or self._life.over:
            self._life = _Life(self._config)
        return self._life


class _Life:
    """One producer and its thread, until it is closed or meets a fatal error."""

    def __init__(self, config: KafkaConfig) -> None:
        self.over = False
        """Whether it is of no more use."""
        self._loop = asyncio.get_running_loop()
        self._reports: list[tuple[_Write, int, KafkaError | None, int]] = []
        self._lanes = Lanes(self._produce)
        self._heard_at = time.monotonic()
        self._closing = threading.Event()
        self._producer = Producer(config.producer(), logger=logger)
        self._thread = threading.Thread(target=self._run, name="agentspan-kafka-producer", daemon=True)
        self._thread.start()

    def send(self, write: _Write) -> None:
        self._lanes.put(write.place, write)

    async def close(self) -> None:
        self._lanes.hurry()
        self._closing.set()
        await asyncio.get_running_loop().run_in_executor(None, self._thread.join)

    def _produce(self, write: _Write) -> None:
        topic, partition = write.place
        try:
            for index, (key, value, headers) in enumerate(write.records):
                report = partial(self._report, write, index)
                self._producer.produce(
                    topic, value=value, key=key, partition=partition, headers=headers, on_delivery=report
                )
        except BufferError:
            write.fail(FateUnknown("too much is on its way to the brokers already; read what stands of this write"))
        except KafkaException as exception:
            self._fail(write, kafka_error(exception))

    def _fail(self, write: _Write, error: KafkaError) -> None:
        write.fail(write_error(error, write.place[0]))
        timed_out = error.code() == KafkaError._MSG_TIMED_OUT
        if error.fatal() or (timed_out and time.monotonic() - self._heard_at > SILENT_S):
            self._end(error)

    def _end(self, error: KafkaError) -> None:
        """What is under way is purged, and so reported as failed: it may stand or not."""
        if self.over:
            return
        logger.error("the producer has ended (%s: %s): a new one goes on", error.name(), error.str())
        self.over = True
        self._closing.set()
        for waiting in self._lanes.drop():
            waiting.fail(write_error(error, waiting.place[0]))

    def _run(self) -> None:
        while not self._closing.is_set():
            self._producer.poll(POLL_S)
            self._hand_over()
        if self.over:
            self._producer.purge()
        self._producer.flush()  # ends: whatever is not delivered in time is reported as failed
        self._hand_over()
        self._producer.close()

    def _report(self, write: _Write, index: int, error: KafkaError | None, message: Message) -> None:
        offset = message.offset()
        self._reports.append((write, index, error, -1 if offset is None else offset))

    def _hand_over(self) -> None:
        reports, self._reports = self._reports, []
        if reports:
            post(self._loop, self._tell, reports)

    def _tell(self, reports: Sequence[tuple[_Write, int, KafkaError | None, int]]) -> None:
        for write, index, error, offset in reports:
            if error is None:
                self._heard_at = time.monotonic()
                write.acknowledge(index, offset)
            else:
                self._fail(write, error)
