"""`openai/<model>` and endpoints compatible with it by name (`groq/…`, `ollama/…`), through the official client.

OpenAI's own API is asked in Responses, every other address in Chat Completions (docs/decisions/0100).
"""

import asyncio
import re
import threading
from collections.abc import Mapping
from contextlib import aclosing
from dataclasses import dataclass
from importlib.util import find_spec
from typing import TYPE_CHECKING

from agentspan_schemas.agents import AgentDefinition
from agentspan_tool_runner.models import _chat_api as chat
from agentspan_tool_runner.models import _responses_api as responses
from agentspan_tool_runner.models._failures import Api
from agentspan_tool_runner.models._keys import key_of, missing, setting_prefix, streams, without
from agentspan_tool_runner.models._reading import mended, parsed
from agentspan_tool_runner.models.ports import ModelError, ModelRequest, ModelResponse, ModelSettings

if TYPE_CHECKING:
    from agentspan_tool_runner.models._openai_client import Client

TIMEOUT_S = 600.0
"""How long an API may stay silent; a reply that is streamed may take longer."""

TOOL_NAME = re.compile(r"^[a-zA-Z0-9_-]{1,64}$")
"""What the API takes as a tool's name."""

OPENAI = "https://api.openai.com/v1"

DIALECTS = ("responses", "chat")


@dataclass(frozen=True, slots=True)
class Known:
    """An endpoint that is known by name."""

    base_url: str
    needs_key: bool = True
    told_usage: bool = True
    """Whether it has to be asked for the count of tokens when it streams; one that refuses the question tells it."""


KNOWN = {
    "deepseek": Known("https://api.deepseek.com/v1"),
    "fireworks": Known("https://api.fireworks.ai/inference/v1"),
    "groq": Known("https://api.groq.com/openai/v1"),
    "mistral": Known("https://api.mistral.ai/v1", told_usage=False),
    "ollama": Known("http://127.0.0.1:11434/v1", needs_key=False),
    "openai": Known(OPENAI),
    "openrouter": Known("https://openrouter.ai/api/v1"),
    "together": Known("https://api.together.xyz/v1"),
    "xai": Known("https://api.x.ai/v1"),
}
"""Providers that need no address to be set."""


class OpenAI:
    """One endpoint. One client is kept for all calls."""

    def __init__(self, settings: ModelSettings, name: str = "openai", *, timeout_s: float = TIMEOUT_S) -> None:
        self._environment = settings.environment
        self._now = settings.now
        self._name = name
        self._prefix = setting_prefix(name)
        self._timeout_s = timeout_s
        self._connected: Client | None = None
        self._connecting = threading.Lock()
        self._api = Api(
            "the OpenAI API" if name == "openai" else f"the API of {name!r}",
            f"{self._prefix}_API_KEY",
            f"{self._prefix}_BASE_URL",
            f"{self._prefix}_STREAM",
        )

    def check(self, definition: AgentDefinition) -> str | None:
        """As the port says."""
        for tool in definition.tools:
            if not TOOL_NAME.match(tool.name):
                return (
                    f"tool {tool.name!r} of agent {definition.name!r} cannot be offered to {definition.model!r}: "
                    f"{self._api.name} takes up to 64 letters, digits, _ and - in a tool's name; rename it"
                )
        try:
            self._key(definition)
            self._dialect()
        except ModelError as error:
            return error.message
        return None

    async def reply(self, request: ModelRequest) -> ModelResponse:
        """One turn of the model."""
        key, dialect = self._key(request.definition), self._dialect()
        client = self._connected if self._connected is not None else await asyncio.to_thread(self._connect)
        try:
            if dialect == "responses":
                return await self._response(client, key, request)
            return await self._completion(client, key, request)
        except ModelError as error:
            raise without(key, error) from None

    async def aclose(self) -> None:
        """Close the connections."""
        if self._connected is not None:
            await self._connected.aclose()
            self._connected = None

    async def _response(self, client: "Client", key: str, request: ModelRequest) -> ModelResponse:
        body = responses.request_body(request)
        if not streams(self._environment, self._name):
            answer = parsed(await client.whole(key, responses.PATH, body), self._api.name)
            return responses.response(answer, request, self._api)
        assembly = responses.Assembly(self._api, request.on_text)
        async with aclosing(client.events(key, responses.PATH, body)) as events:
            async for event in events:
                assembly.take(event)
        return responses.response(mended(assembly.whole()), request, self._api)

    async def _completion(self, client: "Client", key: str, request: ModelRequest) -> ModelResponse:
        body = chat.request_body(request)
        if not streams(self._environment, self._name):
            answer = parsed(await client.whole(key, chat.PATH, body), self._api.name)
            return chat.response(answer, request, self._api.name)
        if self._known().told_usage:
            body["stream_options"] = {"include_usage": True}
        assembly = chat.Assembly(self._api.name, request.on_text)
        async with aclosing(client.events(key, chat.PATH, body)) as events:
            async for event in events:
                assembly.take(event)
        return chat.response(mended(assembly.completion()), request, self._api.name)

    def _key(self, definition: AgentDefinition) -> str:
        if find_spec("openai") is None:
            raise missing(f"model {definition.model!r} needs openai on the server: pip install 'agentspan[server]'")
        return self._own_key(definition)

    def _own_key(self, definition: AgentDefinition) -> str:
        """The key; an address of one's own may need none, and then says so by refusing the call."""
        needed = self._known().needs_key and not self._environment.get(self._api.address)
        return key_of(self._environment, self._api.key, definition, needed=needed)

    def _dialect(self) -> str:
        setting = f"{self._prefix}_API"
        dialect = self._environment.get(setting, "").strip().lower()
        if dialect and dialect not in DIALECTS:
            raise missing(f"{setting}={dialect!r} on the server is no dialect: set it to {' or '.join(DIALECTS)}")
        return dialect or ("responses" if self._base_url() == OPENAI else "chat")

    def _base_url(self) -> str:
        return (self._environment.get(self._api.address) or self._known().base_url).rstrip("/")

    def _known(self) -> Known:
        return KNOWN.get(self._name, Known("", needs_key=False))

    def _connect(self) -> "Client":
        """In a thread: importing the official client takes seconds of CPU, and the server goes on meanwhile."""
        from agentspan_tool_runner.models._openai_client import Client

        with self._connecting:  # calls that come at once share one: nobody would close the others
            if self._connected is None:
                self._connected = Client(self._base_url(), self._timeout_s, self._api, self._now)
            return self._connected


def provider(settings: ModelSettings) -> OpenAI:
    """The entry point."""
    return OpenAI(settings)


def compatible(name: str, settings: ModelSettings) -> OpenAI | None:
    """The endpoint of that name: one that is known, or whose `<NAME>_BASE_URL` is set; None when there is none."""
    if name in KNOWN or address_of(name, settings.environment):
        return OpenAI(settings, name)
    return None


def address_of(name: str, environment: Mapping[str, str]) -> str:
    """What is set as the address of an endpoint; "" when nothing is."""
    return environment.get(f"{setting_prefix(name)}_BASE_URL", "")
