"""How writes wait for those before them: what goes together, and that nothing waits alone, or for ever."""

import asyncio

import pytest

from agentspan.eventlog import _kafka_lanes
from agentspan.eventlog._kafka_lanes import Lanes


class Gone:
    """What the producer was given, turn by turn."""

    def __init__(self) -> None:
        self.writes: list[str] = []
        self.lanes: Lanes[str] = Lanes(self._go)

    def put(self, *writes: str, place: int = 0) -> None:
        for write in writes:
            self.lanes.put(place, write)

    def _go(self, write: str) -> int:
        self.writes.append(write)
        return len(write)


async def test_what_comes_in_one_turn_goes_at_its_end() -> None:
    gone = Gone()
    gone.put("a", "b")
    gone.put("c", place=1)
    assert gone.writes == []
    await asyncio.sleep(0)
    assert gone.writes == ["a", "b", "c"]


async def test_what_comes_later_goes_when_all_before_it_is_settled(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(_kafka_lanes, "HELD_S", 3600.0)
    gone = Gone()
    gone.put("two")
    await asyncio.sleep(0)
    gone.put("later", "still later")
    gone.put("elsewhere", place=1)
    await asyncio.sleep(0)
    assert gone.writes == ["two", "elsewhere"]
    for _ in "tw":
        gone.lanes.settled(0)
    await asyncio.sleep(0)
    assert gone.writes == ["two", "elsewhere"]
    gone.lanes.settled(0)
    await asyncio.sleep(0)
    assert gone.writes == ["two", "elsewhere", "later", "still later"]


async def test_nothing_waits_long_for_what_is_not_settled() -> None:
    gone = Gone()
    gone.put("a")
    await asyncio.sleep(0)
    gone.put("b")
    await asyncio.sleep(0)
    assert gone.writes == ["a"]
    async with asyncio.timeout(10):
        while gone.writes != ["a", "b"]:  # noqa: ASYNC110 - a clock's doing: nobody tells
            await asyncio.sleep(_kafka_lanes.HELD_S)


async def test_what_is_hurried_goes_at_once_and_once() -> None:
    gone = Gone()
    gone.put("a")
    gone.lanes.hurry()
    assert gone.writes == ["a"]
    await asyncio.sleep(0)
    assert gone.writes == ["a"]


async def test_what_is_dropped_never_goes() -> None:
    gone = Gone()
    gone.put("a")
    await asyncio.sleep(0)
    gone.put("b")
    gone.put("c", place=1)
    assert gone.lanes.drop() == ["b", "c"]
    gone.lanes.hurry()
    await asyncio.sleep(0)
    assert gone.writes == ["a"]


async def test_a_write_of_which_nothing_went_holds_nothing_back(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(_kafka_lanes, "HELD_S", 3600.0)
    gone = Gone()
    gone.put("")
    await asyncio.sleep(0)
    gone.put("b")
    await asyncio.sleep(0)
    assert gone.writes == ["", "b"]
