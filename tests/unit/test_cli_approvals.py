"""`agentspan approvals show|approve|reject` and `list --watch`: many decisions at once, each bound to what was read."""

import asyncio
import io
import json
import sys
from collections.abc import Iterator
from datetime import timedelta

import pytest

from agentspan.agents._http import Http
from agentspan.cli import _approvals, main
from agentspan.cli._api import Server
from agentspan.cli._options import Format, Range
from agentspan_schemas.approvals import ApprovalRecord
from tests.unit.cli_server import (
    AT,
    RUN,
    Answer,
    Asked,
    FakeServer,
    decided,
    execution,
    items,
    problem,
    record,
    serving,
    worker,
)

OTHER = "exec-d4e5f6"
ALWAYS = Range(None, None)


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator[FakeServer]:
    """Two runs wait with a refund each."""
    with serving() as fake:
        monkeypatch.setenv("AGENTSPAN_SERVER_URL", fake.url)
        fake.on("GET", "/approvals", _of_run)
        fake.on("GET", "/gateway/workers", items(worker()))
        for run in (RUN, OTHER):
            fake.on("GET", f"/executions/{run}", Answer(execution().model_dump(mode="json")))
            fake.on("POST", f"/approvals/{run}.2-0/decision", _decided)
        yield fake


def _of_run(asked: Asked) -> Answer:
    runs = asked.query.get("execution_id", [RUN, OTHER])
    return items(*(waits(run) for run in runs))


def _decided(asked: Asked) -> Answer:
    id_ = asked.path.split("/")[2]
    state = "approved" if asked.body["decision"] == "approve" else "rejected"
    changes = {"approval_id": id_, "execution_id": id_.split(".")[0], "reason": asked.body["reason"]}
    return Answer(decided(state, **changes).model_dump(mode="json"))


def waits(run: str) -> ApprovalRecord:
    return record(approval_id=f"{run}.2-0", execution_id=run)


def typed(monkeypatch: pytest.MonkeyPatch, text: str) -> None:
    monkeypatch.setattr(sys, "stdin", io.StringIO(text))


