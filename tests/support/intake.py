"""A shared topic and its dead letters in memory, as a broker has them: what was not done comes again."""

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator
from dataclasses import dataclass, field

from agentspan.eventlog import FateUnknown
from agentspan.eventlog.intake import Delivery
from agentspan_schemas.cloudevents import Headers
from agentspan_schemas.dead_letters import Why, original, why


class MemoryTopic:
    """Partitions of records, and how far each was done: that is all that outlives a process."""

    def __init__(self, name: str = "agentspan.tickets", partitions: int = 1) -> None:
        self.name = name
        self.committed = [0] * partitions
        self._records: list[list[Delivery]] = [[] for _ in range(partitions)]
        self._changed = asyncio.Condition()

    async def write(self, value: bytes, headers: Headers = (), *, key: bytes | None = None, partition: int = 0) -> None:
        records = self._records[partition]
        records.append(Delivery(self.name, partition, len(records), key, value, headers))
        async with self._changed:
            self._changed.notify_all()

    async def all_done(self) -> None:
        """Return when nothing would come again."""
        async with asyncio.timeout(20), self._changed:
            await self._changed.wait_for(lambda: self.committed == [len(records) for records in self._records])

    def source(self) -> "MemorySource":
        """The topic as one process has it."""
        return MemorySource(self)

    async def following(self, positions: list[int]) -> Delivery:
        async with self._changed:
            while True:
                for partition, records in enumerate(self._records):
                    if positions[partition] < len(records):
                        positions[partition] += 1
                        return records[positions[partition] - 1]
                await self._changed.wait()

    def commit(self, delivery: Delivery) -> None:
        assert delivery.offset == self.committed[delivery.partition], "done out of order"
        self.committed[delivery.partition] += 1
        asyncio.get_running_loop().create_task(self._notify())

    async def _notify(self) -> None:
        async with self._changed:
            self._changed.notify_all()


class MemorySource:
    """One process's share: all partitions."""

    def __init__(self, topic: MemoryTopic) -> None:
        self._topic = topic

    async def receive(self) -> AsyncGenerator[Delivery, None]:
        positions = list(self._topic.committed)
        while True:
            yield await self._topic.following(positions)

    def done(self, delivery: Delivery) -> None:
        self._topic.commit(delivery)


@dataclass(frozen=True)
class Letter:
    """A dead letter, taken apart."""

    key: bytes | None
    value: bytes
    headers: Headers
    why: Why


@dataclass
class MemoryDeadLetters:
    """What was put aside. The first `refuse` writes fail."""

    letters: list[Letter] = field(default_factory=list)
    refuse: int = 0

    async def put(self, key: bytes | None, value: bytes, headers: Headers) -> None:
        if self.refuse > 0:
            self.refuse -= 1
            raise FateUnknown("not acknowledged")
        self.letters.append(Letter(key, value, original(headers), why(headers)))

    @property
    def codes(self) -> list[str]:
        return [letter.why.error for letter in self.letters]


class MemoryLetterbox:
    """The dead letters of a topic and that topic, for who looks after them. The first `refuse` writes of notes fail."""

    def __init__(self, name: str = "tickets", partitions: int = 1) -> None:
        self.name = name
        self.dead: list[list[Delivery]] = [[] for _ in range(partitions)]
        self.sent: list[Delivery] = []
        self.refuse = 0

    def put(self, key: bytes | None, value: bytes, headers: Headers, *, partition: int = 0) -> None:
        letters = self.dead[partition]
        letters.append(Delivery(f"agentspan.{self.name}.dlq", partition, len(letters), key, value, headers))

    async def read(self) -> AsyncIterator[Delivery]:
        for letters in self.dead:
            for letter in list(letters):
                yield letter

    async def send(self, partition: int, key: bytes | None, value: bytes, headers: Headers) -> None:
        self.sent.append(Delivery(f"agentspan.{self.name}", partition, len(self.sent), key, value, headers))

    async def note(self, partition: int, key: bytes, value: bytes, headers: Headers) -> None:
        if self.refuse > 0:
            self.refuse -= 1
            raise FateUnknown("not acknowledged")
        self.put(key, value, headers, partition=partition)
