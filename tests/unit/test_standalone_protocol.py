"""What is said at one moment goes out by one write; nothing is held for long, and nothing is lost at the end."""

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


def test_a_head_and_its_body_are_one_write_at_once() -> None:
    async def test(gathering: Gathering, wire: Wire) -> None:
        for answer in (b"HTTP/1.1 200 OK\r\n\r\nfirst", b"HTTP/1.1 201 Created\r\n\r\nsecond"):
            gathering.write(answer[:-6])
            assert wire.written == []
            gathering.write(answer[-6:])
            assert wire.written == [answer]
            wire.written.clear()
        await asyncio.sleep(0)
        assert wire.written == []

    on_loop(test)


def test_a_head_without_a_body_and_the_frames_of_a_stream_go_in_the_loops_next_turn() -> None:
    async def test(gathering: Gathering, wire: Wire) -> None:
        gathering.write(b"HTTP/1.1 200 OK\r\n\r\n")
        await asyncio.sleep(0)
        for frame in (b"5\r\none\n\n\r\n", b"5\r\ntwo\n\n\r\n", b"7\r\nthree\n\n\r\n"):
            gathering.write(frame)
        assert wire.written == [b"HTTP/1.1 200 OK\r\n\r\n"]
        await asyncio.sleep(0)
        assert wire.written[1:] == [b"5\r\none\n\n\r\n5\r\ntwo\n\n\r\n7\r\nthree\n\n\r\n"]

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
