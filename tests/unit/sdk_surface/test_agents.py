"""What an agent may say of its runs: instructions by a function, temperature, time, and how many calls of a tool at
once."""

import threading
from typing import Any

import pytest

from agentspan.agents import Agent, ConfigurationError, run, start, tool
from tests.unit.sdk_core import Reply
from tests.unit.sdk_server import SmallServer
from tests.unit.sdk_surface.conftest import refund


def test_instructions_may_be_a_function_that_is_asked_at_each_start(direct: SmallServer) -> None:
    asked: list[int] = []

    def instructions() -> str:
        asked.append(1)
        return f"Today is day {len(asked)}."

    agent = Agent("daily", "test/model", instructions)
    assert asked == []
    first, second = start(agent, "go"), start(agent, "go")
    texts = [definition.instructions for definition in direct.definitions.values()]
    assert texts == ["Today is day 1.", "Today is day 2."]
    versions = [direct.events[handle.execution_id][0].agent_version for handle in (first, second)]
    assert len(set(versions)) == 2


async def later() -> str:
    return "x"


@pytest.mark.parametrize(
    ("instructions", "says"),
    [
        (lambda prompt: "x", "is called without arguments"),
        (later, "is an async function; make it a plain one"),
    ],
)
def test_instructions_that_cannot_be_called_are_refused_at_once(instructions: Any, says: str) -> None:
    with pytest.raises(ConfigurationError, match=says):
        Agent("a", "p/m", instructions)


def test_instructions_that_return_no_text_are_refused() -> None:
    with pytest.raises(ConfigurationError, match=r"instructions\(\) returned a NoneType; return the text"):
        _ = Agent("a", "p/m", lambda: None).definition  # type: ignore[arg-type, return-value]


def test_temperature_and_time_go_with_the_agent_and_change_its_version() -> None:
    plain = Agent("a", "p/m").definition
    warm = Agent("a", "p/m", temperature=0.7, timeout_s=60).definition
    assert (warm.temperature, warm.timeout_s) == (0.7, 60)
    assert warm.version != plain.version
    assert plain.version == "a752608fbd88"  # what it was before there were such fields
    with pytest.raises(ConfigurationError, match="temperature"):
        Agent("a", "p/m", temperature=3)


def test_an_agents_time_limits_its_runs_and_a_starts_own_goes_before_it(server: SmallServer) -> None:
    agent = Agent("slow", "test/model", timeout_s=60, tools=[refund])
    deadlines = []
    for timeout_s in (None, 5):
        handle = start(agent, "pay", timeout_s=timeout_s)
        started = handle.stream(after=0).__next__().data
        assert started.type == "started"
        assert started.deadline_at is not None
        deadlines.append(round((started.deadline_at - started.started_at).total_seconds()))
    assert deadlines == [60, 5]


def test_a_tool_with_a_limit_runs_no_more_at_once(server: SmallServer) -> None:
    lock, now, most = threading.Lock(), [0], [0]
    gate = threading.Barrier(2, timeout=10)

    @tool(concurrency=2)
    def narrow(number: int) -> int:
        "Two at a time."
        with lock:
            now[0] += 1
            most[0] = max(most[0], now[0])
        gate.wait()
        with lock:
            now[0] -= 1
        return number

    script: list[Reply] = [("", [("narrow", {"number": n}) for n in range(6)]), ("done", [])]
    server.model = lambda turn: script[turn]
    result = run(Agent("narrow", "test/model", tools=[narrow]), "go")
    assert [call.result for call in result.tool_calls] == list(range(6))
    assert most == [2]


def test_a_limit_of_none_is_refused() -> None:
    with pytest.raises(ConfigurationError, match="concurrency=0 runs none; it is a number, at least 1"):
        tool(concurrency=0)(refund.function)
