"""The child process is started again, ever less eagerly; told with a process that is played."""

import asyncio
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import cast

import pytest

from agentspan_query.adapters.chdb_server import READY
from agentspan_query.adapters.clickhouse_child import FIRST_PAUSE_S, LONGEST_PAUSE_S, Child, ClickHouseChild


class Stdin:
    """Keeps what was written until it is closed."""

    def __init__(self) -> None:
        self.written = b""
        self.closed = False

    def write(self, data: bytes) -> None:
        self.written += data

    def close(self) -> None:
        self.closed = True


class Played:
    """A process that has ended already; `serves`: it said that it is ready before."""

    pid = 4711
    returncode = 1

    def __init__(self, *, serves: bool) -> None:
        self.input = Stdin()
        self.stdin = cast(asyncio.StreamWriter, self.input)
        self.stdout = asyncio.StreamReader()
        self.stdout.feed_data(READY if serves else b"")
        self.stdout.feed_eof()

    async def wait(self) -> int:
        return self.returncode

    def kill(self) -> None:
        raise AssertionError("it has ended")


class Stage:
    """Gives one process after another; raises what stands in a process's place. After the last, `run` is cancelled."""

    def __init__(self, *plays: Played | OSError) -> None:
        self.plays = list(plays)
        self.pauses: list[float] = []
        self.commands: list[Sequence[str]] = []

    async def spawn(self, command: Sequence[str], fd: int) -> Child:
        assert fd > 2
        self.commands.append(command)
        play = self.plays.pop(0)
        if isinstance(play, OSError):
            raise play
        return play

    async def sleep(self, pause_s: float) -> None:
        self.pauses.append(pause_s)
        if not self.plays:
            raise asyncio.CancelledError

    async def run(self) -> ClickHouseChild:
        child = ClickHouseChild(Path("/nowhere"), memory_bytes=123, spawn=self.spawn, sleep=self.sleep)
        with suppress(asyncio.CancelledError):
            await child.run()
        return child


async def test_pauses_double_up_to_the_longest() -> None:
    stage = Stage(*(Played(serves=False) for _ in range(10)))
    await stage.run()
    assert stage.pauses[:3] == [FIRST_PAUSE_S, 2 * FIRST_PAUSE_S, 4 * FIRST_PAUSE_S]
    assert stage.pauses[-2:] == [LONGEST_PAUSE_S, LONGEST_PAUSE_S]


async def test_a_child_that_served_begins_the_pauses_anew() -> None:
    stage = Stage(Played(serves=False), Played(serves=False), Played(serves=True), Played(serves=False))
    await stage.run()
    assert stage.pauses == [FIRST_PAUSE_S, 2 * FIRST_PAUSE_S, FIRST_PAUSE_S, 2 * FIRST_PAUSE_S]


async def test_a_process_that_cannot_be_started_is_tried_again(caplog: pytest.LogCaptureFixture) -> None:
    stage = Stage(OSError("too many open files"), Played(serves=True))
    await stage.run()
    assert len(stage.commands) == 2
    assert "too many open files" in caplog.text


async def test_the_password_goes_through_stdin_and_the_rest_through_the_command() -> None:
    played = Played(serves=True)
    stage = Stage(played)
    child = await stage.run()
    assert played.input.written == child.address.password.encode() + b"\n"
    assert played.input.closed
    [command] = stage.commands
    assert child.address.password not in command
    assert tuple(command[4:6]) == ("--path", "/nowhere")
    assert tuple(command[8:10]) == ("--memory-bytes", "123")
