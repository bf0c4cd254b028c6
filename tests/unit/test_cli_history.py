"""`agentspan agent list|status|stream` and `agentspan approvals list`: what is asked for, and how it is shown."""

import json
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any, get_args

import pytest
import typer

from agentspan.cli import main
from agentspan.cli._options import State, Status, read_moment
from agentspan_schemas.approvals import ApprovalState
from agentspan_schemas.events import Status as ContractStatus
from tests.unit.cli_server import (
    AT,
    RUN,
    SCHEMA,
    Asked,
    FakeServer,
    event,
    execution,
    items,
    problem,
    record,
    serving,
    sse,
    tool_call,
    worker,
)
from tests.unit.cli_server import Answer as Reply

NOW = datetime(2026, 5, 2, 12, 0, tzinfo=UTC)


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator[FakeServer]:
    with serving() as fake:
        monkeypatch.setenv("AGENTSPAN_SERVER_URL", fake.url)
        fake.on("GET", "/executions", page(execution()))
        fake.on("GET", f"/executions/{RUN}", Reply(execution().model_dump(mode="json")))
        fake.on("GET", f"/executions/{RUN}/events", Reply({"items": [tool_call(8), waiting(9)]}))
        fake.on("GET", "/gateway/workers", items(worker()))
        fake.approvals(record())
        yield fake


def page(*executions: Any, cursor: str | None = None) -> Reply:
    shown = [one.model_dump(mode="json") for one in executions]
    return Reply({"items": shown, "cursor": cursor, "as_of": AT.isoformat()})


def waiting(seq: int) -> dict[str, Any]:
    fields = {"approval_id": f"{RUN}.2-0", "call_id": "2-0", "tool": "issue_refund", "args": {}, "args_hash": "ab" * 32}
    return event(seq, "waiting", "waiting", **fields)


def approved(seq: int) -> dict[str, Any]:
    who = {"by": "user:alice", "channel": "cli", "seen_args_hash": "ab" * 32}
    return {**waiting(seq), **who, "type": "approved", "status": "running"}


def test_the_words_are_the_contracts() -> None:
    assert {str(status) for status in Status} == set(get_args(ContractStatus))
    assert {str(state) for state in State} == set(get_args(ApprovalState))


# list


def test_a_list_is_a_table_without_anything_a_terminal_obeys(
    server: FakeServer, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["agent", "list"]) == 0
    titles, row = capsys.readouterr().out.splitlines()
    assert titles.split() == ["EXECUTION", "AGENT", "STATUS", "WAITING", "ON", "STARTED", "PROMPT"]
    assert row.startswith(f"{RUN}  support_agent  waiting  issue_refund")
    assert row.endswith(r"I was charged twice\x1b[2J")


def test_filters_go_to_the_server(server: FakeServer) -> None:
    command = "agent list --agent support_agent --status waiting --status paused --from 2026-05-01T10:00Z --limit 3"
    assert main(command.split()) == 0
    [asked] = server.requests("GET", "/executions")
    assert asked.query == {
        "agent": ["support_agent"],
        "status": ["waiting", "paused"],
        "from": ["2026-05-01T10:00:00+00:00"],
        "limit": ["3"],
    }


def test_what_waits_stands_oldest_first_with_its_calls(server: FakeServer, capsys: pytest.CaptureFixture[str]) -> None:
    server.approvals(record(), record("2-1", tool="close_account"))
    assert main(["agent", "list", "--status", "waiting", "--agent", "support_agent"]) == 0
    titles, row = capsys.readouterr().out.splitlines()
    assert titles.split() == ["EXECUTION", "AGENT", "STARTED", "WAITING", "ON", "PROMPT"]
    assert 'issue_refund customer_id="cust_123", amount_usd=99.0, reason="duplicate charge"; and close_account' in row
    [asked] = server.requests("GET", "/executions")
    assert asked.query["order"] == ["oldest"]
    [of_calls] = server.requests("GET", "/approvals")
    assert of_calls.query["state"] == ["pending", "in_doubt"]
    assert of_calls.query["agent"] == ["support_agent"]


def test_a_call_in_doubt_is_said_to_be_and_one_that_is_not_found_has_its_name(
    server: FakeServer, capsys: pytest.CaptureFixture[str]
) -> None:
    server.approvals(record(state="in_doubt"))
    server.on("GET", "/executions", page(execution(), execution(execution_id="exec-other")))
    assert main(["execution", "list", "--status", "waiting"]) == 0
    _, doubtful, other = capsys.readouterr().out.splitlines()
    assert "in doubt: issue_refund customer_id=" in doubtful
    assert other.split()[4] == "issue_refund"
    assert "=" not in other


