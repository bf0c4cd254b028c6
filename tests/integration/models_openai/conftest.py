"""What every test of OpenAI's provider has: a server that speaks both of its wire formats, and the provider through the
official client, in each of them, with streams and without."""

from collections.abc import AsyncIterator, Callable

import pytest

from agentspan_schemas.agents import AgentDefinition
from agentspan_schemas.messages import Message
from agentspan_tool_runner.models import ModelError, ModelRequest, ModelSettings
from agentspan_tool_runner.models.openai import OpenAI
from tests.support.model_calls import LOOK_UP, NOW, asked, failed
from tests.support.openai_server import KEY, OpenAIServer

AGENT = AgentDefinition(
    name="triage", model="openai/gpt-5", instructions="Be kind.", tools=(LOOK_UP,), max_tokens=9000, temperature=0.5
)
FIRST = ("call_1", "look_up", '{"n": 1}')
SECOND = ("call_2", "look_up", '{"größe": [2.5, null]}')


@pytest.fixture
async def server() -> AsyncIterator[OpenAIServer]:
    async with OpenAIServer() as server:
        yield server


@pytest.fixture(params=["responses", "chat"])
def dialect(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture(params=["on", "off"])
async def model(server: OpenAIServer, dialect: str, request: pytest.FixtureRequest) -> AsyncIterator[OpenAI]:
    provider = provider_for(server.base_url, dialect, stream=request.param)
    yield provider
    await provider.aclose()


@pytest.fixture
async def streaming(server: OpenAIServer, dialect: str) -> AsyncIterator[OpenAI]:
    provider = provider_for(server.base_url, dialect)
    yield provider
    await provider.aclose()


@pytest.fixture(params=["on", "off"])
async def chat(server: OpenAIServer, request: pytest.FixtureRequest) -> AsyncIterator[OpenAI]:
    provider = provider_for(server.base_url, "chat", stream=request.param)
    yield provider
    await provider.aclose()


@pytest.fixture(params=["on", "off"])
async def responses(server: OpenAIServer, request: pytest.FixtureRequest) -> AsyncIterator[OpenAI]:
    provider = provider_for(server.base_url, "responses", stream=request.param)
    yield provider
    await provider.aclose()


def provider_for(
    base_url: str, dialect: str = "", *, key: str = KEY, timeout_s: float = 30.0, stream: str = "on"
) -> OpenAI:
    environment = {
        "OPENAI_API_KEY": key,
        "OPENAI_BASE_URL": base_url,
        "OPENAI_API": dialect,
        "OPENAI_STREAM": stream,
    }
    return OpenAI(ModelSettings(environment, now=lambda: NOW), timeout_s=timeout_s)


def request(
    *messages: Message, on_text: Callable[[str], None] | None = None, definition: AgentDefinition = AGENT
) -> ModelRequest:
    return asked(definition, *messages, on_text=on_text)


async def failure(model: OpenAI) -> ModelError:
    return await failed(model, request(), KEY)
