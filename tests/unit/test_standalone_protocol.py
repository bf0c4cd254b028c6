"""What is written at one moment goes out by one write; nothing is held for long, and nothing is lost at the end."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

from agentspan_standalone.protocol import MOST_HELD, Gathering


class Wire(asyncio.Transport):
    """Keeps what is written."""

    def __init__(self) -> None:
        super().__init__()
        self.written: list[bytes] = []
        self.end: str | None = None

    def write(self, data: Any) -> None:
        self.written.append(bytes(data))

    def close(self) -> None:
        self.end = "closed"

    def abort(self) -> None:
        self.end = "aborted"

    def is_closing(self) -> bool:
        return self.end is not None


def on_loop(test: Callable[[Gathering, Wire], Awaitable[None]]) -> None:
    async def run() -> None:
        wire = Wire()
        await test(Gathering(wire, asyncio.get_running_loop()), wire)

    asyncio.run(run())


def test_a_head_and_its_body_are_one_write_in_the_loops_next_turn() -> None:
    async def test(gathering: Gathering, wire: Wire) -> None:
        gathering.write(b"head;")
        gathering.write(b"body")
        assert wire.written == []
        await asyncio.sleep(0)
        assert wire.written == [b"head;body"]
        gathering.write(b"next")
        await asyncio.sleep(0)
        assert wire.written == [b"head;body", b"next"]

    on_loop(test)


def test_no_more_is_held_than_the_transport_should_know_of() -> None:
    async def test(gathering: Gathering, wire: Wire) -> None:
        gathering.write(b"a" * MOST_HELD)
        assert wire.written == []
        gathering.write(b"b")
        assert [len(data) for data in wire.written] == [MOST_HELD + 1]
        gathering.write(b"c")
        await asyncio.sleep(0)
        assert wire.written[1:] == [b"c"]

    on_loop(test)


def test_closing_sends_what_is_held_and_aborting_does_not() -> None:
    async def test(gathering: Gathering, wire: Wire) -> None:
        gathering.write(b"last words")
        gathering.close()
        assert (wire.written, wire.end) == ([b"last words"], "closed")
        assert gathering.is_closing()
        await asyncio.sleep(0)
        assert wire.written == [b"last words"]

    async def cut(gathering: Gathering, wire: Wire) -> None:
        gathering.write(b"never")
        gathering.abort()
        await asyncio.sleep(0)
        assert (wire.written, wire.end) == ([], "aborted")

    on_loop(test)
    on_loop(cut)