@pytest.mark.parametrize(
    ("options", "order"),
    [
        ("", None),
        ("--order oldest", ["oldest"]),
        ("--status waiting --order newest", None),
        ("--status waiting -o jsonl", ["oldest"]),
        ("--status waiting --status paused", None),
    ],
)
def test_which_runs_stand_first_may_be_said(server: FakeServer, options: str, order: list[str] | None) -> None:
    assert main(["agent", "list", *options.split()]) == 0
    [asked] = server.requests("GET", "/executions")
    assert asked.query.get("order") == order


def test_pages_are_followed_up_to_the_limit(server: FakeServer, capsys: pytest.CaptureFixture[str]) -> None:
    def pages(asked: Asked) -> Reply:
        return page(execution(), execution(), cursor=None if "cursor" in asked.query else "next")

    server.on("GET", "/executions", pages)
    assert main(["agent", "list", "--limit", "3", "-o", "json"]) == 0
    assert len(json.loads(capsys.readouterr().out)) == 3
    assert [asked.query.get("cursor") for asked in server.requests("GET", "/executions")] == [None, ["next"]]


def test_an_empty_list_is_valid_json(server: FakeServer, capsys: pytest.CaptureFixture[str]) -> None:
    server.on("GET", "/executions", page())
    assert main(["agent", "list", "-o", "json"]) == 0
    assert json.loads(capsys.readouterr().out) == []
    assert main(["agent", "list"]) == 0
    assert capsys.readouterr().out == ""


def test_jsonl_is_one_run_a_line(server: FakeServer, capsys: pytest.CaptureFixture[str]) -> None:
    server.on("GET", "/executions", page(execution(), execution("failed")))
    assert main(["agent", "list", "-o", "jsonl"]) == 0
    assert [json.loads(line)["status"] for line in capsys.readouterr().out.splitlines()] == ["waiting", "failed"]


@pytest.mark.parametrize("options", [["--status", "asleep"], ["--from", "soon"], ["--limit", "0"], ["-o", "yaml"]])
def test_a_wrong_filter_is_refused(server: FakeServer, options: list[str]) -> None:
    assert main(["agent", "list", *options]) == 2
    assert server.asked == []


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("90m", NOW - timedelta(minutes=90)),
        ("7d", NOW - timedelta(days=7)),
        ("2026-05-01T10:00+02:00", datetime(2026, 5, 1, 8, 0, tzinfo=UTC)),
        ("2026-05-01", datetime(2026, 5, 1).astimezone(UTC)),
    ],
)
def test_a_moment_is_read(text: str, expected: datetime) -> None:
    assert read_moment(text, NOW) == expected


def test_a_date_as_the_end_includes_its_day() -> None:
    assert read_moment("2026-05-01", NOW, end=True) == datetime(2026, 5, 2).astimezone(UTC)


@pytest.mark.parametrize("text", ["soon", "", "2026-13-01", "9999-12-31", "7y"])
def test_what_is_no_moment_is_refused(text: str) -> None:
    with pytest.raises(typer.BadParameter, match="is no moment"):
        read_moment(text, NOW, end=True)


# status


def test_status_says_what_a_run_waits_for_and_what_to_do(
    server: FakeServer, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["agent", "status", RUN]) == 0
    printed = capsys.readouterr().out
    assert "status     waiting" in printed
    assert 'waits for  issue_refund {"customer_id": "cust_123"' in printed
    assert f"next       agentspan agent respond {RUN}.2-0 --approve" in printed
    assert "no worker" not in printed


def test_status_says_which_worker_is_missing(server: FakeServer, capsys: pytest.CaptureFixture[str]) -> None:
    server.on("GET", f"/executions/{RUN}", Reply(execution("running", seq=10).model_dump(mode="json")))
    server.on("GET", f"/executions/{RUN}/events", Reply({"items": [tool_call(8), waiting(9), approved(10)]}))
    server.on("GET", "/gateway/workers", items())
    server.approvals()
    assert main(["agent", "status", RUN]) == 0
    assert f"no worker can run 'issue_refund' of agent 'support_agent' with input schema {SCHEMA[:12]}" in (
        capsys.readouterr().out
    )


def granted(seq: int, **changes: Any) -> dict[str, Any]:
    claim = {"attempt": 1, "claim_id": "claim-1", "worker": "alice@desk/1", "grant_s": 5.0}
    return event(seq, "tool_started", call_id="2-0", tool="issue_refund", **{**claim, **changes})


def holding(*keys: str) -> Reply:
    return items(worker(holds=keys, lease_until=AT + timedelta(seconds=10)))


