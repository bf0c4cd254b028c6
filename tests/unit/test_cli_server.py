"""`agentspan server …` hands over to the server's own commands; and what holds for the whole command line."""

import io
import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from agentspan.cli import main
from agentspan_standalone import errors
from agentspan_standalone.settings import Settings
from tests.unit.cli_server import Answer, problem, serving

HEAVY = ("agentspan.agents", "agentspan_standalone", "agentspan_schemas", "aiohttp", "rich")


@pytest.fixture
def called(monkeypatch: pytest.MonkeyPatch) -> list[Any]:
    """What the server's commands were called with; each ends with 7."""
    calls: list[Any] = []

    def command(name: str) -> Callable[..., int]:
        def call(*args: Any, **options: Any) -> int:
            calls.append((name, *args, *options.items()))
            return 7

        return call

    package, module = ModuleType("agentspan_standalone"), ModuleType("agentspan_standalone.commands")
    for name in ("start", "stop", "status"):
        setattr(module, name, command(name))
    package.commands, package.errors = module, errors  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "agentspan_standalone", package)
    monkeypatch.setitem(sys.modules, "agentspan_standalone.commands", module)
    return calls


@pytest.mark.parametrize(
    ("line", "call"),
    [
        (
            "start",
            ("start", None, None, None, ("detach", False), ("log", None), ("roles", None), ("clickhouse", None)),
        ),
        (
            "start --detach --data here --port 7001 --host ::1 --log a --roles b,c --clickhouse d",
            ("start", Path("here"), "::1", 7001, ("detach", True), ("log", "a"), ("roles", "b,c"), ("clickhouse", "d")),
        ),
        ("stop", ("stop", None)),
        ("stop --data here", ("stop", Path("here"))),
    ],
)
def test_the_servers_commands_are_called_and_their_exit_code_is_ours(
    called: list[Any], line: str, call: tuple[Any, ...]
) -> None:
    assert main(["server", *line.split()]) == 7
    assert called == [call]


@pytest.mark.parametrize("service", ["orchestrator", "tool-runner", "approvals", "query"])
def test_a_service_alone_starts_with_what_the_environment_says(
    called: list[Any], monkeypatch: pytest.MonkeyPatch, service: str
) -> None:
    monkeypatch.setenv("AGENTSPAN_LOG", "kafka://localhost:9092")
    assert main([service]) == 7
    assert ("roles", service) in called[0]


def test_a_port_of_0_is_an_option_of_the_approvals_service(called: list[Any]) -> None:
    assert main(["approvals", "--port", "0"]) == 7


