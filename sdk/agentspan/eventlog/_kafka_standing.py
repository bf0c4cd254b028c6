"""All that stands of one partition of a table: every message is looked at, and only the last of each key is decoded.

Apart from `_kafka_history`, whose cursors whoever wants a piece takes from another: a reading of a whole table keeps
its consumer to the end, or each piece would throw away what was fetched ahead for the next.
"""

import asyncio
from collections.abc import AsyncGenerator, Callable, Sequence
from typing import TypeVar

from confluent_kafka import Message

from agentspan.eventlog._kafka_config import KafkaConfig
from agentspan.eventlog._kafka_history import History
from agentspan.eventlog._kafka_live import Place

AT_ONCE = 4
"""So many tables, or partitions of them, are read side by side; others wait for their turn."""

PIECE = 1000
KEPT_BYTES = 32 * 1024 * 1024
"""What stands is kept while the table is read, up to so much; if it is more, it is read a second time."""

T = TypeVar("T")
Key = str | bytes | None


class Standing:
    """Consumers that read tables, one of them for each reading."""

    def __init__(self, config: KafkaConfig, *, kept_bytes: int = KEPT_BYTES) -> None:
        self._config = config
        self._kept_bytes = kept_bytes
        self._made: list[History] = []
        self._idle: list[History] = []
        self._free = asyncio.Semaphore(AT_ONCE)

    async def read(
        self, place: Place, begin: int, end: int, decode: Callable[[Message], T]
    ) -> AsyncGenerator[Sequence[T], None]:
        """What stands from `begin` to `end`, in the order in which it was put, piece by piece. Close it."""
        if begin >= end:
            return
        async with self._free:
            history = self._idle.pop() if self._idle else self._another()
            found = _Found(self._kept_bytes)
            try:
                await history.look_at(place, begin, end, found.note)
                if found.messages is not None:
                    standing = list(found.messages.values())
                    for some in (standing[at : at + PIECE] for at in range(0, len(standing), PIECE)):
                        yield [decode(message) for message in some]
                    return
                async for piece in _again(history, place, list(found.offsets.values()), decode):
                    yield piece
            finally:
                self._idle.append(history)

    async def close(self) -> None:
        """Nobody reads any more."""
        await asyncio.gather(*[history.close() for history in self._made])

    def _another(self) -> History:
        self._made.append(History(self._config, cursors=1))
        return self._made[-1]


class _Found:
    """What stands by what was read so far: the last message of each key, or its offset, in the order of the offsets."""

    def __init__(self, kept_bytes: int) -> None:
        self.messages: dict[Key, Message] | None = {}
        """None: they are too much to be kept."""
        self.offsets: dict[Key, int] = {}
        """Without messages."""
        self._kept_bytes = kept_bytes
        self._bytes = 0

    def note(self, messages: Sequence[Message]) -> None:
        """What comes next."""
        if self.messages is None:
            self._note_offsets(messages)
            return
        self._note(messages, self.messages)
        if self._bytes > self._kept_bytes:
            self.offsets = {key: message.offset() or 0 for key, message in self.messages.items()}
            self.messages = None

    def _note(self, messages: Sequence[Message], last: "dict[Key, Message]") -> None:
        size = self._bytes
        for message in messages:
            key = message.key()
            # popped first: what is put again moves to the end
            if (before := last.pop(key, None)) is not None:
                size -= len(before)
            if message.value() is not None:
                last[key] = message
                size += len(message)
        self._bytes = size

    def _note_offsets(self, messages: Sequence[Message]) -> None:
        for message in messages:
            key = message.key()
            self.offsets.pop(key, None)
            if message.value() is not None:
                self.offsets[key] = message.offset() or 0


async def _again(
    history: History, place: Place, offsets: Sequence[int], decode: Callable[[Message], T]
) -> AsyncGenerator[Sequence[T], None]:
    """The messages at these offsets; one that was compacted away meanwhile has a newer one behind the end."""
    wanted, offset, end = set(offsets), offsets[0], offsets[-1] + 1

    def decode_wanted(message: Message) -> T | None:
        return decode(message) if message.offset() in wanted else None

    while offset < end:
        piece = await history.read(place, offset, PIECE, end, decode_wanted)
        yield [item for _, item in piece if item is not None]
        offset = piece[-1][0] + 1 if piece else end
