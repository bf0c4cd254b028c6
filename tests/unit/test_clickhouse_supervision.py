"""The child process is started again, ever less eagerly; told with a process that is played."""

import asyncio
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import cast

import pytest

from agentspan_query.adapters.chdb_server import READY, UNOPENED
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

    def __init__(self, *, serves: bool, returncode: int = 1) -> None:
        self.returncode = returncode
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

    def __init__(self, *plays: Played | OSError, path: Path = Path("/nowhere")) -> None:
        self.plays = list(plays)
        self.path = path
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
        child = ClickHouseChild(self.path, memory_bytes=123, spawn=self.spawn, sleep=self.sleep)
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


def unopened(count: int) -> list[Played]:
    return [Played(serves=False, returncode=UNOPENED) for _ in range(count)]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    path = tmp_path / "history"
    path.mkdir()
    return path


def names(folder: Path) -> list[str]:
    """What stands beside the folder, and the folder."""
    return sorted(path.name for path in folder.parent.iterdir())


async def test_a_folder_that_children_cannot_open_is_put_aside(folder: Path) -> None:
    await Stage(*unopened(2), path=folder).run()
    assert names(folder) == ["history"], "somebody may have had it open"
    await Stage(*unopened(3), Played(serves=True), path=folder).run()
    assert names(folder) == ["history.damaged"]


async def test_none_is_put_in_the_place_of_one_that_may_be_whole(
    folder: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    (tmp_path / "history.damaged").mkdir()
    await Stage(*unopened(9), path=folder).run()
    assert names(folder) == ["history", "history.damaged"]
    assert f"remove {tmp_path / 'history.damaged'}" in caplog.text


@pytest.mark.parametrize(
    "plays",
    [
        [*unopened(2), Played(serves=False), Played(serves=False)],
        [Played(serves=True), *unopened(9)],
        [*unopened(1), *[OSError("too many processes") for _ in range(9)]],
    ],
    ids=["it ended otherwise", "it was open before", "there is no process"],
)
async def test_a_folder_that_may_be_whole_stays(folder: Path, plays: list[Played | OSError]) -> None:
    await Stage(*plays, path=folder).run()
    assert names(folder) == ["history"]
