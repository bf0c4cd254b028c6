"""A model's words on their way through the real server: from the API's stream to a handle's, and never on the log."""

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import aiohttp
import pytest

from agentspan.agents import Agent, AgentDelta, AgentEvent, AgentRuntime, AsyncAgentStream
from agentspan.agents.testing import LocalServer
from agentspan_schemas.http import Delta
from tests.support.eventually import WITHIN_S
from tests.support.messages_server import KEY, MessagesServer, Reply, text

AGENT = Agent("support", "anthropic/claude-sonnet-4-6", "Be kind.")
WORDS = "Order 7 is on its way to you. \U0001f600"


@pytest.fixture
async def api() -> AsyncIterator[MessagesServer]:
    async with MessagesServer() as api:
        yield api


@pytest.fixture
async def server(api: MessagesServer, tmp_path: Path) -> AsyncIterator[LocalServer]:
    server = LocalServer(tmp_path, environment={"ANTHROPIC_API_KEY": KEY, "ANTHROPIC_BASE_URL": api.base_url})
    await asyncio.to_thread(server.start)
    yield server
    await asyncio.to_thread(server.stop)


@pytest.fixture
async def runtime(server: LocalServer) -> AsyncIterator[AgentRuntime]:
    async with server.runtime() as runtime:
        yield runtime


class Speaking:
    """A reply that begins when somebody follows, as words are kept for nobody, and goes on once its first are there."""

    def __init__(self, api: MessagesServer) -> None:
        self.followed, self.heard = asyncio.Event(), asyncio.Event()
        api.script(Reply([text(WORDS)], begins=self.followed, gate=self.heard))


async def told(stream: AsyncAgentStream[AgentEvent | AgentDelta], reply: Speaking) -> list[AgentEvent | AgentDelta]:
    """All that a stream tells."""
    seen = []
    async for event in stream:
        seen.append(event)
        if isinstance(event, AgentDelta):
            reply.heard.set()
        elif event.type == "model_called":
            reply.followed.set()
    return seen


async def test_words_come_to_a_handle_while_they_are_generated_and_are_not_on_the_log(
    api: MessagesServer, runtime: AgentRuntime
) -> None:
    reply = Speaking(api)
    handle = await runtime.start_async(AGENT, "Where is order 7?")
    async with asyncio.timeout(WITHIN_S):
        seen = await told(handle.stream_async(deltas=True), reply)
    deltas = [event for event in seen if isinstance(event, AgentDelta)]
    assert len(deltas) > 1
    assert "".join(delta.text for delta in deltas) == WORDS
    kinds = [str(event.type) for event in seen]
    assert max(at for at, kind in enumerate(kinds) if kind == "delta") < kinds.index("model_replied")
    logged = [str(event.type) async for event in handle.stream_async(after=0)]
    assert logged == [kind for kind in kinds if kind != "delta"]
    assert (await handle.join_async()).output == WORDS


async def test_words_come_by_sse_to_who_asks_for_them_alone(
    api: MessagesServer, server: LocalServer, runtime: AgentRuntime
) -> None:
    reply = Speaking(api)
    handle = await runtime.start_async(AGENT, "Where is order 7?")
    address = f"{server.url}/api/v1/executions/{handle.execution_id}/stream"
    async with aiohttp.ClientSession() as http, http.get(address) as calm, asyncio.timeout(WITHIN_S):
        async with http.get(address, params={"deltas": "true"}) as curious:
            heard: list[Delta] = []
            async for line in curious.content:
                if line.startswith(b"data: ") and b'"offset"' in line:
                    heard.append(Delta.model_validate_json(line.removeprefix(b"data: ")))
                    reply.heard.set()
                elif line.rstrip() == b"event: model_called":
                    reply.followed.set()
        assert "event: delta" not in (await calm.text())
    assert "".join(delta.text for delta in heard) == WORDS
    assert [delta.offset for delta in heard] == [sum(len(d.text) for d in heard[:at]) for at in range(len(heard))]
    assert {(delta.execution_id, delta.turn, delta.attempt) for delta in heard} == {(handle.execution_id, 1, 1)}
