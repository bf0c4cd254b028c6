"""Records that other teams write: the ports through which they come in, and the loop that takes each of them once.

Apart from the inbox, which only our own services write: on such a topic anything may stand, in any size and form. What
can be taken is taken; what cannot is put aside as a dead letter; while nobody can decide, nothing is skipped.
"""

import asyncio
import logging
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass
from datetime import datetime
from typing import Protocol
from weakref import WeakValueDictionary

from agentspan.eventlog._errors import LogError
from agentspan_schemas import MAX_VALUE_BYTES
from agentspan_schemas.cloudevents import Headers
from agentspan_schemas.dead_letters import Why, original

logger = logging.getLogger(__name__)

FIRST_PAUSE_S = 0.1
LONGEST_PAUSE_S = 5.0


@dataclass(frozen=True, slots=True)
class Delivery:
    """One record as it stands on its topic."""

    topic: str
    partition: int
    offset: int
    key: bytes | None
    value: bytes
    """Empty where there is none."""
    headers: Headers = ()


class Source(Protocol):
    """A topic that processes of one service share by its partitions, and remember how far they are."""

    def receive(self) -> AsyncIterator[Delivery]:
        """The records of the partitions that are this process's, each partition in order from the first that is not
        done; for ever. At least once: after a crash or a move some come again."""
        ...

    def done(self, delivery: Delivery) -> None:
        """It and all before it in its partition need not come again. Called in their order; without effect when the
        partition was taken away meanwhile."""
        ...


class DeadLetters(Protocol):
    """Where records go that could not be taken."""

    def put(self, key: bytes | None, value: bytes, headers: Headers) -> Awaitable[object]:
        """Awaiting returns when it is acknowledged, or raises a WriteError."""
        ...


class Rejected(Exception):
    """A record that cannot be taken, now or later: its dead letter says so with `code` and the text."""

    def __init__(self, code: str, message: str) -> None:
        super().__init__(message)
        self.code = code


@dataclass(frozen=True, slots=True)
class Work:
    """What a record asks for. A LogError means that nobody knows or can do it now: it is done again, as it is."""

    key: str
    """Works of one key are done one after the other, in the order of their records."""
    act: Callable[[], Awaitable[None]]
    """Raises Rejected, or a LogError."""


class Intake:
    """Takes a topic's records, several at a time, and finishes those of each partition in their order.

    `read` makes a record's work, or raises Rejected. A record is done when its work or its dead letter is.
    """

    def __init__(
        self,
        source: Source,
        dead_letters: DeadLetters,
        read: Callable[[Delivery], Work],
        *,
        service: str,
        now: Callable[[], datetime],
        sleep: Callable[[float], Awaitable[None]],
        in_hand: int = 64,
    ) -> None:
        self._source = source
        self._dead_letters = dead_letters
        self._read = read
        self._service = service
        self._now = now
        self._sleep = sleep
        self._in_hand = in_hand
        self._turns: WeakValueDictionary[str, asyncio.Lock] = WeakValueDictionary()

    async def run(self) -> None:
        """Take records, until cancelled."""
        lanes: dict[int, asyncio.Queue[tuple[Delivery, asyncio.Task[None]]]] = {}
        async with asyncio.TaskGroup() as group:
            async for delivery in self._source.receive():
                lane = lanes.get(delivery.partition)
                if lane is None:
                    lane = lanes[delivery.partition] = asyncio.Queue(self._in_hand)
                    group.create_task(self._finish(lane))
                await lane.put((delivery, group.create_task(self._take(delivery))))

    async def _finish(self, lane: "asyncio.Queue[tuple[Delivery, asyncio.Task[None]]]") -> None:
        while True:
            delivery, taken = await lane.get()
            await taken
            self._source.done(delivery)

    async def _take(self, delivery: Delivery) -> None:
        try:
            work = self._read(delivery) if len(delivery.value) <= MAX_VALUE_BYTES else _too_large(delivery)
            async with self._turns.setdefault(work.key, asyncio.Lock()):
                await self._until_done(delivery, work.act)
        except Rejected as rejected:
            await self._put_aside(delivery, rejected.code, str(rejected))
        except Exception as error:  # the loop's edge: one record stops no other, and as a dead letter it can come again
            logger.exception("%s at %d/%d", delivery.topic, delivery.partition, delivery.offset)
            await self._put_aside(delivery, "failed", f"taking it failed: {error!r}; replay it when that is mended")

    async def _put_aside(self, delivery: Delivery, code: str, message: str) -> None:
        at = delivery.topic, delivery.partition, delivery.offset
        logger.warning("%s at %d/%d is put aside (%s): %s", *at, code, message)
        added = Why(code, message, self._now(), *at, self._service).headers()
        headers = (*original(delivery.headers), *added)

        async def put() -> None:
            await self._dead_letters.put(delivery.key, delivery.value, headers)

        await self._until_done(delivery, put)

    async def _until_done(self, delivery: Delivery, act: Callable[[], Awaitable[None]]) -> None:
        pause = FIRST_PAUSE_S
        while True:
            try:
                return await act()
            except LogError as error:
                at = delivery.topic, delivery.partition, delivery.offset
                logger.info("%s at %d/%d waits: %s; trying again in %g s", *at, error, pause)
            await self._sleep(pause)
            pause = min(2 * pause, LONGEST_PAUSE_S)


def _too_large(delivery: Delivery) -> Work:
    raise Rejected("too_large", f"{len(delivery.value)} bytes; one message is at most {MAX_VALUE_BYTES} bytes")
