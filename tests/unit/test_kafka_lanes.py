"""Which writes go to the producer together, and in which order."""

import asyncio

from agentspan.eventlog._kafka_lanes import Lanes


class Gone:
    """What the producer was given, turn by turn."""

    def __init__(self) -> None:
        self.writes: list[str] = []
        self.lanes: Lanes[str] = Lanes(self.writes.append)

    def put(self, *writes: str, place: int = 0) -> None:
        for write in writes:
            self.lanes.put(place, write)


async def test_what_comes_in_one_turn_goes_at_its_end() -> None:
    gone = Gone()
    gone.put("a", "b")
    gone.put("c", place=1)
    assert gone.writes == []
    await asyncio.sleep(0)
    assert gone.writes == ["a", "b", "c"]


async def test_what_goes_together_goes_by_place_in_its_order() -> None:
    gone = Gone()
    gone.put("a")
    gone.put("c", place=1)
    gone.put("b")
    await asyncio.sleep(0)
    assert gone.writes == ["a", "b", "c"]
    gone.put("d")
    await asyncio.sleep(0)
    assert gone.writes == ["a", "b", "c", "d"]


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
