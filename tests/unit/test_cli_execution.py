"""`agentspan execution list|show|events`: a run's story, and which runs called a tool."""

import json
from collections.abc import Iterator
from typing import Any

import pytest

from agentspan.cli import main
from tests.unit.cli_server import (
    AT,
    REFUND,
    RUN,
    Answer,
    Asked,
    FakeServer,
    event,
    execution,
    items,
    record,
    serving,
    tool_call,
    worker,
)

IDLE = "exec-idle"
LOOKED = "exec-looked"
IDS: dict[str, Any] = {"approval_id": f"{RUN}.2-0", "call_id": "2-0", "tool": "issue_refund"}
WAITING = event(5, "waiting", "waiting", **IDS, args=REFUND, args_hash="ab" * 32)
APPROVED = event(
    6, "approved", **IDS, by="user:bob", channel="ui", seen_args_hash="ab" * 32, args={"amount_usd": 5},
    args_hash="cd" * 32,
)  # fmt: skip
STARTED = event(7, "tool_started", call_id="2-0", tool="issue_refund", attempt=1, claim_id="c", worker="w", grant_s=5.0)
FAILED = event(
    8, "tool_result", call_id="2-0", tool="issue_refund", ok=False, attempt=1,
    error={"kind": "Boom", "message": "the bank\x1b[2J is closed"},
)  # fmt: skip
STORY = [tool_call(4), WAITING, APPROVED, STARTED, FAILED]


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator[FakeServer]:
    """A run with a refund that failed, and two others."""
    with serving() as fake:
        monkeypatch.setenv("AGENTSPAN_SERVER_URL", fake.url)
        fake.on("GET", f"/executions/{RUN}", Answer(execution("running", seq=8).model_dump(mode="json")))
        fake.on("GET", f"/executions/{RUN}/events", lambda asked: page_of(asked, STORY))
        fake.on("GET", "/gateway/workers", items(worker()))
        fake.approvals()
        yield fake


def page_of(asked: Asked, events: list[dict[str, Any]]) -> Answer:
    return Answer({"items": [one for one in events if one["seq"] > int(asked.query["after"][0])]})


def told(events: list[dict[str, Any]], server: FakeServer, capsys: pytest.CaptureFixture[str]) -> dict[str, Any]:
    """The only call, as `execution show` has it after these events."""
    server.on("GET", f"/executions/{RUN}/events", lambda asked: page_of(asked, events))
    assert main(["execution", "show", RUN, "-o", "jsonl"]) == 0
    [call] = json.loads(capsys.readouterr().out)["calls"]
    assert isinstance(call, dict)
    return call


def test_a_run_is_told_call_by_call(server: FakeServer, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["execution", "show", RUN]) == 0
    printed = capsys.readouterr().out
    assert "status     running" in printed
    assert '2-0   issue_refund  failed  {"amount_usd": 5}  the bank\\x1b[2J is closed' in printed


def test_its_events_are_read_once(server: FakeServer) -> None:
    assert main(["execution", "show", RUN]) == 0
    assert len(server.requests("GET", f"/executions/{RUN}/events")) == 1


def test_it_ends_with_what_to_do(server: FakeServer, capsys: pytest.CaptureFixture[str]) -> None:
    server.on("GET", f"/executions/{RUN}", Answer(execution("waiting", seq=5).model_dump(mode="json")))
    server.approvals(record())
    assert main(["execution", "show", RUN]) == 0
    assert f"next: agentspan agent respond {RUN}.2-0 --approve" in capsys.readouterr().err


OVER: dict[str, Any] = {"call_id": "2-0", "tool": "issue_refund"}


@pytest.mark.parametrize(
    ("last", "state", "outcome"),
    [
        (None, "asked for", ""),
        (WAITING, "waiting", ""),
        (APPROVED, "approved", "by user:bob"),
        (STARTED, "running", "attempt 1 at w"),
        (FAILED, "failed", "the bank\\x1b[2J is closed"),
        (event(8, "tool_result", **OVER, ok=True, value={"id": 1}, attempt=1), "ok", '{"id": 1}'),
        (
            event(8, "rejected", **IDS, by="user:bob", channel="ui", reason="no", seen_args_hash="ab" * 32),
            "rejected",
            "by user:bob: no",
        ),
        (event(8, "expired", **IDS, expires_at=AT.isoformat()), "expired", ""),
        (
            event(8, "in_doubt", **IDS, attempt=1, claim_id="c", worker="w", reason="lost"),
            "in_doubt",
            "attempt 1: lost",
        ),
        (
            event(8, "retry_scheduled", **OVER, turn=2, attempt=2, retry_at=AT.isoformat(), reason="error"),
            "retried",
            "attempt 2 is next: error",
        ),
    ],
)
def test_a_call_is_as_its_last_event_says(
    server: FakeServer,
    capsys: pytest.CaptureFixture[str],
    last: dict[str, Any] | None,
    state: str,
    outcome: str,
) -> None:
    call = told([tool_call(4), *([last] if last else [])], server, capsys)
    assert (call["state"], call["outcome"]) == (state, outcome)


