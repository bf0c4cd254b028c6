"""All that stands of one partition of a table: every message is looked at, and only the last of each key is decoded.

Apart from `_kafka_history`, whose cursors whoever wants a piece takes from another: a reading of a whole table keeps
its consumer to the end, or each piece would throw away what was fetched ahead for the next.
"""

import asyncio
from collections.abc import AsyncGenerator, Callable, Sequence
from dataclasses import dataclass, field
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
            try:
                found = await self._surveyed(history, place, begin, end)
                offsets = list(found.last.values())
                if found.kept is not None:
                    for some in (offsets[at : at + PIECE] for at in range(0, len(offsets), PIECE)):
                        yield [decode(found.kept[offset]) for offset in some]
                    return
                async for piece in _again(history, place, offsets, decode):
                    yield piece
            finally:
                self._idle.append(history)

    async def close(self) -> None:
        """Nobody reads any more."""
        await asyncio.gather(*[history.close() for history in self._made])

    def _another(self) -> History:
        self._made.append(History(self._config, cursors=1))
        return self._made[-1]

    async def _surveyed(self, history: History, place: Place, offset: int, end: int) -> "_Found":
        found = _Found()
        while offset < end:
            piece = await history.read(place, offset, PIECE, end, _as_it_is)
            for at, message in piece:
                if at < end:
                    found.note(at, message)
            if found.bytes > self._kept_bytes:
                found.kept = None
            offset = piece[-1][0] + 1 if piece else end
        return found


@dataclass(slots=True)
class _Found:
    """What stands by what was read so far."""

    last: dict[str | bytes | None, int] = field(default_factory=dict)
    """The offset of each key's last message, in the order of the offsets."""
    kept: dict[int, Message] | None = field(default_factory=dict)
    bytes: int = 0

    def note(self, offset: int, message: Message) -> None:
        key = message.key()
        before = self.last.pop(key, None)
        stands = message.value() is not None
        if stands:
            self.last[key] = offset
        if self.kept is not None:
            if before is not None:
                self.bytes -= len(self.kept.pop(before))
            if stands:
                self.kept[offset] = message
                self.bytes += len(message)


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


def _as_it_is(message: Message) -> Message:
    return message
