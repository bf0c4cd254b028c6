"""The command line against the real server: a shift of somebody on call, from waiting runs to their ends.

One story, because its steps follow from each other; what each command does in itself stands in tests/unit/test_cli_*.
"""

import io
import json
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from agentspan.agents import AgentHandle
from agentspan.agents.testing import LocalServer, MockEvent
from agentspan.cli import main

OLD = """
from agentspan.agents import Agent, tool

@tool(approval_required=True)
def refund(amount_usd: float) -> str:
    "Pay back."
    return f"paid {amount_usd:g}"

desk = Agent(name="desk", model="scripted/desk", tools=[refund])
"""
REWORDED = OLD.replace("Pay back.", "Pay it back at once.")
CHANGED = OLD.replace("amount_usd", "amount_eur")
MODULES = {"cli_live_old": OLD, "cli_live_reworded": REWORDED, "cli_live_changed": CHANGED}


@pytest.fixture
def server(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[LocalServer]:
    """Its model asks for a refund, then says that it is done."""
    for name, text in MODULES.items():
        (tmp_path / f"{name}.py").write_text(text)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", list(sys.path))
    with LocalServer(tmp_path / "server") as server:
        server.scripted([MockEvent.tool_call("refund", {"amount_usd": 9.0}), "Done."], "desk")
        monkeypatch.setenv("AGENTSPAN_SERVER_URL", server.url)
        monkeypatch.setenv("AGENTSPAN_DATA", str(server.folder / "data"))
        yield server
    for name in MODULES:
        sys.modules.pop(name, None)


class Person:
    """Who types commands, and reads what they print."""

    def __init__(self, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
        self._capsys = capsys
        self._monkeypatch = monkeypatch

    def does(self, line: str, *words: str, code: int = 0, typing: str = "") -> list[Any]:
        """The lines of JSON that the command prints; `words` may have spaces in them."""
        self._monkeypatch.setattr(sys, "stdin", io.StringIO(typing))
        ended = main([*line.split(), *words, "-o", "jsonl"])
        printed = self._capsys.readouterr()
        assert ended == code, printed.err
        return [json.loads(text) for text in printed.out.splitlines()]


@pytest.mark.slow
def test_a_shift_at_the_terminal(
    server: LocalServer, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    person = Person(capsys, monkeypatch)
    ids = [
        person.does("agent run cli_live_old:desk --detach", f"Refund me, {number}")[0]["execution_id"]
        for number in range(3)
    ]
    with server.runtime() as runtime:
        for id_ in ids:
            next(event for event in AgentHandle(id_, runtime).stream(after=0) if event.type == "waiting")

    # steer one, and look at it
    assert person.does(f"agent pause {ids[0]} --reason lunch")[0]["outcome"] == "paused"
    person.does(f"agent pause {ids[0]}", code=1)
    assert person.does(f"agent resume {ids[0]}")[0]["outcome"] == "waiting"
    person.does(f"agent send {ids[0]}", "It is urgent.")
    [shown] = person.does(f"execution show {ids[0]}")
    assert [(call["tool"], call["state"]) for call in shown["calls"]] == [("refund", "waiting")]
    types = [event["type"] for event in person.does(f"execution events {ids[0]} --type paused --type message")]
    assert types == ["paused", "message"]

    # decide in bulk, with what was read
    waiting = person.does("approvals list --tool refund --agent desk")
    assert [record["execution_id"] for record in waiting] == ids
    typed = "".join(f"{json.dumps(record)}\n" for record in waiting)
    assert [one["outcome"] for one in person.does("approvals approve - --dry-run", typing=typed)] == (
        ["would be approved"] * 3
    )
    assert person.does("approvals reject --reason no", ids[2])[0]["outcome"] == "rejected"
    outcomes = person.does("approvals approve -", typing=typed, code=5)
    assert [one["outcome"] for one in outcomes] == ["approved", "approved", "refused"]

    # nobody serves them: say so, see which code fits, finish them with it
    [workers] = [check for check in person.does("doctor") if check["name"] == "workers"]
    assert workers["state"] == "warn"
    unfit = person.does(f"agent rebind cli_live_changed:desk {ids[0]} {ids[1]} --check", code=1)
    assert [one["fits"] for one in unfit] == [False, False]
    finished = person.does(f"agent rebind cli_live_reworded:desk {ids[0]} {ids[1]}")
    assert [(one["fits"], one["status"]) for one in finished] == [(True, "completed")] * 2
    [result] = person.does(f"execution events {ids[1]} --type tool_result")
    assert result["value"] == "paid 9"

    # how it stands in the end
    called = person.does("execution list --tool refund --since 1h")
    assert {run["execution_id"] for run in called} == set(ids)  # a list may be a moment late; one run's status is not
    assert {person.does(f"agent status {id_}")[0]["execution"]["status"] for id_ in ids} == {"completed"}
    assert person.does("server status")[0]["url"] == server.url
    assert [check["name"] for check in person.does("doctor") if check["state"] == "fail"] == []