# events


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        ([], [4, 5, 6, 7, 8]),
        (["--type", "approved", "--type", "waiting"], [5, 6]),
        (["--tool", "issue_refund", "--after", "6"], [7, 8]),
        (["--tool", "other"], []),
        (["--since", "2026-05-02"], []),
        (["--until", "2026-05-02", "--type", "tool_call"], [4]),
    ],
)
def test_events_are_filtered(
    server: FakeServer, capsys: pytest.CaptureFixture[str], options: list[str], expected: list[int]
) -> None:
    assert main(["execution", "events", RUN, *options, "-o", "json"]) == 0
    assert [one["seq"] for one in json.loads(capsys.readouterr().out)] == expected


def test_events_are_lines_for_people(server: FakeServer, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["execution", "events", RUN, "--type", "approved"]) == 0
    assert 'approved         issue_refund {"amount_usd": 5}' in capsys.readouterr().out
    assert main(["execution", "events", RUN, "--tool", "other"]) == 0
    printed = capsys.readouterr()
    assert (printed.out, printed.err) == ("", "no events fit\n")


def test_no_line_of_a_story_is_wider_than_a_page(server: FakeServer, capsys: pytest.CaptureFixture[str]) -> None:
    many_words = "The refund was made, and here is why. " * 40
    over = event(9, "tool_result", **OVER, ok=True, value={"note": many_words}, attempt=1)
    asked_for = tool_call(4) | {"args": {"note": "x" * 3000}}
    server.on("GET", f"/executions/{RUN}/events", lambda asked: page_of(asked, [asked_for, over]))
    run = execution("completed", output=many_words, prompt=many_words).model_dump(mode="json")
    server.on("GET", f"/executions/{RUN}", Answer(run))
    assert main(["execution", "show", RUN]) == 0
    printed = capsys.readouterr().out
    assert max(map(len, printed.splitlines())) <= 210
    assert " ".join(printed.split()).count("The refund was made, and here is why.") >= 40, "the output is whole"
    assert main(["execution", "events", RUN, "--type", "tool_result"]) == 0
    assert len(capsys.readouterr().out.rstrip()) <= 260, "of a result the beginning: JSON has it whole"
    assert main(["execution", "show", RUN, "-o", "json"]) == 0
    [call] = json.loads(capsys.readouterr().out)["calls"]
    assert call["args"] == {"note": "x" * 3000}


# list


def runs(server: FakeServer) -> None:
    """Three on two pages: one that waits with a refund, one that called nothing, one that looked somebody up."""
    one, two, three = (execution().model_dump(mode="json") for _ in range(3))
    two |= {"execution_id": IDLE, "totals": {}, "status": "running"}
    three |= {"execution_id": LOOKED, "totals": {"tool_calls": 1}, "status": "completed"}

    def pages(asked: Asked) -> Answer:
        is_second = "cursor" in asked.query
        shown = [three] if is_second else [one, two]
        return Answer({"items": shown, "cursor": None if is_second else "next", "as_of": AT.isoformat()})

    server.on("GET", "/executions", pages)
    looked = {**tool_call(2, gated=False), "execution_id": LOOKED, "tool": "lookup"}
    server.on("GET", f"/executions/{LOOKED}/events", lambda asked: page_of(asked, [looked]))


def test_runs_are_found_by_a_tool_that_they_called(server: FakeServer, capsys: pytest.CaptureFixture[str]) -> None:
    runs(server)
    assert main(["execution", "list", "--tool", "lookup", "--limit", "3", "-o", "json"]) == 0
    assert [one["execution_id"] for one in json.loads(capsys.readouterr().out)] == [RUN, IDLE, LOOKED]
    first, second = server.requests("GET", "/executions")
    assert (first.query, second.query) == (
        {"tool": ["lookup"], "limit": ["3"]},
        {"tool": ["lookup"], "limit": ["3"], "cursor": ["next"]},
    )
    assert len(server.asked) == 2, "the server looks into runs, the command does not"


def test_it_stops_looking_when_it_has_enough(server: FakeServer, capsys: pytest.CaptureFixture[str]) -> None:
    runs(server)
    assert main(["execution", "list", "--tool", "issue_refund", "--limit", "1", "-o", "json"]) == 0
    assert [one["execution_id"] for one in json.loads(capsys.readouterr().out)] == [RUN]
    assert len(server.requests("GET", "/executions")) == 1


def test_agent_list_is_the_same_list(server: FakeServer, capsys: pytest.CaptureFixture[str]) -> None:
    runs(server)
    filters = "--since 2026-05-01T08:00Z --until 2026-05-02T08:00Z --agent a --status paused"
    assert main(["execution", "list", *filters.split()]) == 0
    first = capsys.readouterr().out
    assert main(["agent", "list", *filters.split()]) == 0
    assert capsys.readouterr().out == first
    asked = server.requests("GET", "/executions")[0].query
    assert {name: asked[name] for name in ("from", "to", "agent", "status")} == {
        "from": ["2026-05-01T08:00:00+00:00"],
        "to": ["2026-05-02T08:00:00+00:00"],
        "agent": ["a"],
        "status": ["paused"],
    }
