"""`anthropic/<model>`: the Messages API, through the official client, and what Bedrock and Vertex share of it.

Each platform says how it is reached (`_ready`, `_client`); a turn is the same on all of them.
"""

import asyncio
import re
import threading
from abc import ABC, abstractmethod
from collections.abc import Mapping
from contextlib import aclosing
from typing import TYPE_CHECKING, Any

from agentspan_schemas.agents import AgentDefinition
from agentspan_tool_runner.models import _messages_api as messages_api
from agentspan_tool_runner.models._failures import Api
from agentspan_tool_runner.models._keys import key_of, streams, without
from agentspan_tool_runner.models._messages_stream import Assembly
from agentspan_tool_runner.models._messages_whole import whole
from agentspan_tool_runner.models._reading import mended
from agentspan_tool_runner.models.ports import ModelError, ModelRequest, ModelResponse, ModelSettings

if TYPE_CHECKING:
    from agentspan_tool_runner.models._anthropic_client import Client

KEY = "ANTHROPIC_API_KEY"
BASE_URL = "ANTHROPIC_BASE_URL"

TIMEOUT_S = 600.0
"""How long the API may stay silent; a reply that is streamed may take longer."""

TOOL_NAME = re.compile(r"^[a-zA-Z0-9_-]{1,128}$")
"""What the Messages API takes as a tool's name."""

HOTTEST = 1.0
"""The highest temperature that the Messages API takes."""

PAUSES = 8
"""So often a turn that the model paused is carried on."""


class MessagesProvider(ABC):
    """A provider on one platform of the Messages API. One client is kept for all calls."""

    api: Api
    earlier: Mapping[str, str]
    """How the earlier version of the API is asked for: the one that has a temperature (docs/decisions/0101)."""
    version_in_body = True
    """Whether the version stands in the body, as on the clouds, or in the headers."""

    def __init__(self, settings: ModelSettings, *, timeout_s: float = TIMEOUT_S) -> None:
        self._environment = settings.environment
        self._now = settings.now
        self._timeout_s = timeout_s
        self._connected: Client | None = None
        self._connecting = threading.Lock()

    @abstractmethod
    def _ready(self, definition: AgentDefinition) -> str:
        """The key of the next call; "" where the platform has other credentials. Raises ModelError: what is missing."""

    @abstractmethod
    def _client(self) -> "Client":
        """Make the client. In a thread: importing the official one takes seconds of CPU, and the server goes on."""

    def check(self, definition: AgentDefinition) -> str | None:
        """As the port says."""
        try:
            self._ready(definition)
        except ModelError as error:
            return error.message
        return _not_offered(definition) or _too_hot(definition)

    async def reply(self, request: ModelRequest) -> ModelResponse:
        """One turn of the model."""
        key = self._ready(request.definition)
        client = self._connected if self._connected is not None else await asyncio.to_thread(self._connect)
        try:
            return await self._turn(client, key, request)
        except ModelError as error:
            raise without(key, error) from None

    async def aclose(self) -> None:
        """Close the connections."""
        if self._connected is not None:
            await self._connected.aclose()
            self._connected = None

    def _connect(self) -> "Client":
        with self._connecting:  # calls that come at once share one: nobody would close the others
            if self._connected is None:
                self._connected = self._client()
            return self._connected

    async def _turn(self, client: "Client", key: str, request: ModelRequest) -> ModelResponse:
        earlier = dict(self.earlier) if self._asks_earlier(request.definition) else {}
        body = {**messages_api.request_body(request), **(earlier if self.version_in_body else {})}
        headers = {} if self.version_in_body else earlier
        replies: list[messages_api.Reply] = []
        while not replies or (replies[-1].stop_reason == messages_api.PAUSED and len(replies) <= PAUSES):
            message = await self._message(client, key, body, headers, request)
            replies.append(messages_api.reply(message, self.api.name))
            body = {**body, "messages": [*body["messages"], {"role": "assistant", "content": replies[-1].content}]}
        return messages_api.response(replies, request.definition, self.api.name)

    def _asks_earlier(self, definition: AgentDefinition) -> bool:
        return definition.temperature is not None

    async def _message(
        self, client: "Client", key: str, body: dict[str, Any], headers: dict[str, str], request: ModelRequest
    ) -> Any:
        if not streams(self._environment, request.provider):
            return whole(await client.whole(key, body, headers), self.api.name)
        assembly = Assembly(self.api.name, request.on_text)
        async with aclosing(client.events(key, body, headers)) as events:
            async for event in events:
                assembly.take(event)
        return mended(assembly.message())


class Anthropic(MessagesProvider):
    """The API itself."""

    api = Api("the Messages API", KEY, BASE_URL, "ANTHROPIC_STREAM")
    earlier = {"anthropic-version": "2023-06-01"}
    version_in_body = False

    def _ready(self, definition: AgentDefinition) -> str:
        return key_of(self._environment, KEY, definition)

    def _client(self) -> "Client":
        from agentspan_tool_runner.models._anthropic_client import Client, anthropic

        base_url = self._environment.get(BASE_URL) or "https://api.anthropic.com"
        return Client(anthropic(base_url, self._timeout_s), self.api, self._now)


def provider(settings: ModelSettings) -> Anthropic:
    """The entry point."""
    return Anthropic(settings)


def _not_offered(definition: AgentDefinition) -> str | None:
    for tool in definition.tools:
        if not TOOL_NAME.match(tool.name):
            return (
                f"tool {tool.name!r} of agent {definition.name!r} cannot be offered to {definition.model!r}: "
                "the Messages API takes letters, digits, _ and - in a tool's name; rename it"
            )
    return None


def _too_hot(definition: AgentDefinition) -> str | None:
    if definition.temperature is not None and definition.temperature > HOTTEST:
        return (
            f"agent {definition.name!r} has temperature={definition.temperature:g}: "
            f"{definition.model!r} takes 0 to {HOTTEST:g}; lower it"
        )
    return None
