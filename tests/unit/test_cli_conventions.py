"""What holds for every command: formats, exit codes, colours, completion, speed, and errors that are nobody's fault."""

import errno
import io
import json
import os
import re
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import typer

from agentspan.cli import _colours, _show, main
from agentspan.cli._exits import ExitCode
from agentspan.cli._main import EPILOG, app
from agentspan.cli._options import Format
from tests.unit.cli_server import AT, RUN, Answer, FakeServer, event, execution, record, serving, sse, tool_call

PAGE = Path(__file__).parents[2] / "docs" / "cli.md"

NO_DATA = {
    "agent serve", "server start", "server stop", "orchestrator", "tool-runner", "query rebuild",
    "completion",
}  # fmt: skip
"""What prints no data of ours: it runs until it is ended, or prints a script or names."""


def commands(group: Any = None, path: str = "") -> Iterator[tuple[str, Any]]:
    """Every command of the tree, by what is typed for it."""
    found: Any = typer.main.get_command(app) if group is None else group
    for name, command in found.commands.items():
        whole = f"{path} {name}".strip()
        if hasattr(command, "commands"):
            yield from commands(command, whole)
        else:
            yield whole, command


COMMANDS = dict(commands())


def test_every_command_that_prints_data_prints_it_in_three_ways() -> None:
    for name, command in COMMANDS.items():
        options = [param for param in command.params if "-o" in param.opts]
        assert bool(options) == (name not in NO_DATA), name
        for option in options:
            assert set(option.opts) == {"--output", "-o"}, name
            assert option.default is Format.TABLE, name


