"""Which partitions are this process's: a member of a consumer group that fetches nothing.

The group only says who should own a partition. Who does own it, the log's order says: a member that is late to hear of
a rebalance is fenced, not trusted.
"""

import asyncio
import logging
import queue
import threading
import time
from collections.abc import Callable, Coroutine
from typing import Any, Protocol

from confluent_kafka import OFFSET_END, Consumer, KafkaException, TopicPartition

from agentspan.eventlog._errors import LogError
from agentspan.eventlog._kafka_acls import ORCHESTRATORS
from agentspan.eventlog._kafka_config import KafkaConfig
from agentspan.eventlog._kafka_errors import group_error, kafka_error, read_error
from agentspan.eventlog._kafka_pulse import MEMBER_S, Pulse, asks_coordinator, let_go, subscribe
from agentspan.eventlog._kafka_threads import post
from agentspan_schemas.topics import COMMANDS, Topic, topic_name

logger = logging.getLogger(__name__)

POLL_S = 0.05
REVOKED_S = 10.0
"""So long may a partition take to be let go; the others of the group wait for it."""

COMMIT_S = 5.0

DOUBTED_S = 10.0
"""So long is a partition kept that the group has taken away because it has not heard of us: where only its coordinator
was away, nobody else has it. Who has taken it over is found on the log."""


class Listener(Protocol):
    """Hears of partitions, in the event loop."""

    def assigned(self, partitions: frozenset[int]) -> None:
        """These are ours now, beside those we have."""
        ...

    async def revoked(self, partitions: frozenset[int]) -> None:
        """Let these go: nobody else has them before this returns, or 10 s have passed."""
        ...

    def lost(self, partitions: frozenset[int]) -> None:
        """These may be somebody else's already: the group has not heard of us for too long."""
        ...


class Assignments:
    """This process's membership of a group that shares out the partitions of a topic."""

    def __init__(self, config: KafkaConfig, *, group: str = ORCHESTRATORS, topic: Topic = COMMANDS) -> None:
        self._config = config
        self._group = group
        self._topic = topic_name(topic, config.prefix)
        self._wishes: Wishes = queue.SimpleQueue()

    async def run(self, listener: Listener) -> None:
        """Be a member until cancelled; then let all go and leave. Raises LogError when the group does not have us."""
        loop = asyncio.get_running_loop()
        ended: asyncio.Future[None] = loop.create_future()
        member = _Member(self._config, self._group, self._topic, self._wishes, listener, loop)
        thread = threading.Thread(target=member.run, args=(ended,), name="agentspan-kafka-group", daemon=True)
        thread.start()
        try:
            await ended
        finally:
            member.closing.set()
            await loop.run_in_executor(None, thread.join)

    async def confirmed(self, partition: int) -> bool:
        """Whether the group's coordinator, asked now, still has us as the one for the partition.

        An owner that was fenced asks before it takes over again. False may also mean that a rebalance is going on.
        """
        loop = asyncio.get_running_loop()
        answered: asyncio.Future[bool] = loop.create_future()
        self._wishes.put(lambda member: post(loop, _answer, answered, member.confirmed(partition)))
        return await answered

    def progressed(self, partition: int, offset: int) -> None:
        """Commands below the offset are decided: a hint for who measures the lag, committed every few seconds."""
        self._wishes.put(lambda member: member.progressed(partition, offset))