def test_the_list_goes_into_the_decision_and_each_is_bound_to_what_stood_there(
    server: FakeServer, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    assert main(["approvals", "list", "-o", "jsonl"]) == 0
    typed(monkeypatch, capsys.readouterr().out)
    assert main(["approvals", "approve", "-", "--reason", "small"]) == 0
    printed = capsys.readouterr()
    assert [line.split()[:2] for line in printed.out.splitlines()[1:]] == [
        [f"{RUN}.2-0", "approved"],
        [f"{OTHER}.2-0", "approved"],
    ]
    assert printed.err == "2 done\n"
    [asked] = server.requests("POST", f"/approvals/{OTHER}.2-0/decision")
    assert (asked.body["args_hash"], asked.body["reason"]) == ("ab" * 32, "small")


def test_a_call_whose_arguments_are_others_by_now_is_left(
    server: FakeServer, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    typed(monkeypatch, json.dumps({"approval_id": f"{RUN}.2-0", "args_hash": "cd" * 32}))
    assert main(["approvals", "approve", "-"]) == 1
    assert "waits with other arguments than those that you read" in capsys.readouterr().err
    assert server.requests("POST", f"/approvals/{RUN}.2-0/decision") == []


def test_rejecting_many_carries_the_reason_to_each(server: FakeServer, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["approvals", "reject", RUN, f"{OTHER}.2-0", "--reason", "too large", "-o", "json"]) == 0
    shown = json.loads(capsys.readouterr().out)
    assert [(one["outcome"], one["data"]["reason"]) for one in shown] == [("rejected", "too large")] * 2


def test_a_lost_race_among_many_is_told_and_the_others_are_decided(
    server: FakeServer, capsys: pytest.CaptureFixture[str]
) -> None:
    winner = {"by": "user:bob", "decision": "rejected", "at": "2026-05-01T10:00:00Z", "channel": "ui"}
    server.on("POST", f"/approvals/{RUN}.2-0/decision", problem(409, "already_decided", "decided", winner=winner))
    assert main(["approvals", "approve", RUN, OTHER]) == 5
    printed = capsys.readouterr()
    assert "rejected by user:bob" in printed.out
    assert f"{OTHER}.2-0  approved" in printed.out
    assert printed.err == "1 done, 1 not\n"


def test_a_dry_run_decides_nothing(server: FakeServer, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["approvals", "approve", RUN, OTHER, "--dry-run"]) == 0
    printed = capsys.readouterr()
    assert printed.out.count("would be approved") == 2
    assert printed.err == "nothing was done: --dry-run\n"
    assert [asked.method for asked in server.asked] == ["GET", "GET"]


def test_edited_arguments_are_those_of_one_call(server: FakeServer, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["approvals", "approve", RUN, "--args", '{"amount_usd": 20}']) == 0
    assert 'refund {"amount_usd": 20}' in capsys.readouterr().out
    [asked] = server.requests("POST", f"/approvals/{RUN}.2-0/decision")
    assert asked.body["edited_args"] == {"amount_usd": 20}


def test_a_missing_worker_is_told(server: FakeServer, capsys: pytest.CaptureFixture[str]) -> None:
    server.on("GET", "/gateway/workers", items())
    assert main(["approvals", "approve", RUN]) == 0
    assert "no worker can run 'issue_refund'" in capsys.readouterr().err


# show


def test_a_request_is_shown_whole(server: FakeServer, capsys: pytest.CaptureFixture[str]) -> None:
    server.on("GET", f"/approvals/{RUN}.2-0", Answer(decided(reason="fine").model_dump(mode="json")))
    assert main(["approvals", "show", f"{RUN}.2-0"]) == 0
    printed = capsys.readouterr().out
    assert f"args hash  {'ab' * 32}" in printed
    assert "by user:alice through cli" in printed
    assert "reason     fine" in printed
    assert "next" not in printed


def test_one_in_doubt_says_how_to_resolve_it(server: FakeServer, capsys: pytest.CaptureFixture[str]) -> None:
    doubtful = decided("in_doubt", attempt=2, reason="worker 'w' was lost")
    server.on("GET", f"/approvals/{RUN}.2-0", Answer(doubtful.model_dump(mode="json")))
    assert main(["approvals", "show", f"{RUN}.2-0"]) == 0
    shown = capsys.readouterr().out
    assert f"agentspan execution resolve {RUN}.2-0 --attempt 2" in shown
    assert "doubt      worker 'w' was lost\n" in shown, "whoever approved it did not say that"


def test_what_came_of_other_services_decisions_is_shown(server: FakeServer, capsys: pytest.CaptureFixture[str]) -> None:
    late = {"decision_id": "d2", "accepted": False, "code": "already_decided", "message": "alice was first"}
    attempts = [{"decision_id": "d1", "accepted": True, "by": "service:risk", "at": AT}, late | {"by": "x", "at": AT}]
    told = decided(attempts_total=2, attempts=attempts)
    server.on("GET", f"/approvals/{RUN}.2-0", Answer(told.model_dump(mode="json")))
    assert main(["approvals", "show", f"{RUN}.2-0"]) == 0
    shown = capsys.readouterr().out
    assert "attempts   2 decisions of other services, the last of them:\n" in shown
    assert "service:risk accepted\n" in shown
    assert "x refused (already_decided): alice was first\n" in shown


def test_an_unknown_request_is_not_found(server: FakeServer, capsys: pytest.CaptureFixture[str]) -> None:
    server.on("GET", f"/approvals/{RUN}.9-0", problem(404, "unknown_approval", "there is no such request"))
    assert main(["approvals", "show", f"{RUN}.9-0"]) == 4
    printed = capsys.readouterr()
    assert printed.out == ""
    assert printed.err.startswith("error: there is no such request\nnext:  ")


# list


def test_since_and_until_are_about_the_request(server: FakeServer, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["approvals", "list", "--since", "2026-05-02", "-o", "json"]) == 0
    assert json.loads(capsys.readouterr().out) == []
    within = ["--since", "2026-04-30", "--until", "2026-05-02"]
    assert main(["approvals", "list", *within, "--limit", "1", "-o", "json"]) == 0
    assert len(json.loads(capsys.readouterr().out)) == 1


LONG = {"address": "x" * 3_000, "amount_usd": 99, "note": 'a", amount_usd=1', "by\x1b": "\u202e"}
IN_SHORT = f'address="{"x" * 38}…, amount_usd=99, note="a\\", amount_usd=1", by\\x1b="\\u202e"'


def test_a_list_has_each_call_with_its_arguments_in_short(
    server: FakeServer, capsys: pytest.CaptureFixture[str]
) -> None:
    server.on("GET", "/approvals", items(record(args=LONG), record("3-0", args={str(n): n for n in range(99)})))
    assert main(["approvals", "list"]) == 0
    titles, first, second = capsys.readouterr().out.splitlines()
    assert titles.split() == ["APPROVAL", "STATE", "AGENT", "SINCE", "TOOL", "ARGS"]
    assert first.endswith(f"  issue_refund  {IN_SHORT}")
    assert second.endswith("…")


def test_a_list_says_until_when_where_anything_expires(server: FakeServer, capsys: pytest.CaptureFixture[str]) -> None:
    until = AT + timedelta(hours=2)
    server.on("GET", "/approvals", items(record(expires_at=until), record("3-0")))
    assert main(["approvals", "list"]) == 0
    titles, first, second = capsys.readouterr().out.splitlines()
    assert titles.split() == ["APPROVAL", "STATE", "AGENT", "SINCE", "EXPIRES", "TOOL", "ARGS"]
    at = titles.index("EXPIRES")
    assert first[at : at + 19] == f"{until.astimezone():%Y-%m-%d %H:%M:%S}"
    assert second[at : at + 19].isspace()


def test_watching_says_until_when(server: FakeServer, capsys: pytest.CaptureFixture[str]) -> None:
    until = AT + timedelta(hours=2)
    watched(server, items(record(expires_at=until), record("3-0")), output=Format.TABLE)
    first, second = capsys.readouterr().out.splitlines()
    assert first.endswith(f"  (until {until.astimezone():%Y-%m-%d %H:%M:%S})")
    assert "until" not in second


def test_those_of_one_run_are_asked_for(server: FakeServer) -> None:
    assert main(["approvals", "list", "--execution", RUN]) == 0
    assert server.requests("GET", "/approvals")[0].query["execution_id"] == [RUN]


class Enough(Exception):
    """Ends watching."""


def watched(server: FakeServer, *answers: Answer, output: Format = Format.JSONL) -> None:
    """Watch while the server answers these, and once more."""
    left = [*answers, items()]
    server.on("GET", "/approvals", lambda asked: left.pop(0))

    async def pause(_: float) -> None:
        if not left:
            raise Enough

    async def work() -> None:
        http = Http(server.url, client="cli", retry_for_s=0)
        try:
            await _approvals.watch(Server(http), [], ALWAYS, output, pause)
        finally:
            await http.close()

    with pytest.raises(Enough):
        asyncio.run(work())


def test_watching_shows_each_once_and_again_when_it_changes(
    server: FakeServer, capsys: pytest.CaptureFixture[str]
) -> None:
    watched(server, items(record()), items(record()), items(record(), record("3-0")), items(decided()))
    shown = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert [(one["call_id"], one["state"]) for one in shown] == [
        ("2-0", "pending"),
        ("3-0", "pending"),
        ("2-0", "approved"),
    ]


def test_watching_outlives_a_server_that_is_away(server: FakeServer, capsys: pytest.CaptureFixture[str]) -> None:
    away = problem(503, "not_ready", "the server is stopping")
    watched(server, away, away, items(record()), output=Format.TABLE)
    printed = capsys.readouterr()
    assert printed.err == "waiting for the server: the server is stopping\n"
    args = 'customer_id="cust_123", amount_usd=99.0, reason="duplicate charge"'
    assert printed.out.rstrip().endswith(f"pending   {RUN}.2-0  support_agent  issue_refund {args}")


# many


def test_a_list_follows_pages_until_it_has_enough(server: FakeServer, capsys: pytest.CaptureFixture[str]) -> None:
    def pages(asked: Asked) -> Answer:
        begin = int(asked.query.get("cursor", ["0"])[0])
        shown = [record(f"1-{number}").model_dump(mode="json") for number in range(begin, begin + 100)]
        return Answer({"items": shown, "cursor": str(begin + 100)})

    server.on("GET", "/approvals", pages)
    assert main(["approvals", "list", "--limit", "250", "-o", "json"]) == 0
    printed = capsys.readouterr()
    assert [one["call_id"] for one in json.loads(printed.out)] == [f"1-{number}" for number in range(250)]
    assert "the first 250; there may be more" in printed.err
    assert [asked.query.get("cursor") for asked in server.requests("GET", "/approvals")] == [None, ["100"], ["200"]]


def test_a_range_is_looked_for_on_every_page(server: FakeServer, capsys: pytest.CaptureFixture[str]) -> None:
    late = record("9-0", requested_at="2026-06-01T10:00:00Z").model_dump(mode="json")

    def pages(asked: Asked) -> Answer:
        if "cursor" in asked.query:
            return Answer({"items": [late], "cursor": None})
        return Answer({"items": [record("1-0").model_dump(mode="json")] * 100, "cursor": "next"})

    server.on("GET", "/approvals", pages)
    assert main(["approvals", "list", "--since", "2026-05-15", "-o", "json"]) == 0
    assert [one["call_id"] for one in json.loads(capsys.readouterr().out)] == ["9-0"]


def test_watching_says_that_it_looks_at_the_oldest_alone(
    server: FakeServer, capsys: pytest.CaptureFixture[str]
) -> None:
    many = Answer({"items": [record().model_dump(mode="json")] * _approvals.WATCHED, "cursor": "next"})
    watched(server, many, many)
    assert capsys.readouterr().err.count("those behind them are not shown") == 1
