"""What a script reads of an error: with `-o json` or `-o jsonl` one JSON object on standard error, and nothing else
there; the exit code is in it."""

import json
from collections.abc import Iterator
from typing import Any

import pytest

from agentspan.cli import main
from tests.unit.cli_server import RUN, FakeServer, decided, problem, record, serving

UNKNOWN = problem(404, "unknown_execution", "there is no such execution")
WINNER = {"by": "user:alice", "at": "2026-05-01T10:00:00Z", "decision": "approved", "channel": "ui"}


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator[FakeServer]:
    with serving() as fake:
        monkeypatch.setenv("AGENTSPAN_SERVER_URL", fake.url)
        yield fake


def failed(line: str, capsys: pytest.CaptureFixture[str]) -> dict[str, Any]:
    """The error that the command ended with; its exit code stands in it."""
    code = main(line.split())
    printed = capsys.readouterr()
    assert printed.out == ""
    [told] = printed.err.splitlines()
    error: dict[str, Any] = json.loads(told)
    assert error["exit_code"] == code
    return error


@pytest.mark.parametrize("form", ["-o json", "-o jsonl", "-ojson", "--output json", "--output=jsonl"])
def test_what_the_server_refuses_keeps_its_code(
    server: FakeServer, form: str, capsys: pytest.CaptureFixture[str]
) -> None:
    server.on("GET", f"/executions/{RUN}", UNKNOWN)
    assert failed(f"execution show {RUN} {form}", capsys) == {
        "code": "unknown_execution",
        "status": 404,
        "detail": "there is no such execution",
        "next": "`agentspan execution list` shows what there is",
        "exit_code": 4,
    }


def test_who_was_first_is_told(server: FakeServer, capsys: pytest.CaptureFixture[str]) -> None:
    server.on("GET", f"/approvals/{RUN}.2-0", problem(409, "already_decided", "alice was first", winner=WINNER))
    error = failed(f"approvals show {RUN}.2-0 -o json", capsys)
    assert (error["code"], error["status"], error["exit_code"]) == ("already_decided", 409, 5)


@pytest.mark.parametrize(
    ("line", "code", "exit_code"),
    [
        ("execution list -o json --status done", "usage", 2),
        ("execution lst -o json", "usage", 2),
        ("approvals -o json", "usage", 2),
        (f"agent respond {RUN} --approve -o json", "several_pending", 2),
        ("topics check -o json", "settings_error", 2),
        ("topics check --log kafka://127.0.0.1:1 --min-insync 9 -o jsonl", "settings_error", 2),
        ("server status --data /nowhere/at/all -o json", "not_running", 1),
    ],
)
def test_an_error_has_a_code_wherever_it_comes_from(
    server: FakeServer,
    monkeypatch: pytest.MonkeyPatch,
    line: str,
    code: str,
    exit_code: int,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.delenv("AGENTSPAN_LOG", raising=False)
    server.approvals(record("2-0"), record("2-1"))
    error = failed(line, capsys)
    assert (error["code"], error["exit_code"]) == (code, exit_code)
    assert error["detail"]


def test_a_server_that_is_away_is_an_error_to_try_again(
    server: FakeServer, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    with serving() as gone:
        monkeypatch.setenv("AGENTSPAN_SERVER_URL", gone.url)
    error = failed("execution list -o json", capsys)
    assert (error["code"], error["exit_code"]) == ("server_unavailable", 3)


def test_a_fault_of_ours_is_one_too(
    server: FakeServer, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def broken(*_: object) -> None:
        raise KeyError("x")

    server.approvals(decided())
    monkeypatch.setattr("agentspan.cli._approvals.show_list", broken)
    error = failed("approvals list -o json", capsys)
    assert (error["code"], error["exit_code"]) == ("fault", 1)
    assert "AGENTSPAN_DEBUG=1" in error["next"]


def test_for_people_an_error_is_a_sentence(server: FakeServer, capsys: pytest.CaptureFixture[str]) -> None:
    server.on("GET", f"/executions/{RUN}", UNKNOWN)
    assert main(["execution", "show", RUN, "-o", "table"]) == 4
    assert capsys.readouterr().err == (
        "error: there is no such execution\nnext:  `agentspan execution list` shows what there is\n"
    )
