"""What becomes of `serve` and `start` when the worker itself ends: its error is theirs, and nothing waits for ever.

Apart from the other runs through the runtime because here the worker is broken on purpose.
"""

from collections.abc import Iterator
from typing import Never

import pytest

from agentspan.agents import Agent, AgentRuntime, tool
from agentspan.agents._gateway import Gateway
from tests.unit.sdk_server import SmallServer


@tool
def look_up(email: str) -> dict[str, str]:
    """Find a customer."""
    return {"id": email}


AGENT = Agent("support", "test/model", tools=[look_up])


@pytest.fixture
def server() -> Iterator[SmallServer]:
    server = SmallServer(lambda turn: ("ok", []))
    yield server
    server.close()


def _broken(*_: object) -> Never:
    raise RuntimeError("a mistake of the worker's own")


@pytest.mark.parametrize("broken", ["open_session", "tasks"], ids=["before it is announced", "later"])
def test_serving_ends_with_what_ended_the_worker(
    server: SmallServer, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture, broken: str
) -> None:
    monkeypatch.setattr(Gateway, broken, _broken)
    with pytest.raises(RuntimeError, match="of the worker's own"):
        AgentRuntime(server_url=server.url).serve(AGENT)
    assert "the worker ended" in caplog.text


async def test_serving_asynchronously_ends_with_it_too(server: SmallServer, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Gateway, "tasks", _broken)
    with pytest.raises(RuntimeError, match="of the worker's own"):
        await AgentRuntime(server_url=server.url).serve_async(AGENT)


def start_again_and_again(runtime: AgentRuntime) -> Never:
    while True:
        runtime.start(AGENT, "refund me")


def test_a_worker_that_has_ended_is_not_offered_more(server: SmallServer, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Gateway, "tasks", _broken)
    with AgentRuntime(server_url=server.url) as runtime:
        runtime.serve(AGENT, blocking=False)
        with pytest.raises(RuntimeError, match="of the worker's own"):
            start_again_and_again(runtime)
