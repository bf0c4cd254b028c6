"""What every test of the Anthropic provider has: a server that speaks the Messages wire format, and the provider
through the official client, with streams and without."""

from collections.abc import AsyncIterator, Callable

import pytest

from agentspan_schemas.agents import AgentDefinition
from agentspan_schemas.messages import Message
from agentspan_tool_runner.models import ModelError, ModelRequest, ModelSettings
from agentspan_tool_runner.models.anthropic import Anthropic
from tests.support.messages_server import KEY, MessagesServer
from tests.support.model_calls import LOOK_UP, NOW, asked, failed

AGENT = AgentDefinition(
    name="triage", model="anthropic/claude-sonnet-4-6", instructions="Be kind.", tools=(LOOK_UP,), max_tokens=64_000
)


@pytest.fixture
async def server() -> AsyncIterator[MessagesServer]:
    async with MessagesServer() as server:
        yield server


@pytest.fixture(params=["on", "off"])
async def model(server: MessagesServer, request: pytest.FixtureRequest) -> AsyncIterator[Anthropic]:
    provider = provider_for(server.base_url, stream=request.param)
    yield provider
    await provider.aclose()


@pytest.fixture
async def streaming(server: MessagesServer) -> AsyncIterator[Anthropic]:
    provider = provider_for(server.base_url)
    yield provider
    await provider.aclose()


def provider_for(base_url: str, *, key: str = KEY, timeout_s: float = 30.0, stream: str = "on") -> Anthropic:
    environment = {"ANTHROPIC_API_KEY": key, "ANTHROPIC_BASE_URL": base_url, "ANTHROPIC_STREAM": stream}
    return Anthropic(ModelSettings(environment, now=lambda: NOW), timeout_s=timeout_s)


def request(*messages: Message, on_text: Callable[[str], None] | None = None) -> ModelRequest:
    return asked(AGENT, *messages, on_text=on_text)


async def failure(model: Anthropic) -> ModelError:
    return await failed(model, request(), KEY)
