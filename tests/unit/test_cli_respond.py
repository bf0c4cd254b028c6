"""`agentspan agent respond`: which call it decides, what it says, and how it ends when there is nothing to decide."""

import json
from collections.abc import Iterator

import pytest

from agentspan.cli import main
from tests.unit.cli_server import (
    AT,
    REFUND,
    RUN,
    SCHEMA,
    FakeServer,
    decided,
    execution,
    items,
    problem,
    record,
    serving,
    worker,
)
from tests.unit.cli_server import Answer as Reply

DECISION = f"/approvals/{RUN}.2-0/decision"
SHOWN = '{"customer_id": "cust_123", "amount_usd": 99.0, "reason": "duplicate charge"}'


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator[FakeServer]:
    """One refund waits, and a worker can run it."""
    with serving() as fake:
        monkeypatch.setenv("AGENTSPAN_SERVER_URL", fake.url)
        monkeypatch.setenv("LOGNAME", "alice")
        fake.approvals(record())
        fake.on("GET", f"/executions/{RUN}", Reply(execution().model_dump(mode="json")))
        fake.on("POST", DECISION, Reply(decided().model_dump(mode="json")))
        fake.on("GET", "/gateway/workers", items(worker()))
        yield fake


def respond(*options: str) -> int:
    return main(["agent", "respond", *options])


def test_approving_says_what_was_decided_and_by_whom(server: FakeServer, capsys: pytest.CaptureFixture[str]) -> None:
    assert respond(RUN, "--approve") == 0
    printed = capsys.readouterr()
    assert printed.out == f"approved issue_refund {SHOWN} by user:alice\n"
    assert printed.err == ""


def test_a_decision_is_bound_to_the_args_that_were_seen(server: FakeServer) -> None:
    assert respond(RUN, "--approve", "--reason", "seen the invoice") == 0
    [asked] = server.requests("POST", DECISION)
    assert asked.body == {
        "decision": "approve",
        "args_hash": "ab" * 32,
        "reason": "seen the invoice",
        "edited_args": None,
    }


def test_the_server_learns_who_decides_and_through_what(server: FakeServer) -> None:
    assert respond(RUN, "--approve") == 0
    [asked] = server.requests("POST", DECISION)
    assert (asked.headers["Agentspan-Client"], asked.headers["Agentspan-User"]) == ("cli", "alice")
    assert asked.headers["Idempotency-Key"]


@pytest.mark.parametrize(
    ("options", "reason"),
    [
        (["--reject", "Amount too large, escalate to finance"], "Amount too large, escalate to finance"),
        (["--deny", "--reason", "too large"], "too large"),
    ],
)
def test_rejecting_carries_its_reason(
    server: FakeServer, capsys: pytest.CaptureFixture[str], options: list[str], reason: str
) -> None:
    server.on("POST", DECISION, Reply(decided("rejected", reason=reason).model_dump(mode="json")))
    assert respond(RUN, *options) == 0
    [asked] = server.requests("POST", DECISION)
    assert (asked.body["decision"], asked.body["reason"]) == ("reject", reason)
    assert capsys.readouterr().out.startswith("rejected issue_refund")


def test_rejecting_asks_for_no_worker(server: FakeServer) -> None:
    assert respond(RUN, "--reject", "no") == 0
    assert server.requests("GET", "/gateway/workers") == []


def test_an_approval_id_names_its_call(server: FakeServer) -> None:
    server.approvals(record("2-1"), record("2-0"))
    assert respond(f"{RUN}.2-0", "--approve") == 0
    assert len(server.requests("POST", DECISION)) == 1


def test_edited_args_are_sent_and_shown(server: FakeServer, capsys: pytest.CaptureFixture[str]) -> None:
    edited = {**REFUND, "amount_usd": 20}
    server.on("POST", DECISION, Reply(decided(edited_args=edited).model_dump(mode="json")))
    assert respond(RUN, "--approve", "--args", json.dumps(edited)) == 0
    [asked] = server.requests("POST", DECISION)
    assert asked.body["edited_args"] == edited
    assert f"{json.dumps(edited)} (edited) by user:alice" in capsys.readouterr().out


def test_json_output_is_the_record(server: FakeServer, capsys: pytest.CaptureFixture[str]) -> None:
    assert respond(RUN, "--approve", "-o", "json") == 0
    assert json.loads(capsys.readouterr().out)["decided_by"] == "user:alice"


def test_several_waiting_calls_are_listed(server: FakeServer, capsys: pytest.CaptureFixture[str]) -> None:
    server.approvals(record("2-0"), record("2-1", tool="apply_credit", args={"amount_usd": 5}))
    assert respond(RUN, "--approve") == 2
    printed = capsys.readouterr()
    assert printed.out == ""
    assert f"--call 2-0  issue_refund {SHOWN}" in printed.err
    assert '--call 2-1  apply_credit {"amount_usd": 5}' in printed.err
    assert server.requests("POST", DECISION) == []


def test_call_names_one_of_several_and_the_rest_is_told(server: FakeServer, capsys: pytest.CaptureFixture[str]) -> None:
    server.approvals(record("2-0"), record("2-1", tool="apply_credit", args={"amount_usd": 5}))
    assert respond(RUN, "--approve", "--call", "2-0") == 0
    assert "--call 2-1  apply_credit" in capsys.readouterr().err