@pytest.mark.parametrize("name", COMMANDS)
def test_every_command_has_help_and_a_place_on_the_page(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main([*name.split(), "--help"]) == 0
    assert f"Usage: agentspan {name}" in capsys.readouterr().out
    group, _, verb = name.rpartition(" ")
    rows = [
        line.partition(" | ")[0] for line in PAGE.read_text().splitlines() if line.startswith(f"| `{group or verb}")
    ]
    assert any(re.search(rf"\b{re.escape(verb)}\b", row) for row in rows), f"docs/cli.md: {name}"


@pytest.mark.parametrize("path", [[], ["agent"], ["agent", "run"]])
def test_help_has_a_short_name_everywhere(path: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    assert main([*path, "-h"]) == main([*path, "--help"]) == 0
    printed = capsys.readouterr().out
    assert printed[: len(printed) // 2] == printed[len(printed) // 2 :]


@pytest.mark.parametrize("group", ["", *sorted({name.rpartition(" ")[0] for name in COMMANDS} - {""})])
def test_no_command_is_cut_short_where_they_are_listed(
    group: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "80")
    main([*group.split(), "-h"])
    listed = capsys.readouterr().out.partition("Commands:")[2]
    assert listed
    assert "..." not in listed


def test_what_a_newcomer_types_stands_first() -> None:
    names = list(typer.main.get_command(app).list_commands(None))  # type: ignore[attr-defined]
    assert names[:6] == ["agent", "approvals", "execution", "server", "tool-runner", "doctor"]
    assert set(names) == set(typer.main.get_command(app).commands)  # type: ignore[attr-defined]


def test_the_exit_codes_are_those_of_the_page_and_of_the_help() -> None:
    codes = [int(code) for code in ExitCode]
    assert [int(code) for code in re.findall(r"^  (\d+) ", EPILOG, re.MULTILINE)] == codes
    assert [int(code) for code in re.findall(r"^\| (\d+) \|", PAGE.read_text(), re.MULTILINE)] == codes


# speed


def test_help_is_there_at_once() -> None:
    """Of the processor's time, which a busy machine does not stretch: at most a quarter of a second at the best try."""
    spent = []
    for _ in range(5):
        before = os.times()
        subprocess.run([sys.executable, "-m", "agentspan.cli", "--help"], capture_output=True, check=True)
        after = os.times()
        spent.append(after.children_user + after.children_system - before.children_user - before.children_system)
    assert min(spent) <= 0.25


# colours


class Terminal(io.StringIO):
    """Somebody looks."""

    def isatty(self) -> bool:
        return True


@pytest.mark.parametrize(
    ("stream", "environment", "expected"),
    [
        (Terminal(), {}, True),
        (io.StringIO(), {}, False),
        (Terminal(), {"NO_COLOR": "1"}, False),
        (Terminal(), {"NO_COLOR": ""}, True),
        (Terminal(), {"TERM": "dumb"}, False),
    ],
)
def test_colours_are_for_terminals_that_want_them(
    monkeypatch: pytest.MonkeyPatch, stream: io.StringIO, environment: dict[str, str], expected: bool
) -> None:
    for name in ("NO_COLOR", "TERM"):
        monkeypatch.delenv(name, raising=False)
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    assert _colours.has_colour(stream) is expected
    assert ("\x1b[33m" in _colours.painted("waiting", stream)) is expected


def test_a_coloured_table_is_the_plain_one_with_colours(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("NO_COLOR", raising=False)
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.setenv("COLUMNS", "50")
    shown = []
    for stream in (Terminal(), io.StringIO()):
        monkeypatch.setattr(sys, "stdout", stream)
        _show.table(("ID", "STATUS", "TEXT"), [("a", "waiting", "x" * 40), ("b\x1b[2J", "failed", "y")])
        shown.append(stream.getvalue().splitlines())
    coloured, plain = shown
    assert coloured[1].startswith("a         \x1b[33mwaiting\x1b[0m  xxx")
    assert "b\\x1b[2J  \x1b[31mfailed\x1b[0m" in coloured[2]
    bare = [re.sub(r"\x1b\[\d+m", "", line) for line in coloured]
    assert bare[1] == plain[1][:49] + "…"
    assert bare[2] == plain[2]


def test_columns_stand_below_each_other_whatever_script_they_are_in(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "stdout", stream := io.StringIO())
    _show.table(("TEXT", "N"), [("取消しました 😀", "1"), ("Zoe\u0301", "2"), ("plain", "3")])
    assert stream.getvalue().splitlines() == [
        "TEXT             N",
        "取消しました 😀  1",
        "Zoe\u0301              2",
        "plain            3",
    ]


def test_a_line_is_cut_at_the_edge_whatever_script_it_is_in(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "10")
    monkeypatch.setenv("NO_COLOR", "1")
    monkeypatch.setattr(sys, "stdout", stream := Terminal())
    _show.table(("TEXT",), [("取" * 20,), ("x取" * 20,), ("x" * 20,)])
    assert stream.getvalue().splitlines()[1:] == ["取" * 4 + "…", "x取" * 3 + "…", "x" * 9 + "…"]


WIDE = ("exec-a1b2c3", "2026-05-01 10:00:00", "a" * 60, "b" * 60)


@pytest.mark.parametrize("hidden", [*"\u202e\u200b\u3164\u2800\u034f\ufe00\ufe0f\U000e0101"])
def test_two_texts_that_differ_look_different(hidden: str) -> None:
    assert _show.printable(f"pay{hidden}pal 9") == f"pay{hidden.encode('unicode_escape').decode()}pal 9"


@pytest.mark.parametrize("text", ["\u2764\ufe0f", "1\ufe0f\u20e3", "\u00a9\ufe0f Zoë, 東京"])
def test_how_a_sign_is_drawn_is_no_secret(text: str) -> None:
    assert _show.printable(text) == text


def test_texts_share_what_a_terminal_has_and_nothing_else_is_cut(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NO_COLOR", "1")
    for columns, texts in ((90, 27), (120, 42), (200, 60)):
        monkeypatch.setenv("COLUMNS", str(columns))
        monkeypatch.setattr(sys, "stdout", stream := Terminal())
        _show.table(("EXECUTION", "AT", "ARGS", "OUTCOME"), [WIDE])
        _, row = stream.getvalue().splitlines()
        assert row.split("  ")[:2] == ["exec-a1b2c3", "2026-05-01 10:00:00"]
        assert [len(text) for text in row.split("  ")[2:]] == [texts, texts]


WIDE_LAST = ("exec-a1b2c3", "2026-05-01 10:00:00", "amount_usd=99, reason=" + "x" * 30)


def test_what_has_no_room_on_its_line_stands_below_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "40")
    monkeypatch.setenv("NO_COLOR", "1")
    monkeypatch.setattr(sys, "stdout", stream := Terminal())
    _show.table(("EXECUTION", "AT", "ARGS"), [WIDE_LAST, (*WIDE_LAST[:2], "")])
    assert stream.getvalue().splitlines() == [
        "EXECUTION    AT",
        "    ARGS",
        "exec-a1b2c3  2026-05-01 10:00:00",
        "    amount_usd=99, reason=xxxxxxxxxxxxx…",
        "exec-a1b2c3  2026-05-01 10:00:00",
    ]


def test_columns_below_stand_below_each_other(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "16")
    monkeypatch.setattr(sys, "stdout", stream := Terminal())
    monkeypatch.setenv("NO_COLOR", "1")
    _show.table(("TOPIC", "KEPT", "COPIES"), [("shop.events", "for ever", "3"), ("shop.tasks", "", "12")])
    assert stream.getvalue().splitlines() == [
        "TOPIC",
        "    KEPT      C…",
        "shop.events",
        "    for ever  3",
        "shop.tasks",
        "              12",
    ]


def test_a_text_in_a_table_is_as_long_as_the_terminal_is_wide(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "300")
    assert _show.room() == 80
    monkeypatch.setattr(sys, "stdout", Terminal())
    assert _show.room() == 300


def test_one_of_a_thing_is_not_several() -> None:
    assert (_show.counted(1, "tool call"), _show.counted(2, "turn")) == ("1 tool call", "2 turns")


# errors that are nobody's fault, and ends


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator[FakeServer]:
    with serving() as fake:
        monkeypatch.setenv("AGENTSPAN_SERVER_URL", fake.url)
        fake.on("GET", f"/executions/{RUN}", Answer(execution().model_dump(mode="json")))
        fake.approvals(record())
        one = execution().model_dump(mode="json")
        fake.on("GET", "/executions", Answer({"items": [one] * 500, "cursor": None, "as_of": AT.isoformat()}))
        yield fake


def test_a_fault_of_ours_is_a_sentence(
    server: FakeServer, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def broken(*_: object) -> None:
        raise KeyError("x\x1b")

    monkeypatch.setattr("agentspan.cli._approvals.show_list", broken)
    assert main(["approvals", "list"]) == 1
    printed = capsys.readouterr()
    assert printed.err == (
        "error: KeyError: 'x\\x1b'; this is a fault of agentspan\n"
        "next:  AGENTSPAN_DEBUG=1 before the same command shows where: report that\n"
    )
    monkeypatch.setenv("AGENTSPAN_DEBUG", "1")
    with pytest.raises(KeyError):
        main(["approvals", "list"])


def test_a_file_of_somebody_else_is_no_fault_of_ours(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def refused(*args: object) -> None:
        raise PermissionError(errno.EACCES, "Permission denied", "/data/log.sqlite3")

    monkeypatch.setattr("agentspan.cli._doctor.run", refused)
    assert main(["doctor"]) == 1
    assert capsys.readouterr().err == (
        "error: '/data/log.sqlite3' is not yours to read or to write\n"
        "next:  let this user at it, or name a data folder of your own: --data, AGENTSPAN_DATA\n"
    )


def test_an_interrupted_command_ends_with_130(server: FakeServer, monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupted(*_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("agentspan.cli._approvals.show_list", interrupted)
    assert main(["approvals", "list"]) == 130


def test_a_reader_that_has_enough_gets_no_traceback(server: FakeServer) -> None:
    command = f"{sys.executable} -m agentspan.cli execution list -n 500 -o jsonl | head -n 1"
    done = subprocess.run(command, shell=True, capture_output=True, text=True, check=True)
    assert json.loads(done.stdout)["execution_id"] == RUN
    assert "Traceback" not in done.stderr


def test_a_stream_as_json_is_one_array(server: FakeServer, capsys: pytest.CaptureFixture[str]) -> None:
    server.on("POST", "/streams", sse(tool_call(8), event(9, "done", "completed", output="Done.")))
    assert main(["agent", "stream", RUN, "--after", "7", "-o", "json"]) == 0
    assert [one["seq"] for one in json.loads(capsys.readouterr().out)] == [8, 9]


def test_one_thing_as_jsonl_is_one_line(server: FakeServer, capsys: pytest.CaptureFixture[str]) -> None:
    server.on("GET", f"/executions/{RUN}/events", Answer({"items": []}))
    assert main(["agent", "status", RUN, "-o", "jsonl"]) == 0
    [line] = capsys.readouterr().out.splitlines()
    assert json.loads(line)["execution"]["execution_id"] == RUN


def test_the_release_is_told(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--version"]) == 0
    assert re.fullmatch(r"agentspan \d+\.\d+\.\d+\S*\n", capsys.readouterr().out)


# completion


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_a_shell_is_told_how_to_complete(shell: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["completion", shell]) == 0
    printed = capsys.readouterr()
    assert f"_AGENTSPAN_COMPLETE=complete_{shell}" in printed.out
    assert printed.err == ""


def completed(words: str, **environment: str) -> list[str]:
    """What bash is offered behind these words."""
    asked = {"COMP_WORDS": words, "COMP_CWORD": str(len(words.split(" ")) - 1), "_AGENTSPAN_COMPLETE": "complete_bash"}
    done = subprocess.run(
        [sys.executable, "-c", "from agentspan.cli import main; main([])"],
        capture_output=True, text=True, check=True, env={**os.environ, **asked, **environment},
    )  # fmt: skip
    assert done.stderr == ""
    return done.stdout.split()


def test_commands_and_words_are_offered() -> None:
    assert completed("agentspan execution s") == ["show"]
    assert completed("agentspan agent list --status wait") == ["waiting"]


def test_ids_are_offered(server: FakeServer) -> None:
    assert set(completed("agentspan agent status exec-")) == {RUN}
    assert completed("agentspan approvals approve exec-") == [f"{RUN}.2-0"]
    assert completed("agentspan agent status exec-z") == []


def test_without_a_server_nothing_is_offered_and_soon() -> None:
    with serving() as gone:
        url = gone.url
    began = time.monotonic()
    assert completed("agentspan agent status exec-", AGENTSPAN_SERVER_URL=url) == []
    assert time.monotonic() - began < 30
