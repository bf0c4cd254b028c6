"""`agentspan agent rebind` and `tool-runner MODULE:AGENT`: code of today for runs that began yesterday."""

import json
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from agentspan.agents import Agent, AgentRuntime
from agentspan.cli import main
from tests.unit.cli_server import (
    AT,
    RUN,
    Answer,
    FakeServer,
    event,
    execution,
    serving,
    sse,
    tool_call,
)

MODULE = """
from agentspan.agents import Agent, tool

@tool(approval_required=True)
def issue_refund(customer_id: str, amount_usd: float, reason: str) -> str:
    "Pay back."
    return "paid"

support = Agent(name="support_agent", model="replay/support", tools=[issue_refund])
other = Agent(name="other", model="replay/other")
bare = Agent(name="support_agent", model="replay/support")
"""
TARGET = "cli_rebind_agents:support"


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    (tmp_path / "cli_rebind_agents.py").write_text(MODULE)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", list(sys.path))
    yield tmp_path
    sys.modules.pop("cli_rebind_agents", None)


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator[FakeServer]:
    """One run of an earlier version waits with a refund."""
    with serving() as fake:
        monkeypatch.setenv("AGENTSPAN_SERVER_URL", fake.url)
        stands(fake)
        yield fake


@pytest.fixture
def schema(folder: Path) -> str:
    """What the refund tool takes, by its hash."""
    from agentspan.cli._run import load_agent

    found = load_agent(TARGET, folder).definition.tool("issue_refund")
    assert found is not None
    return found.input_schema_hash


def stands(fake: FakeServer, *events: dict[str, Any], **changes: Any) -> None:
    run = execution(**{"seq": 9, **changes}).model_dump(mode="json")
    fake.on("GET", "/executions", Answer({"items": [run], "cursor": None, "as_of": AT.isoformat()}))
    fake.on("GET", f"/executions/{RUN}", Answer(run))
    fake.on("GET", f"/executions/{RUN}/events", Answer({"items": list(events)}))


def called(schema_hash: str, **changes: Any) -> dict[str, Any]:
    return {**tool_call(9), "input_schema_hash": schema_hash, **changes}


def check(*options: str) -> int:
    return main(["agent", "rebind", *options, "--check", "-o", "jsonl"])


def test_code_with_the_same_parameters_fits(
    server: FakeServer, schema: str, capsys: pytest.CaptureFixture[str]
) -> None:
    stands(server, called(schema))
    assert check(TARGET) == 0
    [shown] = map(json.loads, capsys.readouterr().out.splitlines())
    assert (shown["execution_id"], shown["fits"], shown["problems"]) == (RUN, True, [])
    assert shown["notes"] == ["it keeps the model, instructions and tools of version 1a2b3c"]
    asked = server.requests("GET", "/executions")[0].query
    assert (asked["agent"], asked["status"]) == (["support_agent"], ["running", "waiting", "paused"])


def test_a_tool_with_other_parameters_does_not(
    server: FakeServer, folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    stands(server, called("ee" * 8))
    assert check(TARGET, RUN) == 1
    [problem] = json.loads(capsys.readouterr().out)["problems"]
    assert problem == (
        "tool 'issue_refund' takes other parameters now, and call 2-0 has arguments for the old ones: "
        "serve the code of version 1a2b3c, or reject the call"
    )


def test_a_tool_that_is_gone_does_not(server: FakeServer, folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    stands(server, called("ee" * 8))
    assert check("cli_rebind_agents:bare") == 1
    assert "tool 'issue_refund' is not there any more: put it back" in capsys.readouterr().out


def test_a_call_that_is_over_keeps_nobody(server: FakeServer, folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    over = event(10, "tool_result", call_id="2-0", tool="issue_refund", ok=True, value="paid", attempt=1)
    stands(server, called("ee" * 8), over, seq=10)
    assert check(TARGET) == 0
    assert "takes other parameters now" in json.loads(capsys.readouterr().out)["notes"][1]


@pytest.mark.parametrize(
    ("target", "changes", "says"),
    [
        ("cli_rebind_agents:other", {}, "it is a run of agent 'support_agent', not of 'other'"),
        (TARGET, {"status": "completed"}, "it is completed: it has ended"),
    ],
)
def test_a_run_that_cannot_be_finished_says_why(
    server: FakeServer,
    folder: Path,
    capsys: pytest.CaptureFixture[str],
    target: str,
    changes: dict[str, Any],
    says: str,
) -> None:
    stands(server, **changes)
    assert main(["agent", "rebind", target, RUN]) == 1
    assert says in capsys.readouterr().out
    assert server.requests("POST", "/gateway/sessions") == []


def test_without_open_runs_there_is_nothing_to_finish(
    server: FakeServer, folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    server.on("GET", "/executions", Answer({"items": [], "cursor": None, "as_of": AT.isoformat()}))
    assert main(["agent", "rebind", TARGET, "-o", "json"]) == 0
    printed = capsys.readouterr()
    assert json.loads(printed.out) == []
    assert "no run of 'support_agent' is open" in printed.err


@pytest.fixture
def served(monkeypatch: pytest.MonkeyPatch) -> list[tuple[tuple[Agent, ...], bool, bool | None]]:
    """What was served, how, and whether a server might have been started for it."""
    calls: list[tuple[tuple[Agent, ...], bool, bool | None]] = []

    def serve(self: AgentRuntime, *agents: Agent, blocking: bool = True) -> None:
        calls.append((agents, blocking, self._autostart))

    monkeypatch.setattr(AgentRuntime, "serve", serve)
    return calls


def test_it_serves_until_the_runs_have_ended(
    server: FakeServer,
    schema: str,
    served: list[tuple[tuple[Agent, ...], bool, bool | None]],
    capsys: pytest.CaptureFixture[str],
) -> None:
    stands(server, called(schema))
    server.on("POST", "/streams", sse(event(10, "done", "completed", output="Done.")))
    assert main(["agent", "rebind", TARGET]) == 0
    printed = capsys.readouterr()
    assert "serving support_agent, until 1 run has ended" in printed.err
    assert f"{RUN}    10" in printed.err
    assert printed.out.splitlines()[1].split()[:2] == [RUN, "1a2b3c"]
    assert [(agents[0].name, blocking) for agents, blocking, _ in served] == [("support_agent", False)]


def test_having_enough_leaves_the_runs_going(
    server: FakeServer,
    schema: str,
    served: list[tuple[tuple[Agent, ...], bool, bool | None]],
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    async def interrupted(*_: object) -> None:
        raise KeyboardInterrupt

    stands(server, called(schema))
    monkeypatch.setattr("agentspan.cli._rebind._follow", interrupted)
    assert main(["agent", "rebind", TARGET]) == 130
    assert f"`agentspan agent serve {TARGET}`" in capsys.readouterr().err


def test_a_tool_runner_serves_agents_and_starts_no_server(
    server: FakeServer,
    folder: Path,
    served: list[tuple[tuple[Agent, ...], bool, bool | None]],
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert main(["tool-runner", TARGET, "cli_rebind_agents:other"]) == 0
    assert [([agent.name for agent in agents], blocking, starts) for agents, blocking, starts in served] == [
        (["support_agent", "other"], False, False),
        (["support_agent", "other"], True, False),
    ]
    assert "serving support_agent, other" in capsys.readouterr().err


def test_a_tool_runner_without_a_server_ends_as_unreachable(
    folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    with serving() as gone:
        monkeypatch.setenv("AGENTSPAN_SERVER_URL", gone.url)
    assert main(["tool-runner", TARGET]) == 3
    assert "agentspan server start" in capsys.readouterr().err
