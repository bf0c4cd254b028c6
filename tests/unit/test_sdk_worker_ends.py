"""What becomes of `serve` and `start` when the worker itself ends: its error is theirs, and nothing waits for ever.

Apart from the other runs through the runtime because here the worker is broken on purpose.
"""

import asyncio
from collections.abc import Iterator
from typing import Never

import pytest

from agentspan.agents import Agent, AgentRuntime, tool
from agentspan.agents._gateway import Gateway
from agentspan.agents.worker import Worker
from agentspan.agents.worker._last_words import in_hand_ended
from tests.unit.sdk_server import SmallServer
from tests.unit.worker_gateway import turned


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


class Interrupted(BaseException):
    """As KeyboardInterrupt, which asyncio would let end the loop of the test."""


def test_a_close_that_is_interrupted_disconnects_all_the_same(
    server: SmallServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def interrupted(worker: Worker, flush_s: float) -> None:
        raise Interrupted

    runtime = AgentRuntime(server_url=server.url)
    runtime.serve(AGENT, blocking=False)
    connection = runtime._connected()
    monkeypatch.setattr(Worker, "stop", interrupted)
    with pytest.raises(Interrupted):
        runtime.close()
    assert connection._parts.http._session.closed


async def test_a_worker_that_waits_for_its_last_calls_says_so(caplog: pytest.LogCaptureFixture) -> None:
    held = {f"exec-1/1-{n}/1": asyncio.get_running_loop().create_future() for n in range(5)}
    held["exec-1/1-0/1"].set_result(None)
    waiting = asyncio.ensure_future(in_hand_ended(held, 60, quietly_s=0))
    await turned(lambda: bool(caplog.messages))
    assert caplog.messages == [
        "stopping: exec-1/1-1/1, exec-1/1-2/1, exec-1/1-3/1 and 1 more may take up to 60 s to end; "
        "Ctrl-C now cuts that short"
    ]
    assert not waiting.done()
    for call in held.values():
        if not call.done():
            call.set_result(None)
    await waiting


async def test_a_worker_says_nothing_of_what_ends_at_once(caplog: pytest.LogCaptureFixture) -> None:
    soon = asyncio.get_running_loop().create_future()
    asyncio.get_running_loop().call_soon(soon.set_result, None)
    await in_hand_ended({"exec-1/1-0/1": soon}, 60)
    await in_hand_ended({}, 60)
    assert not caplog.messages
