"""Who restores at the same time reads what lies behind once; nothing of it is left out, or kept for long."""

import asyncio
from collections.abc import Callable, Sequence
from typing import cast

import pytest
from confluent_kafka import Message

from agentspan.eventlog import _kafka_behind as behind_module
from agentspan.eventlog._kafka_behind import Behind
from agentspan.eventlog._kafka_history import History
from agentspan.eventlog._kafka_live import Place
from agentspan.eventlog._kafka_window import KEPT_BYTES

PLACE = Place("events", 3)


class Stands:
    """A partition: offsets and what stands there. Reading it takes a turn of the loop."""

    def __init__(self, *offsets: int, size: int = 10) -> None:
        self.read_from: list[int] = []
        self._offsets = offsets
        self._size = size

    async def read(
        self, place: Place, offset: int, limit: int, stop: int, decode: Callable[[Message], object]
    ) -> Sequence[tuple[int, object]]:
        assert place == PLACE
        self.read_from.append(offset)
        await asyncio.sleep(0)
        found = [at for at in self._offsets if offset <= at < stop][:limit]
        return [(at, decode(cast("Message", bytes(self._size)))) for at in found]


def behind(stands: Stands) -> Behind[str]:
    return Behind(PLACE, lambda message: "item", cast("History", stands))


async def whole(of: Behind[str], offset: int, stop: int, limit: int = 4) -> list[int]:
    """The offsets of all that it gives."""
    found: list[int] = []
    while offset < stop:
        piece = await of.read(offset, limit, stop)
        assert len(piece.items) <= limit
        found += [at for at, _ in piece.items]
        assert piece.following > offset
        offset = piece.following
    return found


async def test_those_who_read_at_the_same_time_read_once() -> None:
    stands = Stands(*range(20))
    of = behind(stands)
    readers = whole(of, 0, 20), whole(of, 0, 20, limit=3), whole(of, 0, 20, limit=5)
    assert list(await asyncio.gather(*readers)) == [list(range(20))] * 3
    reads = list(stands.read_from)
    assert len(reads) == len(set(reads))
    assert await whole(of, 7, 20) == list(range(7, 20))
    assert stands.read_from == reads, "who begins in its midst finds it here, too"


async def test_who_begins_before_what_is_kept_reads_for_himself() -> None:
    stands = Stands(*range(20))
    of = behind(stands)
    assert await whole(of, 10, 20, limit=10) == list(range(10, 20))
    assert await whole(of, 0, 20, limit=10) == list(range(20))
    assert stands.read_from == [10, 0, 10]


async def test_gaps_are_passed_and_where_nothing_stands_the_reader_goes_on() -> None:
    stands = Stands(2, 3, 9)
    of = behind(stands)
    for _ in range(2):
        assert await whole(of, 0, 15) == [2, 3, 9]
    assert len(stands.read_from) == 2, "the three, and that nothing is behind them"
    assert (await of.read(15, 4, 15)).following == 15


async def test_what_is_too_much_to_be_kept_is_given_whole() -> None:
    stands = Stands(*range(40), size=KEPT_BYTES // 4)
    of = behind(stands)
    readers = [whole(of, 0, 40, limit=20) for _ in range(2)]
    assert await asyncio.gather(*readers) == [list(range(40))] * 2


async def test_it_is_kept_for_a_moment_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(behind_module, "KEPT_S", 0.0)
    stands = Stands(*range(4))
    of = behind(stands)
    for _ in range(2):
        assert await whole(of, 0, 4) == [0, 1, 2, 3]
        await asyncio.sleep(0.001)
    assert stands.read_from == [0, 0]