def test_approving_without_a_worker_says_what_to_start(server: FakeServer, capsys: pytest.CaptureFixture[str]) -> None:
    server.on("GET", "/gateway/workers", items())
    assert respond(RUN, "--approve") == 0
    printed = capsys.readouterr()
    assert printed.out.startswith("approved issue_refund")
    assert "no worker can run 'issue_refund' of agent 'support_agent'" in printed.err
    assert "agentspan agent serve MODULE:AGENT" in printed.err
    first = server.requests("GET", "/gateway/workers")[0]
    assert first.query == {"agent": ["support_agent"], "tool": ["issue_refund"], "input_schema_hash": [SCHEMA]}


def test_a_worker_with_other_parameters_is_named(server: FakeServer, capsys: pytest.CaptureFixture[str]) -> None:
    server.on(
        "GET", "/gateway/workers", lambda asked: items() if "input_schema_hash" in asked.query else items(worker())
    )
    assert respond(RUN, "--approve") == 0
    printed = capsys.readouterr().err
    assert "alice@desk/1" in printed
    assert "as it was when the run started" in printed


def test_a_lost_race_says_who_decided_and_when(server: FakeServer, capsys: pytest.CaptureFixture[str]) -> None:
    winner = {"by": "user:bob", "decision": "rejected", "at": AT.isoformat(), "channel": "ui"}
    server.on("POST", DECISION, problem(409, "already_decided", "decided", winner=winner))
    assert respond(RUN, "--approve") == 5
    printed = capsys.readouterr()
    assert printed.out == ""
    assert f"rejected by user:bob at {AT.astimezone():%Y-%m-%d %H:%M:%S} through ui" in printed.err


def test_a_call_that_was_decided_before_says_by_whom(server: FakeServer, capsys: pytest.CaptureFixture[str]) -> None:
    server.approvals(decided("rejected", decided_by="policy:limits", reason="over 50"))
    assert respond(RUN, "--approve") == 5
    printed = capsys.readouterr().err
    assert "was rejected by policy:limits at" in printed
    assert f"agentspan agent status {RUN}" in printed


def test_args_that_changed_meanwhile_are_refused(server: FakeServer, capsys: pytest.CaptureFixture[str]) -> None:
    server.on("POST", DECISION, problem(409, "args_changed", "the args are not those that you saw: look again"))
    assert respond(RUN, "--approve") == 1
    assert "look again" in capsys.readouterr().err


def test_args_that_break_the_schema_are_refused(server: FakeServer, capsys: pytest.CaptureFixture[str]) -> None:
    server.on("POST", DECISION, problem(422, "invalid_args", "amount_usd: 'x' is not a number"))
    assert respond(RUN, "--approve", "--args", '{"amount_usd": "x"}') == 1
    assert "is not a number" in capsys.readouterr().err


@pytest.mark.parametrize("status", ["running", "completed", "paused"])
def test_a_run_that_does_not_wait_says_its_status(
    server: FakeServer, capsys: pytest.CaptureFixture[str], status: str
) -> None:
    server.approvals()
    server.on("GET", f"/executions/{RUN}", Reply(execution().model_dump(mode="json") | {"status": status}))
    assert respond(RUN, "--approve") == 1
    printed = capsys.readouterr().err
    assert f"'{RUN}' is {status}; `agentspan agent status {RUN}`" in printed


def test_a_call_in_doubt_is_not_approved_but_explained(server: FakeServer, capsys: pytest.CaptureFixture[str]) -> None:
    server.approvals(record(state="in_doubt"))
    assert respond(RUN, "--approve") == 1
    assert "is in doubt" in capsys.readouterr().err


def test_an_unknown_run_is_not_found(server: FakeServer, capsys: pytest.CaptureFixture[str]) -> None:
    server.approvals()
    server.on("GET", f"/executions/{RUN}", problem(404, "unknown_execution", f"there is no execution {RUN!r}"))
    assert respond(RUN, "--approve") == 4
    assert "there is no execution" in capsys.readouterr().err


def test_an_unknown_call_is_not_found(server: FakeServer) -> None:
    assert respond(f"{RUN}.7-0", "--approve") == 4


@pytest.mark.parametrize(
    "options",
    [
        [RUN],
        [RUN, "--approve", "--reject", "no"],
        [RUN, "--approve", "--deny"],
        [RUN, "--reject"],
        [RUN, "--reject", " "],
        [RUN, "--reject", "no", "--reason", "no"],
        [RUN, "--reject", "no", "--args", "{}"],
        [RUN, "--approve", "--args", "{"],
        [RUN, "--approve", "--args", "[1]"],
        [f"{RUN}.2-0", "--approve", "--call", "2-1"],
        ["../agents", "--approve"],
        ["--approve"],
    ],
)
def test_a_command_line_that_decides_nothing_is_refused(
    server: FakeServer, capsys: pytest.CaptureFixture[str], options: list[str]
) -> None:
    assert respond(*options) == 2
    printed = capsys.readouterr()
    assert printed.out == ""
    assert printed.err
    assert server.asked == []


def test_no_server_is_said_with_its_own_exit_code(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    with serving() as gone:
        url = gone.url
    monkeypatch.setenv("AGENTSPAN_SERVER_URL", url)
    assert respond(RUN, "--approve") == 3
    printed = capsys.readouterr()
    assert printed.out == ""
    assert "agentspan server start" in printed.err