def running(server: FakeServer, *events: dict[str, Any]) -> None:
    """The run as it is when its gated call was approved and these came of it."""
    server.on("GET", f"/executions/{RUN}", Reply(execution("running", seq=11).model_dump(mode="json")))
    found = [tool_call(8), waiting(9), approved(10), *events]
    server.on("GET", f"/executions/{RUN}/events", Reply({"items": found}))
    server.approvals()


def test_status_says_who_holds_a_call_since_when_and_until_when_it_is_counted_on(
    server: FakeServer, capsys: pytest.CaptureFixture[str]
) -> None:
    running(server, granted(11))
    server.on("GET", "/gateway/workers", holding(f"{RUN}/12-0/1", f"{RUN}/2-0/1"))
    assert main(["agent", "status", RUN]) == 0
    until = AT + timedelta(seconds=10)
    assert (
        f"runs       call 2-0 of issue_refund in alice@desk/1, since {AT.astimezone():%Y-%m-%d %H:%M:%S}; "
        f"its lease runs until {until.astimezone():%Y-%m-%d %H:%M:%S}, and on while it is heard of\n"
    ) in capsys.readouterr().out
    assert main(["agent", "status", RUN, "-o", "json"]) == 0
    [held] = json.loads(capsys.readouterr().out)["held"]
    assert (held["worker"], held["since"], held["lease_until"]) == ("alice@desk/1", AT.isoformat(), until.isoformat())


def test_status_of_a_granted_call_whose_worker_is_gone_does_not_say_that_another_may_run_it(
    server: FakeServer, capsys: pytest.CaptureFixture[str]
) -> None:
    running(server, granted(11, worker="bob@desk/2"))
    server.on("GET", "/gateway/workers", items())
    assert main(["agent", "status", RUN]) == 0
    shown = capsys.readouterr().out
    assert "call 2-0 of issue_refund in bob@desk/2, since" in shown
    assert "it is not connected any more: the call is in doubt soon, unless it comes back" in shown
    assert "no worker can run" not in shown


def test_status_of_a_call_that_is_to_be_tried_again_asks_for_a_worker(
    server: FakeServer, capsys: pytest.CaptureFixture[str]
) -> None:
    again = event(12, "retry_scheduled", turn=2, call_id="2-0", attempt=2, retry_at=AT.isoformat(), reason="resolved")
    running(server, granted(11), again)
    server.on("GET", "/gateway/workers", items())
    assert main(["agent", "status", RUN]) == 0
    assert "no worker can run 'issue_refund'" in capsys.readouterr().out


def test_status_as_json_has_all_of_it(server: FakeServer, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["agent", "status", RUN, "-o", "json"]) == 0
    shown = json.loads(capsys.readouterr().out)
    assert shown["execution"]["status"] == "waiting"
    assert shown["approvals"][0]["tool"] == "issue_refund"
    assert shown["missing_workers"] == []
    assert len(shown["next"]) == 2


def test_status_of_a_call_in_doubt_says_how_to_resolve_it(
    server: FakeServer, capsys: pytest.CaptureFixture[str]
) -> None:
    server.approvals(record(state="in_doubt", attempt=2))
    assert main(["agent", "status", RUN]) == 0
    shown = capsys.readouterr().out
    assert f"agentspan execution resolve {RUN}.2-0 --attempt 2 --succeeded JSON" in shown
    assert f", called {AT.astimezone():%Y-%m-%d %H:%M:%S}\n" in shown, "it is in doubt since later"


def test_status_of_a_failed_run_has_its_error(server: FakeServer, capsys: pytest.CaptureFixture[str]) -> None:
    failed = execution("failed", error={"kind": "max_turns", "message": "no answer after 25 turns"})
    server.on("GET", f"/executions/{RUN}", Reply(failed.model_dump(mode="json")))
    assert main(["agent", "status", RUN]) == 0
    assert "error      no answer after 25 turns (max_turns)" in capsys.readouterr().out


def test_status_of_an_unknown_run_is_not_found(server: FakeServer, capsys: pytest.CaptureFixture[str]) -> None:
    server.on("GET", f"/executions/{RUN}", problem(404, "unknown_execution", f"there is no execution {RUN!r}"))
    assert main(["agent", "status", RUN]) == 4
    assert capsys.readouterr().err == (
        f"error: there is no execution {RUN!r}\nnext:  `agentspan execution list` shows what there is\n"
    )


# stream