def test_what_a_server_said_that_did_not_start_stands_on_lines_of_its_own(
    called: list[Any], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def start(*_: Any, **__: Any) -> int:
        raise errors.NotStarted("the server did not start; what it said is in server.log:\none\ntwo\x1b[2J")

    monkeypatch.setattr("agentspan_standalone.commands.start", start)
    assert main(["server", "start", "--detach"]) == 1
    assert capsys.readouterr().err.splitlines()[1:] == ["one", r"two\x1b[2J"]


def test_a_setting_that_nothing_reads_is_told_before_the_server_starts_without_it(
    called: list[Any], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("AGENTSPAN_PROT", "7000")
    assert main(["server", "start"]) == 7
    assert called[0][0] == "start"
    assert capsys.readouterr().err == "nothing reads AGENTSPAN_PROT; did you mean AGENTSPAN_PORT?\n"


@pytest.mark.parametrize("line", ["start --port 70000", "start --port x", "stop --port 1", "restart"])
def test_a_wrong_option_is_refused(called: list[Any], line: str) -> None:
    assert main(["server", *line.split()]) == 2
    assert called == []


def test_without_the_servers_packages_it_says_what_to_install(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    for name in [name for name in sys.modules if name.split(".")[0] in ("agentspan_standalone", "pydantic_settings")]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, "pydantic_settings", None)
    assert main(["server", "status"]) == 1
    printed = capsys.readouterr()
    assert printed.out == ""
    assert "pip install 'agentspan[server]'" in printed.err


def test_a_setting_of_no_use_is_named(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("AGENTSPAN_PORT", "abc")
    assert main(["server", "status", "--data", str(tmp_path)]) == 2
    printed = capsys.readouterr()
    assert printed.out == ""
    assert "is wrong: port:" in " ".join(printed.err.split())


@pytest.mark.parametrize("line", ["start", "start --detach"])
def test_a_data_folder_that_nothing_can_be_written_to_is_named(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str], line: str
) -> None:
    (tmp_path / "file").touch()
    monkeypatch.setenv("AGENTSPAN_DATA", str(tmp_path / "file" / "data"))
    monkeypatch.setenv("AGENTSPAN_PORT", "0")
    assert main(["server", *line.split()]) == 2
    said = capsys.readouterr().err
    assert f"nothing can be written to the data folder '{tmp_path}/file/data' (Not a directory)" in said
    assert "AGENTSPAN_DATA" in said


@pytest.mark.parametrize("line", ["start", "start --detach"])
def test_what_another_user_left_in_the_data_folder_is_named(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str], line: str
) -> None:
    log = tmp_path / "log.sqlite3"
    log.touch()
    may = os.access
    monkeypatch.setattr(os, "access", lambda path, mode: Path(path) != log and may(path, mode))
    monkeypatch.setenv("AGENTSPAN_PORT", "0")
    assert main(["server", *line.split(), "--data", str(tmp_path)]) == 2
    assert f"{str(log)!r} is not this user's to read and write" in capsys.readouterr().err


def test_what_a_volume_has_of_its_own_is_let_be(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    (tmp_path / "lost+found").mkdir()
    monkeypatch.setattr(os, "access", lambda path, mode: Path(path).name != "lost+found")
    Settings.given(data=tmp_path).make_data_folder()


@pytest.mark.parametrize("answer", [b'["ok"]', b'"ok"', b"<html>", b"{}"])
def test_what_answers_and_is_no_server_is_told_as_none(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str], answer: bytes
) -> None:
    (tmp_path / "server.json").write_text(json.dumps({"pid": os.getpid(), "url": "http://localhost:1"}))
    monkeypatch.setattr("urllib.request.urlopen", lambda url, timeout: io.BytesIO(answer))
    assert main(["server", "status", "--data", str(tmp_path)]) == 1
    assert "not answering" in capsys.readouterr().out


READYZ = {
    "takes work": (Answer({"status": "ok", "history": None}), 0, {"status": "ok"}),
    "history is late": (Answer({"status": "ok", "history": "late"}), 0, {"status": "ok", "history": "late"}),
    "restores": (problem(503, "not_ready", "it restores"), 1, {"status": "it restores"}),
    "another": (Answer(b"<html>", 404), 1, {"status": "no Agentspan server (GET /readyz: 404)"}),
}


@pytest.mark.parametrize(("answer", "code", "told"), READYZ.values(), ids=READYZ)
def test_status_asks_the_server_that_all_other_commands_ask(
    called: list[Any],
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    answer: Answer,
    code: int,
    told: dict[str, str],
) -> None:
    with serving() as server:
        server.on("GET", "/readyz", answer)
        monkeypatch.setenv("AGENTSPAN_SERVER_URL", f"{server.url}/")
        assert main(["server", "status", "-o", "json"]) == code
    assert json.loads(capsys.readouterr().out) == {"url": server.url} | told
    assert called == []


def test_status_of_a_server_that_does_not_answer_says_so(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("AGENTSPAN_SERVER_URL", "http://127.0.0.1:9")
    assert main(["server", "status"]) == 1
    assert capsys.readouterr().out.endswith("status     not answering (Connection refused)\n")


def test_a_data_folder_that_is_named_goes_before_the_address(
    called: list[Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AGENTSPAN_SERVER_URL", "http://127.0.0.1:9")
    assert main(["server", "status", "--data", "here"]) == 7
    assert called[0][:2] == ("status", Path("here"))


@pytest.mark.parametrize("log", ["sqlite://x", "kafka://", "kafka://host/topic", "kafka://host?prefix=a b"])
def test_a_log_that_names_no_cluster_says_how_one_is_named(capsys: pytest.CaptureFixture[str], log: str) -> None:
    assert main(["server", "start", "--log", log]) == 2
    said = capsys.readouterr().err
    assert f"log '{log}' names no cluster: write kafka://host:9092" in said


@pytest.mark.parametrize(
    "line", ["", "agent", "approvals", "query", "server", "topics", "agent respond --help", "server start --help"]
)
def test_every_level_has_help(line: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(line.split()) in (0, 2)
    assert "Usage: agentspan" in "".join(capsys.readouterr())


def test_the_help_lists_the_exit_codes(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--help"]) == 0
    assert "5    somebody else decided first" in capsys.readouterr().out


@pytest.mark.parametrize("line", ["agnt list", "agent lst", "agent list extra", "agent status"])
def test_what_is_no_command_is_refused(line: str) -> None:
    assert main(line.split()) == 2


def test_a_server_address_that_is_none_is_a_wrong_command_line(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("AGENTSPAN_SERVER_URL", "localhost:6767")
    assert main(["approvals", "list"]) == 2
    assert "http://" in capsys.readouterr().err


def test_help_imports_nothing_heavy() -> None:
    code = (
        "import sys; from agentspan.cli import main; main(['agent', 'respond', '--help']); "
        f"sys.exit(str([name for name in {HEAVY!r} if name in sys.modules]))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.stderr.strip() == "[]"
