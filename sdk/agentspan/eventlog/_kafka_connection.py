"""This process's clients of one cluster, shared by its log, inbox and tables: a producer, a live consumer, a few
cursors, and an admin client that is asked where partitions begin and end.

Reading waits for brokers that are away, for as long as it takes; what can't get better by waiting is raised.
"""

import asyncio
import contextlib
import logging
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from dataclasses import dataclass
from typing import Any, TypeVar

from confluent_kafka import IsolationLevel, KafkaError, KafkaException, Message, TopicCollection, TopicPartition
from confluent_kafka.admin import AdminClient
from confluent_kafka.admin._listoffsets import OffsetSpec

from agentspan.eventlog._errors import LogClosed, LogMismatch
from agentspan.eventlog._kafka_admin import url_safe
from agentspan.eventlog._kafka_asking import Asking
from agentspan.eventlog._kafka_config import KafkaConfig
from agentspan.eventlog._kafka_errors import AccessDenied, kafka_error, read_error
from agentspan.eventlog._kafka_feed import Bell, Feed
from agentspan.eventlog._kafka_heard import unreachable
from agentspan.eventlog._kafka_history import History
from agentspan.eventlog._kafka_live import Live, Place
from agentspan.eventlog._kafka_producer import Producing
from agentspan.eventlog._kafka_standing import Standing
from agentspan.eventlog._kafka_threads import result

logger = logging.getLogger(__name__)

T = TypeVar("T")

_EARLIEST: OffsetSpec = OffsetSpec.earliest()  # type: ignore[no-untyped-call]
_LATEST: OffsetSpec = OffsetSpec.latest()  # type: ignore[no-untyped-call]

TRY_AGAIN_S = 0.1
TRY_AGAIN_MAX_S = 2.0
ANSWER_S = 2.0
"""How long the first request may take, and twice as long each after it: one to a broker that has just died waits for it
although others have its partitions by then."""

LONG_S = 2.0
"""After so long without an answer, look for what is wrong."""


@dataclass(frozen=True, slots=True)
class TopicFacts:
    """A topic as it stands on the cluster."""

    name: str
    id: str
    """Of the cluster and of the topic: another one when the topic was made anew."""
    partitions: int


class Connection:
    """Its threads begin with the first use, in the event loop that uses it."""

    def __init__(self, config: KafkaConfig) -> None:
        self.config = config
        self.producing = Producing(config)
        self._live = Live(config)
        self._history = History(config)
        self.standing = Standing(config)
        self._asking = Asking(config)
        self._closed = False

    def feed(self, place: Place, decode: Callable[[Message], T], bell: Bell | None = None) -> Feed[T]:
        """A partition to read; with a bell that it shares with others that are followed together."""
        return Feed(place, decode, self, self._live, self._history, bell or Bell())

    async def facts(self, topics: Sequence[str]) -> tuple[TopicFacts, ...]:
        """The topics as they stand. Raises LogMismatch when one is missing, ClusterUnreachable or AccessDenied."""
        asking = asyncio.create_task(self._asked_for_facts(topics))
        try:
            async with asyncio.timeout(self.config.connect_timeout_s):
                await asyncio.wait([asking], timeout=LONG_S)
                # whoever is not let in is not told so by the request, which only waits
                if not asking.done() and isinstance(error := await unreachable(self.config), AccessDenied):
                    raise error
                return await asking
        except TimeoutError:
            raise await unreachable(self.config) from None
        finally:
            asking.cancel()
            await asyncio.wait([asking])

    async def begin(self, place: Place) -> int:
        """The offset below which nothing is kept."""
        return await self._offset(place, _EARLIEST)

    async def end(self, place: Place) -> int:
        """The offset that the next message will have."""
        return await self._offset(place, _LATEST)

    async def close(self) -> None:
        """Every write before this is acknowledged or fails; nothing is read any more."""
        await self.producing.close()
        await self._live.close()
        await self._history.close()
        await self.standing.close()
        self._closed = True
        await self._asking.close()

    async def _asked_for_facts(self, topics: Sequence[str]) -> tuple[TopicFacts, ...]:
        cluster = await self._ask("the cluster", lambda admin, s: admin.describe_cluster(request_timeout=s))
        described = [await self._describe(topic) for topic in topics]
        return tuple(
            TopicFacts(each.name, f"{cluster.cluster_id}/{url_safe(each.topic_id)}", len(each.partitions))
            for each in described
        )

    async def _describe(self, topic: str) -> Any:
        topics = TopicCollection([topic])
        return await self._ask(topic, lambda admin, s: admin.describe_topics(topics, request_timeout=s)[topic])

    async def _offset(self, place: Place, spec: OffsetSpec) -> int:
        asked = {TopicPartition(*place): spec}
        level = IsolationLevel.READ_UNCOMMITTED

        def ask(admin: AdminClient, within_s: float) -> "Future[Any]":
            found = admin.list_offsets(asked, isolation_level=level, request_timeout=within_s)
            return next(iter(found.values()))

        pause = TRY_AGAIN_S
        while (found := int((await self._ask(place.topic, ask)).offset)) < 0:
            # a leader that is new, or gone: no error, but no offset either
            await asyncio.sleep(pause)
            if not self._closed:
                await self._look_again(ANSWER_S)
            pause = min(2 * pause, TRY_AGAIN_MAX_S)
        return found

    async def _ask(self, topic: str, ask: "Callable[[AdminClient, float], Future[Any]]") -> Any:
        """What the cluster answers, as soon as it does."""
        self.producing.connect()
        pause, strange, within_s = TRY_AGAIN_S, 0, ANSWER_S
        while True:
            if self._closed:
                raise LogClosed("this process has closed its connection to Kafka")
            try:
                with self._asking.client() as admin:
                    return await result(ask(admin, min(within_s, self.config.request_timeout_s)))
            except KafkaException as exception:
                error = kafka_error(exception)
                named = read_error(error, topic)
                # a broker that has just come up may not know a topic yet that all others know
                strange += isinstance(named, LogMismatch)
                if named is not None and not (isinstance(named, LogMismatch) and strange < 5):
                    raise named from exception
                _tell(topic, error, pause)
            await asyncio.sleep(pause)
            if not self._closed:
                await self._look_again(within_s)
            pause, within_s = min(2 * pause, TRY_AGAIN_MAX_S), 2 * within_s

    async def _look_again(self, within_s: float) -> None:
        """After a change of leaders an admin client asks by the epoch that it remembers, until it is told to look."""
        with contextlib.suppress(KafkaException), self._asking.client() as admin:
            await asyncio.to_thread(admin.list_topics, timeout=min(within_s, self.config.request_timeout_s))


def _tell(topic: str, error: KafkaError, pause: float) -> None:
    level = logging.WARNING if pause >= TRY_AGAIN_MAX_S else logging.DEBUG
    logger.log(level, "asking about %s: %s; trying again", topic, error)