def test_stream_prints_an_event_a_line_until_the_end(server: FakeServer, capsys: pytest.CaptureFixture[str]) -> None:
    server.on("POST", "/streams", sse(tool_call(8), event(9, "done", "completed", output="Done.")))
    assert main(["agent", "stream", RUN, "--after", "7"]) == 0
    called, done = capsys.readouterr().out.splitlines()
    assert called.split(maxsplit=3)[2:] == ["tool_call", f"issue_refund {json.dumps(tool_call(8)['args'])}"]
    assert done.endswith("→ Done.")
    [asked] = server.requests("POST", "/streams")
    assert [(follow["execution_id"], follow["after"]) for follow in asked.body["follow"]] == [(RUN, 7)]


def test_stream_as_jsonl_is_the_events(server: FakeServer, capsys: pytest.CaptureFixture[str]) -> None:
    server.on("POST", "/streams", sse(tool_call(8), event(9, "done", "completed", output={"a": 1})))
    assert main(["agent", "stream", RUN, "--after", "7", "-o", "jsonl"]) == 0
    assert [json.loads(line)["seq"] for line in capsys.readouterr().out.splitlines()] == [8, 9]


def test_stream_of_an_unknown_run_is_not_found(server: FakeServer) -> None:
    server.on("GET", f"/executions/{RUN}", problem(404, "unknown_execution", "there is none"))
    assert main(["agent", "stream", RUN]) == 4


# approvals


def test_approvals_list_asks_for_what_waits_for_a_person(
    server: FakeServer, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["approvals", "list"]) == 0
    assert capsys.readouterr().out.splitlines()[1].startswith(f"{RUN}.2-0  pending  support_agent")
    [asked] = server.requests("GET", "/approvals")
    assert asked.query == {"state": ["pending", "in_doubt"], "limit": ["100"]}


def test_approvals_list_filters_and_says_when_there_may_be_more(
    server: FakeServer, capsys: pytest.CaptureFixture[str]
) -> None:
    command = "approvals list --state rejected --tool issue_refund --agent a --limit 1 -o json"
    assert main(command.split()) == 0
    printed = capsys.readouterr()
    assert len(json.loads(printed.out)) == 1
    assert "there may be more" in printed.err
    [asked] = server.requests("GET", "/approvals")
    assert asked.query == {"state": ["rejected"], "agent": ["a"], "tool": ["issue_refund"], "limit": ["1"]}


def test_no_approvals_is_an_empty_list(server: FakeServer, capsys: pytest.CaptureFixture[str]) -> None:
    server.approvals()
    assert main(["approvals", "list", "-o", "json"]) == 0
    assert json.loads(capsys.readouterr().out) == []
    assert main(["approvals", "list"]) == 0
    assert capsys.readouterr().out == ""


def test_an_answer_of_something_else_is_said_to_be_one(server: FakeServer, capsys: pytest.CaptureFixture[str]) -> None:
    server.on("GET", "/approvals", Reply(b"<html>hello</html>", content_type="text/html"))
    assert main(["approvals", "list"]) == 1
    assert "check AGENTSPAN_SERVER_URL" in capsys.readouterr().err


def test_a_server_that_takes_no_work_is_unreachable(server: FakeServer) -> None:
    server.on("GET", "/approvals", problem(503, "unavailable", "draining"))
    assert main(["approvals", "list"]) == 3


def retry(seq: int, retry_at: datetime) -> dict[str, Any]:
    error = {"kind": "rate_limit", "message": "slow down"}
    fields: dict[str, Any] = {
        "turn": 1,
        "attempt": 2,
        "retry_at": retry_at.isoformat(),
        "reason": "error",
        "error": error,
    }
    return event(seq, "retry_scheduled", **fields)


@pytest.mark.parametrize("is_over", [False, True])
def test_a_status_says_until_when_a_model_is_left_alone(
    is_over: bool, server: FakeServer, capsys: pytest.CaptureFixture[str]
) -> None:
    later = datetime.now(UTC) + timedelta(minutes=30)
    called = event(8, "model_called", turn=1, attempt=2, model="p/m", messages=1)
    server.on("GET", f"/executions/{RUN}/events", Reply({"items": [retry(7, later), *([called] if is_over else [])]}))
    assert main(["agent", "status", RUN]) == 0
    said = f"retries    the model at {later.astimezone():%Y-%m-%d %H:%M:%S}, attempt 2: slow down\n"
    assert (said in capsys.readouterr().out) is not is_over


def test_an_event_of_a_retry_says_when_it_is(server: FakeServer, capsys: pytest.CaptureFixture[str]) -> None:
    later = NOW + timedelta(minutes=30)
    server.on("GET", f"/executions/{RUN}/events", Reply({"items": [retry(7, later)]}))
    assert main(["execution", "events", RUN]) == 0
    assert capsys.readouterr().out.rstrip().endswith(f"attempt 2 at {later.astimezone():%Y-%m-%d %H:%M:%S} (slow down)")