class _Member:
    """The consumer and its thread."""

    def __init__(
        self,
        config: KafkaConfig,
        group: str,
        topic: str,
        wishes: "Wishes",
        listener: Listener,
        loop: asyncio.AbstractEventLoop,
    ) -> None:
        self.closing = threading.Event()
        self._settings = config.member(group)
        self._topic = topic
        self._wishes = wishes
        self._listener = listener
        self._loop = loop
        self._consumer = Consumer(self._settings, logger=logger)
        self._pulse = Pulse(f"the group {group}", MEMBER_S)
        self._assigned: frozenset[int] = frozenset()
        self._doubted: frozenset[int] = frozenset()
        self._doubted_until = 0.0
        self._progress: dict[int, int] = {}
        self._commit_at = 0.0

    def run(self, ended: asyncio.Future[None]) -> None:
        """Poll until closing, or until the group does not have us."""
        try:
            self._join()
            while not self.closing.is_set():
                self._turn()
        except Exception as error:  # the thread's edge: whoever runs this is told
            post(self._loop, _fail, ended, group_error(error, self._topic))
        finally:
            self._consumer.close()

    def progressed(self, partition: int, offset: int) -> None:
        self._progress[partition] = offset

    def confirmed(self, partition: int) -> bool:
        """A commit is refused to whoever is no member of the group's present generation."""
        if partition not in self._assigned:
            return False
        try:
            self._consumer.commit(offsets=[self._hint(partition)], asynchronous=False)
        except KafkaException as exception:
            logger.info("partition %d is not confirmed: %s", partition, kafka_error(exception))
            return False
        return True

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
        """By another instance. The group has missed this one long ago: what it had may be somebody else's."""
        old, self._consumer = self._consumer, Consumer(self._settings, logger=logger)
        let_go(old)
        self._on_lost([TopicPartition(self._topic, number) for number in self._assigned])
        self._join()
        self._pulse.heard()

    def _turn(self) -> None:
        while not self._wishes.empty():
            self._wishes.get()(self)
        event = self._consumer.poll(POLL_S)
        if event is not None and (error := event.error()) is not None:
            if error.fatal() or read_error(error, self._topic) is not None:
                raise KafkaException(error)
            logger.warning("the group: %s", error)
        if self._doubted and time.monotonic() >= self._doubted_until:
            self._lost()
        if time.monotonic() >= self._commit_at:
            self._commit()
        if self._pulse.lost(asks_coordinator(self._consumer, self._topic)):
            self._join_anew()

    def _commit(self) -> None:
        hints = [self._hint(partition) for partition in self._assigned & self._progress.keys()]
        if hints:
            self._consumer.commit(offsets=hints, asynchronous=True)
            self._progress.clear()
        self._commit_at = time.monotonic() + COMMIT_S

    def _hint(self, partition: int) -> TopicPartition:
        place = TopicPartition(self._topic, partition)
        offset = self._progress.get(partition)
        if offset is None:
            offset = max(self._consumer.committed([place], timeout=REVOKED_S)[0].offset, 0)
        return TopicPartition(self._topic, partition, offset)

    def _misheard(self, error: Exception) -> None:
        """The fence of the log holds whatever the group believes."""
        logger.error("hearing of partitions failed", exc_info=error)

    def _on_assign(self, partitions: list[TopicPartition]) -> None:
        # paused, and at the end, since nothing is fetched here: whoever owns a partition reads its inbox by offset
        places = [TopicPartition(self._topic, each.partition, OFFSET_END) for each in partitions]
        self._consumer.incremental_assign(places)
        self._consumer.pause(places)
        numbers = frozenset(each.partition for each in partitions)
        self._assigned |= numbers
        kept, self._doubted = self._doubted & numbers, self._doubted - numbers
        self._lost()  # the group is whole again: what it has not given back, others have
        post(self._loop, self._listener.assigned, numbers - kept)

    def _on_revoke(self, partitions: list[TopicPartition]) -> None:
        numbers = self._gone(partitions) | self._doubted
        self._doubted = frozenset()
        letting_go = asyncio.run_coroutine_threadsafe(self._listener.revoked(numbers), self._loop)
        try:
            letting_go.result(REVOKED_S)
        except TimeoutError:
            logger.warning("partitions %s were not let go in %g s: others take them over", sorted(numbers), REVOKED_S)

    def _on_lost(self, partitions: list[TopicPartition]) -> None:
        self._doubted |= self._gone(partitions)
        self._doubted_until = time.monotonic() + DOUBTED_S

    def _lost(self) -> None:
        doubted, self._doubted = self._doubted, frozenset()
        if doubted:
            post(self._loop, self._listener.lost, doubted)

    def _gone(self, partitions: list[TopicPartition]) -> frozenset[int]:
        numbers = frozenset(each.partition for each in partitions)
        self._assigned -= numbers
        return numbers


Wishes = queue.SimpleQueue[Callable[[_Member], object]]


class Serving:
    """A listener that runs `serve(partition)` for each partition while it is ours.

    What one of them raises ends the group of tasks; a partition that comes back is served when its last time is over.
    """

    def __init__(self, serve: Callable[[int], Coroutine[Any, Any, None]], group: asyncio.TaskGroup) -> None:
        self._serve = serve
        self._group = group
        self._tasks: dict[int, asyncio.Task[None]] = {}

    def assigned(self, partitions: frozenset[int]) -> None:
        for number in sorted(partitions):
            self._tasks[number] = self._group.create_task(self._after(self._tasks.get(number), number))

    async def revoked(self, partitions: frozenset[int]) -> None:
        self.lost(partitions)
        ending = [self._tasks[number] for number in partitions if number in self._tasks]
        if ending:
            await asyncio.wait(ending)

    def lost(self, partitions: frozenset[int]) -> None:
        for number in partitions & self._tasks.keys():
            self._tasks[number].cancel()

    async def _after(self, before: "asyncio.Task[None] | None", number: int) -> None:
        if before is not None:
            await asyncio.wait([before])
        await self._serve(number)


def _answer(answered: asyncio.Future[bool], answer: bool) -> None:
    if not answered.done():
        answered.set_result(answer)


def _fail(ended: asyncio.Future[None], error: LogError) -> None:
    if not ended.done():
        ended.set_exception(error)
