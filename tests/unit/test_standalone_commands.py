"""`agentspan server …` and data folders: which one is looked at, whose server answers, and how to name another."""

import json
import os
import signal
import socket
import subprocess
import sys
from collections.abc import Callable
from contextlib import nullcontext
from pathlib import Path

import pytest

from agentspan_standalone import commands
from agentspan_standalone.errors import NotRunning, PortTaken, SettingsError
from agentspan_standalone.settings import Settings
from tests.unit.cli_server import Answer, serving

ASKED = pytest.mark.parametrize("ask", [commands.stop, commands.status], ids=["stop", "status"])


@ASKED
def test_a_folder_without_a_server_is_named_and_how_to_name_another(
    ask: Callable[[Path], int], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with serving() as gone:
        monkeypatch.setenv("AGENTSPAN_PORT", gone.url.rpartition(":")[2])
    with pytest.raises(NotRunning, match=r"another folder is named with --data or AGENTSPAN_DATA") as error:
        ask(tmp_path)
    assert f"{str(tmp_path)!r}: `agentspan server start` starts one" in str(error.value)


@pytest.mark.parametrize("by", ["flag", "environment"])
def test_a_folder_that_is_named_is_not_left_for_that_of_another_server(
    by: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    if by == "environment":
        monkeypatch.setenv("AGENTSPAN_DATA", str(tmp_path))
    with serving() as other:
        other.on("GET", "/readyz", Answer({"status": "ok"}))
        monkeypatch.setenv("AGENTSPAN_PORT", other.url.rpartition(":")[2])
        with pytest.raises(PortTaken, match="a server of another data folder answers at"):
            commands.start(tmp_path if by == "flag" else None, detach=True)


def test_a_server_that_answers_already_is_as_good_where_no_folder_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path))
    monkeypatch.delenv("AGENTSPAN_DATA", raising=False)
    with serving() as other:
        other.on("GET", "/readyz", Answer({"status": "ok"}))
        monkeypatch.setenv("AGENTSPAN_PORT", other.url.rpartition(":")[2])
        assert commands.start(detach=True) == 0
    assert capsys.readouterr().err.startswith("a server of another data folder answers at http://localhost:")


def test_a_server_that_answers_already_keeps_its_settings_and_it_is_said_how_to_end_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    Settings.given(data=tmp_path).standing.write_text(json.dumps({"pid": os.getpid()}))
    with serving() as running:
        running.on("GET", "/readyz", Answer({"status": "ok"}))
        monkeypatch.setenv("AGENTSPAN_PORT", running.url.rpartition(":")[2])
        assert commands.start(tmp_path, detach=True) == 0
    assert "already and keeps its settings; `agentspan server stop` ends it" in capsys.readouterr().err


def test_a_detached_start_that_is_interrupted_leaves_no_server(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    asleep = [sys.executable, "-c", "import time; time.sleep(600)"]
    with subprocess.Popen(asleep) as child, socket.create_server(("127.0.0.1", 0)) as nobody:
        monkeypatch.setenv("AGENTSPAN_PORT", str(nobody.getsockname()[1]))
        nobody.close()
        monkeypatch.setattr(subprocess, "Popen", lambda *_, **__: child)
        monkeypatch.setattr(commands, "_started", lambda *_: signal.raise_signal(signal.SIGINT))
        with pytest.raises(KeyboardInterrupt):
            commands.start(tmp_path, detach=True)
        assert child.wait() == -signal.SIGTERM


@pytest.mark.parametrize(("level", "is_one"), [("debug", True), ("WARNING", True), ("loud", False), ("10", False)])
def test_a_log_level_is_one_of_those_that_there_are(level: str, is_one: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AGENTSPAN_LOG_LEVEL", level)
    with nullcontext() if is_one else pytest.raises(SettingsError, match="is no level: write one of DEBUG, INFO"):
        assert Settings.given().log_level == level.upper()


@ASKED
def test_a_server_of_another_folder_is_named(
    ask: Callable[[Path], int], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with serving() as other:
        port = other.url.rpartition(":")[2]
        monkeypatch.setenv("AGENTSPAN_PORT", port)
        with pytest.raises(NotRunning, match=r"name that with --data or AGENTSPAN_DATA") as error:
            ask(tmp_path)
    assert f"{str(tmp_path)!r}: what answers at http://localhost:{port} has another" in str(error.value)


def test_why_a_server_takes_no_work_is_said_in_words() -> None:
    with serving() as server:
        server.on("GET", "/readyz", Answer({"status": 503, "detail": "partition 0 is restored"}, 503))
        assert commands._readyz(server.url) == {"status": "partition 0 is restored"}
        server.on("GET", "/readyz", Answer("a proxy's page", 502))
        assert "a proxy's page" in commands._readyz(server.url)["status"]
