"""`agentspan server logs` and `server status -o`: the last lines, those of a level, and those that come."""

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from agentspan.cli import _logs, main
from agentspan.cli._options import Format, Level


def line(number: int, level: str = "info", **more: str) -> str:
    fields = {"at": "2026-05-01T10:00:00.000+00:00", "level": level, "logger": "shop", "message": f"line {number}"}
    return json.dumps({**fields, **more})


LINES = [
    line(1),
    line(2, "warning"),
    "Traceback (most recent call last):",
    "  KeyError: 'x'",
    line(3),
    line(4, "error", exception="Traceback\nBoom\x1b[2J"),
    line(5, "debug"),
]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "server.log").write_text("".join(f"{text}\n" for text in LINES))
    return tmp_path


def logs(folder: Path, *options: str) -> int:
    return main(["server", "logs", "--data", str(folder), *options])


def messages(capsys: pytest.CaptureFixture[str]) -> list[str]:
    return [one["message"] for one in json.loads(capsys.readouterr().out)]


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        (["-n", "2"], ["line 4", "line 5"]),
        (["--level", "error"], ["line 4"]),
        (["--level", "warning"], ["line 2", LINES[2], LINES[3], "line 4"]),
        (["--level", "info", "--lines", "1"], ["line 4"]),
        (["-n", "0"], []),
    ],
)
def test_the_last_that_fit_are_shown(
    folder: Path, capsys: pytest.CaptureFixture[str], options: list[str], expected: list[str]
) -> None:
    assert logs(folder, *options, "-o", "json") == 0
    assert messages(capsys) == expected


def test_for_people_they_are_lines_that_a_terminal_does_not_obey(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert logs(folder, "--level", "error") == 0
    first, second, third = capsys.readouterr().out.splitlines()
    assert first.endswith("ERROR     shop  line 4")
    assert (second, third) == ("Traceback", "Boom\\x1b[2J")


def test_jsonl_is_the_lines_as_they_were_written(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert logs(folder, "-n", "1", "-o", "jsonl") == 0
    assert json.loads(capsys.readouterr().out) == json.loads(LINES[-1])


def test_without_a_log_it_says_which_server_writes_one(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert logs(tmp_path) == 1
    assert "`agentspan server start --detach` does" in capsys.readouterr().err


class Enough(Exception):
    """Ends following."""


def followed(folder: Path, *steps: Callable[[], object]) -> None:
    left = list(steps)

    def pause(_: float) -> None:
        if not left:
            raise Enough
        left.pop(0)()

    with pytest.raises(Enough):
        _logs.show(folder, 1, Level.INFO, Format.JSONL, follow=True, pause=pause)


def test_following_shows_whole_lines_as_they_come(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = folder / "server.log"

    def write(text: str) -> Callable[[], object]:
        def more() -> None:
            with file.open("a") as log:
                log.write(text)

        return more

    half = line(7)[:20]
    followed(folder, write(f"{line(6)}\n{half}"), write(f"{line(7)[20:]}\n{line(8, 'debug')}\n"))
    shown = [json.loads(text)["message"] for text in capsys.readouterr().out.splitlines()]
    assert shown == ["line 4", "line 6", "line 7"]


def test_following_goes_on_when_the_log_begins_anew(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    followed(folder, lambda: (folder / "server.log").write_text(f"{line(9)}\n"))
    assert [json.loads(text)["message"] for text in capsys.readouterr().out.splitlines()] == ["line 4", "line 9"]


@pytest.mark.parametrize("output", ["table", "json", "jsonl"])
def test_status_of_a_running_server_is_data(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str], output: str
) -> None:
    from agentspan_standalone import commands

    standing = {"pid": 7, "url": "http://localhost:1"}
    monkeypatch.setattr(commands, "_standing", lambda settings: standing)
    monkeypatch.setattr(commands, "_readyz", lambda url: {"status": "ok"})
    assert main(["server", "status", "--data", str(tmp_path), "-o", output]) == 0
    printed = capsys.readouterr().out
    if output == "table":
        assert printed == f"pid        7\nurl        http://localhost:1\ndata       {tmp_path}\nstatus     ok\n"
    else:
        assert json.loads(printed) == {**standing, "data": str(tmp_path), "status": "ok"}
