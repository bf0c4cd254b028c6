"""`agentspan agent run|serve`: an agent from a module in the current folder, and how its run ends here."""

import json
import signal
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from agentspan.agents import Agent, AgentRuntime, ConfigurationError
from agentspan.cli import _run, main
from tests.unit.cli_server import RUN, Answer, FakeServer, event, execution, serving, sse, tool_call

MODULE = """
from agentspan.agents import Agent, tool

@tool
def look(email: str) -> dict[str, str]:
    "Look somebody up."
    return {"id": email}

helper = Agent(name="helper", model="replay/helper", tools=[look])
other = 1
"""


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A folder with a module that nothing else has."""
    (tmp_path / "cli_test_agents.py").write_text(MODULE)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", list(sys.path))
    yield tmp_path
    sys.modules.pop("cli_test_agents", None)


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator[FakeServer]:
    """It starts any run, and has no task for anybody."""
    with serving() as fake:
        monkeypatch.setenv("AGENTSPAN_SERVER_URL", fake.url)
        fake.on("GET", "", Answer())
        fake.on("PUT", "/agents", Answer({"name": "helper", "version": "1"}))
        fake.on("POST", "/executions", Answer({"execution_id": RUN, "seq": 1, "position": "0:1", "created": True}))
        fake.on("GET", f"/executions/{RUN}", Answer(execution("running").model_dump(mode="json")))
        fake.on("POST", "/gateway/sessions", Answer({"session_id": "s1", "lease_s": 10.0, "grant_s": 5.0}))
        fake.on("GET", "/gateway/sessions/s1/tasks", Answer(b'{"lane":"ping"}\n', content_type="application/x-ndjson"))
        fake.on("DELETE", "/gateway/sessions/s1", Answer(b"", 204))
        yield fake


def ends_with(server: FakeServer, *events: dict[str, Any]) -> None:
    numbered = [{**event, "seq": seq} for seq, event in enumerate(events, start=1)]
    server.on("POST", "/streams", sse(*numbered))


def run(*options: str) -> int:
    return main(["agent", "run", *options])


def test_a_run_is_followed_to_its_answer(folder: Path, server: FakeServer, capsys: pytest.CaptureFixture[str]) -> None:
    ends_with(server, tool_call(3), event(4, "done", "completed", output={"answer": 42}))
    assert run("cli_test_agents:helper", "Help me", "--metadata", "ticket=T-1", "-m", "note=a=b") == 0
    printed = capsys.readouterr()
    assert json.loads(printed.out) == {"answer": 42}
    assert f"run {RUN}" in printed.err
    assert "tool_call" in printed.err
    [asked] = server.requests("POST", "/executions")
    assert (asked.body["prompt"], asked.body["metadata"]) == ("Help me", {"ticket": "T-1", "note": "a=b"})


def test_a_text_answer_is_printed_as_text(folder: Path, server: FakeServer, capsys: pytest.CaptureFixture[str]) -> None:
    ends_with(server, event(2, "done", "completed", output="All good.\nBye\x07"))
    assert run("cli_test_agents:helper", "Help me") == 0
    assert capsys.readouterr().out == "All good.\nBye\\x07\n"


def test_a_run_that_waits_says_how_to_decide(
    folder: Path, server: FakeServer, capsys: pytest.CaptureFixture[str]
) -> None:
    waits = {"approval_id": f"{RUN}.2-0", "call_id": "2-0", "tool": "look", "args": {}, "args_hash": "ab" * 32}
    cancelled = event(4, "cancelled", "cancelled", by="user:alice", channel="ui")
    ends_with(server, event(3, "waiting", "waiting", **waits), cancelled)
    assert run("cli_test_agents:helper", "Help me") == 1
    assert f"agentspan agent respond {RUN}.2-0 --approve" in capsys.readouterr().err


def test_a_failed_run_fails(folder: Path, server: FakeServer, capsys: pytest.CaptureFixture[str]) -> None:
    ends_with(server, event(2, "failed", "failed", error={"kind": "max_turns", "message": "no answer after 25 turns"}))
    assert run("cli_test_agents:helper", "Help me") == 1
    printed = capsys.readouterr()
    assert printed.out == ""
    assert "no answer after 25 turns" in printed.err


def test_jsonl_prints_the_events(folder: Path, server: FakeServer, capsys: pytest.CaptureFixture[str]) -> None:
    ends_with(server, tool_call(3), event(4, "done", "completed", output="Done."))
    assert run("cli_test_agents:helper", "Help me", "-o", "jsonl") == 0
    assert [json.loads(line)["type"] for line in capsys.readouterr().out.splitlines()] == ["tool_call", "done"]


def test_detached_it_prints_the_id_and_offers_no_tools(
    folder: Path, server: FakeServer, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run("cli_test_agents:helper", "Help me", "--detach") == 0
    printed = capsys.readouterr()
    assert printed.out == f"{RUN}\n"
    assert "agentspan agent serve cli_test_agents:helper" in printed.err
    assert server.requests("POST", "/gateway/sessions") == []


def test_detached_json_is_the_reference(folder: Path, server: FakeServer, capsys: pytest.CaptureFixture[str]) -> None:
    assert run("cli_test_agents:helper", "Help me", "--detach", "-o", "jsonl") == 0
    assert json.loads(capsys.readouterr().out)["execution_id"] == RUN


SIGNALS = pytest.mark.parametrize(("signum", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])


@SIGNALS
def test_leaving_a_run_says_that_it_goes_on(
    signum: signal.Signals,
    code: int,
    folder: Path,
    server: FakeServer,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setattr(AgentRuntime, "iterate", lambda *_: signal.raise_signal(signum))
    assert run("cli_test_agents:helper", "Help me") == code
    assert f"{RUN} goes on without you" in capsys.readouterr().err


@SIGNALS
def test_one_who_leaves_while_a_run_starts_is_told_where_it_shows(
    signum: signal.Signals,
    code: int,
    folder: Path,
    server: FakeServer,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setattr(AgentRuntime, "start", lambda *_, **__: signal.raise_signal(signum))
    assert run("cli_test_agents:helper", "Help me") == code
    assert "if it has begun, `agentspan agent list --agent helper` shows it" in capsys.readouterr().err


@SIGNALS
def test_a_second_signal_leaves_what_is_in_hand(
    signum: signal.Signals, code: int, folder: Path, server: FakeServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    left: list[AgentRuntime] = []

    def cut_short(runtime: AgentRuntime) -> None:
        left.append(runtime)
        signal.raise_signal(signum)

    monkeypatch.setattr(AgentRuntime, "iterate", lambda *_: signal.raise_signal(signum))
    with monkeypatch.context() as cut:
        cut.setattr(AgentRuntime, "close", cut_short)
        assert run("cli_test_agents:helper", "Help me") == code
    assert signal.getsignal(signal.SIGTERM) is signal.SIG_DFL
    for runtime in left:  # or its worker would look for a server that is gone, and tell the tests behind this one
        runtime.close()


def test_one_who_cuts_a_stop_short_is_told_what_becomes_of_the_calls(
    folder: Path, server: FakeServer, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def served(self: AgentRuntime, *agents: Agent, blocking: bool = True) -> None:
        if blocking:
            raise KeyboardInterrupt

    monkeypatch.setattr(AgentRuntime, "serve", served)
    assert main(["agent", "serve", "cli_test_agents:helper"]) == 130
    assert "cut short: a call that was running is run again by another worker, or" in capsys.readouterr().err


def test_serving_says_what_until_it_is_interrupted(
    folder: Path, server: FakeServer, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    served: list[tuple[tuple[Agent, ...], bool]] = []
    monkeypatch.setattr(AgentRuntime, "serve", lambda self, *agents, blocking=True: served.append((agents, blocking)))
    assert main(["agent", "serve", "cli_test_agents:helper"]) == 0
    assert [blocking for _, blocking in served] == [False, True]
    assert "serving helper" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("target", "says"),
    [
        ("cli_test_agents", "write module:agent"),
        ("cli_test_agents:", "write module:agent"),
        ("cli_test_agents:helpr", "did you mean 'helper'"),
        ("cli_test_agents:other", "its agents: helper"),
        ("cli_test_nothing:helper", "there is no module 'cli_test_nothing'"),
        ("cli_test_agents.sub:helper", "there is no module 'cli_test_agents.sub'"),
    ],
)
def test_a_target_that_is_no_agent_is_refused(folder: Path, target: str, says: str) -> None:
    with pytest.raises(ConfigurationError, match=says):
        _run.load_agent(target, folder)


@pytest.mark.parametrize("path", ["sub/cli_test_inner.py", "./sub/cli_test_inner.py", "sub/cli_test_inner"])
def test_a_files_path_means_its_module(folder: Path, path: str) -> None:
    (folder / "sub").mkdir()
    (folder / "sub" / "cli_test_inner.py").write_text("from cli_test_agents import helper\n")
    assert _run.load_agent(f"{path}:helper", folder).name == "helper"
    assert _run.load_agent(f"{folder}/{path}:helper", folder).name == "helper"


def test_a_path_that_is_no_module_of_the_folder_says_what_to_write(folder: Path) -> None:
    with pytest.raises(ConfigurationError, match=r"there is no file '.*nothing.py': write module:agent"):
        _run.load_agent("nothing.py:helper", folder)
    (folder / "sub").mkdir()
    with pytest.raises(ConfigurationError, match=r"go to the folder .*, as in cli_test_agents:helper"):
        _run.load_agent("../cli_test_agents.py:helper", folder / "sub")


def test_a_module_that_lacks_one_of_its_own_imports_says_which(folder: Path) -> None:
    (folder / "cli_test_broken.py").write_text("import cli_test_absent\n")
    with pytest.raises(
        ConfigurationError, match=r"ModuleNotFoundError: No module named 'cli_test_absent' .*broken.py:1"
    ):
        _run.load_agent("cli_test_broken:agent", folder)


@pytest.mark.parametrize("metadata", ["ticket", "=T-1"])
def test_metadata_that_is_no_pair_is_refused(folder: Path, server: FakeServer, metadata: str) -> None:
    assert run("cli_test_agents:helper", "Help me", "--metadata", metadata) == 2
    assert server.asked == []


def test_an_unknown_agent_is_a_wrong_command_line(folder: Path, server: FakeServer) -> None:
    assert run("cli_test_agents:nobody", "Help me") == 2
