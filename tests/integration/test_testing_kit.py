"""The testing kit's server: the real one, asked and answered by a test, and runs recorded on it."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from agentspan.agents import Agent, AgentEvent, AgentHandle, AgentRuntime, ServerUnavailable, ToolContext, tool
from agentspan.agents.testing import (
    LocalServer,
    MockEvent,
    ModelAsked,
    Replayer,
    ScriptedModel,
    approve,
    expect,
    recorded_turns,
    reject,
)

pytest_plugins = ["pytester"]

KEYS: list[str] = []


@tool(approval_required=True)
def refund(amount_usd: float, ctx: ToolContext) -> str:
    """Pay back."""
    KEYS.append(ctx.idempotency_key)
    return f"paid {amount_usd:g}"


AGENT = Agent("support", "anthropic/claude-sonnet-4-6", "Be kind.", tools=[refund])
REFUND = MockEvent.tool_call("refund", {"amount_usd": 9.0})


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LocalServer]:
    with LocalServer(tmp_path_factory.mktemp("kit")) as server:
        yield server


@pytest.fixture
def runtime(server: LocalServer) -> Iterator[AgentRuntime]:
    with server.runtime() as runtime:
        yield runtime


def until(handle: AgentHandle, type_: str) -> AgentEvent:
    return next(event for event in handle.stream(after=0) if event.type == type_)


def test_the_real_server_asks_the_test_what_the_model_says(server: LocalServer, runtime: AgentRuntime) -> None:
    def answer(asked: ModelAsked) -> str:
        last: Any = asked.messages[-1]
        return f"It is {last.value}."

    model = server.scripted([[MockEvent.thinking("hm"), MockEvent.says("One moment."), REFUND], answer])
    handle = runtime.start(model.plays(AGENT), "Refund me", metadata={"ticket": "t1"})
    until(handle, "waiting")
    handle.approve()
    expect(handle.result()).completed().output("It is paid 9.").approved("refund").ran_tool("refund").called_once(
        "refund"
    )
    assert [asked.turn for asked in model.asked] == [1, 2]
    assert model.asked[0].instructions == "Be kind."
    assert model.asked[0].metadata == {"ticket": "t1"}
    reply: Any = model.asked[1].messages[1]
    assert (reply.text, reply.blocks) == ("One moment.", ({"type": "thinking", "thinking": "hm"},))


def failing(asked: ModelAsked) -> str:
    raise LookupError(f"no line for turn {asked.turn}")


@pytest.mark.parametrize(
    ("turns", "says"),
    [
        ([MockEvent.failed("the model is down")], "the model is down"),
        ([failing], "the script of model 'broken' raised LookupError: no line for turn 1"),
        (
            [lambda asked: MockEvent.waiting()],
            "the script of model 'broken' raised ScriptError: scripted model 'broken', turns[0]: waiting is nothing "
            "that a model says. Next: take the line out: with the real server it happens for real.",
        ),
        (
            [MockEvent.tool_call("fly")],
            "scripted model 'broken' has 1 turns and all are played: add turn 2, or end turn 1 without tool calls",
        ),
    ],
)
def test_a_script_that_fails_fails_the_run_with_its_words(
    server: LocalServer, runtime: AgentRuntime, turns: list[Any], says: str
) -> None:
    result = runtime.start(server.scripted(turns, "broken").plays(AGENT), "hi").result(timeout=60)
    expect(result).failed()
    assert result.error is not None
    assert result.error.message == says


def test_a_model_that_no_test_scripts_any_more_is_named(server: LocalServer, runtime: AgentRuntime) -> None:
    result = runtime.start(ScriptedModel("gone", ["hi"]).plays(AGENT), "hi").result(timeout=60)
    expect(result).failed("no test scripts model 'gone' now; scripted are: ")


def test_a_real_model_is_not_called_by_a_test(
    tmp_path: Path, runtime: AgentRuntime, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("ANTHROPIC_API_KEY", "sk-ant-of-the-developer")
    assert "ANTHROPIC_API_KEY" not in LocalServer(tmp_path).environment()
    assert LocalServer(tmp_path, real_models=True).environment()["ANTHROPIC_API_KEY"] == "sk-ant-of-the-developer"


def test_a_tests_server_plays_recorded_turns_and_has_no_other_setting_of_a_server_nearby(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AGENTSPAN_REPLAY_DIR", "/turns")
    monkeypatch.setenv("AGENTSPAN_LOG", "kafka://elsewhere")
    found = LocalServer(tmp_path).environment()
    assert found["AGENTSPAN_REPLAY_DIR"] == "/turns"
    assert "AGENTSPAN_LOG" not in found


@pytest.mark.slow
def test_a_run_survives_the_servers_crash(tmp_path: Path) -> None:
    with LocalServer(tmp_path) as server:
        agent = server.plays(AGENT, [REFUND, "Refunded."])
        with server.runtime() as runtime:
            handle = runtime.start(agent, "Refund me")
            until(handle, "waiting")
            url = server.url
            server.kill()
            server.start()
            assert server.url == url
            handle.approve()
            expect(handle.result(timeout=60)).completed().output("Refunded.").called_once("refund").ran_tool("refund")


def test_a_run_is_recorded_and_drives_a_server_again(
    server: LocalServer, runtime: AgentRuntime, tmp_path: Path
) -> None:
    agent = server.plays(AGENT, [[REFUND, MockEvent.tool_call("refund", {"amount_usd": 500.0})], "Half of it."])
    path = tmp_path / "recordings" / "run.json"
    reviewers = [reject(args={"amount_usd": 500.0}, reason="too much"), approve(reason="small")]
    live = Replayer(path, lambda: runtime)(agent, "Refund me", approvals=reviewers)
    expect(live).completed().rejected(reason="too much").ran_tool("refund").output("Half of it.")
    again = Replayer(path)(agent, "Refund me")
    assert [event.type for event in again.events] == [event.type for event in live.events]
    assert str(tmp_path) not in path.read_text()

    model = server.scripted(recorded_turns(path), agent.name)
    handle = runtime.start(model.plays(AGENT), "Refund me")
    for event in handle.stream(after=0):
        if event.type == "waiting":
            handle.reject("no", event.call_id)
    expect(handle.result()).completed().not_executed("refund").output("Half of it.")


def test_a_run_that_only_waits_is_recorded_as_far_as_it_came(
    server: LocalServer, runtime: AgentRuntime, tmp_path: Path
) -> None:
    agent = server.plays(AGENT, [[REFUND, MockEvent.tool_call("refund", {"amount_usd": 500.0})], "Half of it."])
    live = Replayer(tmp_path / "run.json", lambda: runtime)(
        agent, "Refund me", approvals=approve(args={"amount_usd": 9})
    )
    expect(live).waiting().ran_tool("refund").waited_for("refund", {"amount_usd": 500.0})


def test_a_server_that_ends_at_once_shows_its_log(tmp_path: Path) -> None:
    with pytest.raises(ServerUnavailable, match=r"ended with exit code 2: a setting .* lease_s: Inp"):
        LocalServer(tmp_path, environment={"AGENTSPAN_LEASE_S": "none"}).start()


@pytest.mark.slow
def test_the_fixtures_and_the_option_in_an_authors_suite(pytester: pytest.Pytester) -> None:
    pytester.makeini("[pytest]\nasyncio_default_fixture_loop_scope = function\n")
    pytester.makepyfile(
        test_it="""
        from agentspan.agents import Agent, tool
        from agentspan.agents.testing import MockEvent, approve, expect

        @tool(approval_required=True)
        def refund(amount_usd: float) -> str:
            "Pay back."
            return f"paid {amount_usd:g}"

        AGENT = Agent("support", "anthropic/claude-sonnet-4-6", tools=[refund])
        TURNS = [MockEvent.tool_call("refund", {"amount_usd": 9.0}), "Refunded."]

        def test_live(agentspan_runtime, agentspan_scripted):
            handle = agentspan_runtime.start(agentspan_scripted(TURNS).plays(AGENT), "Refund me")
            for event in handle.stream():
                if event.type == "waiting":
                    handle.approve()
            expect(handle.result()).completed().output("Refunded.")

        def test_recorded(agentspan_replay, agentspan_scripted):
            agent = agentspan_scripted(TURNS, "recorded").plays(AGENT)
            result = agentspan_replay(agent, "Refund me", approvals=approve("refund"))
            expect(result).completed().approved("refund").output("Refunded.")
        """
    )
    first = pytester.runpytest_subprocess("-p", "no:cacheprovider", "--agentspan-record")
    first.assert_outcomes(passed=2)
    assert (pytester.path / "recordings" / "test_it" / "test_recorded.json").is_file()
    pytester.runpytest_subprocess("-p", "no:cacheprovider", "-k", "recorded").assert_outcomes(passed=1)
