"""`anthropic/<model>`: the Messages API, through the official client.

The key is the server's alone, is read anew for each call (a rotated file needs no restart), and is cut out of every
error's text.
"""

import asyncio
import re
from pathlib import Path
from typing import TYPE_CHECKING

from agentspan_schemas.agents import AgentDefinition
from agentspan_tool_runner.models import _messages_api as messages_api
from agentspan_tool_runner.models.ports import ModelError, ModelRequest, ModelResponse, ModelSettings

if TYPE_CHECKING:
    from agentspan_tool_runner.models._anthropic_client import Client

KEY = "ANTHROPIC_API_KEY"
KEY_FILE = "ANTHROPIC_API_KEY_FILE"
BASE_URL = "ANTHROPIC_BASE_URL"

TIMEOUT_S = 600.0
"""How long one reply may take. Given explicitly, so that the client refuses no large max_tokens by its own estimate."""

TOOL_NAME = re.compile(r"^[a-zA-Z0-9_-]{1,128}$")
"""What the Messages API takes as a tool's name."""


class Anthropic:
    """The provider. One client is kept for as long as key and address stay the same."""

    def __init__(self, settings: ModelSettings, *, timeout_s: float = TIMEOUT_S) -> None:
        self._environment = settings.environment
        self._now = settings.now
        self._timeout_s = timeout_s
        self._client: Client | None = None

    def check(self, definition: AgentDefinition) -> str | None:
        """As the port says."""
        for tool in definition.tools:
            if not TOOL_NAME.match(tool.name):
                return (
                    f"tool {tool.name!r} of agent {definition.name!r} cannot be offered to {definition.model!r}: "
                    "the Messages API takes letters, digits, _ and - in a tool's name; rename it"
                )
        try:
            self._key(definition)
        except ModelError as error:
            return error.message
        return None

    async def reply(self, request: ModelRequest) -> ModelResponse:
        """One call of the Messages API."""
        key = self._key(request.definition)
        client = self._client
        if client is None:
            client = await asyncio.to_thread(self._connected)
        try:
            return messages_api.response(
                await client.create(key, messages_api.request_body(request)), request.definition
            )
        except ModelError as error:
            raise _without(key, error) from None

    async def aclose(self) -> None:
        """Close the connections."""
        if self._client is not None:
            await self._client.aclose()
            self._client = None

    def _key(self, definition: AgentDefinition) -> str:
        key = self._environment.get(KEY, "").strip() or self._key_in_file()
        if not key:
            raise _key_error(
                f"model {definition.model!r} of agent {definition.name!r} needs a key: "
                f"set {KEY} or {KEY_FILE} on the server and start it again"
            )
        if not (key.isascii() and key.isprintable()):
            raise _key_error(f"{KEY} on the server is no key: it holds characters that no HTTP header can carry")
        return key

    def _key_in_file(self) -> str:
        path = self._environment.get(KEY_FILE, "")
        if not path:
            return ""
        try:
            return Path(path).read_text(encoding="utf-8").strip()
        except (OSError, UnicodeDecodeError) as error:
            raise _key_error(
                f"{KEY_FILE}={path!r} on the server cannot be read ({type(error).__name__}): "
                "name a text file that the server may read"
            ) from None

    def _connected(self) -> "Client":
        """In a thread: importing the official client takes seconds of CPU, and the server goes on meanwhile."""
        from agentspan_tool_runner.models._anthropic_client import Client

        base_url = self._environment.get(BASE_URL) or "https://api.anthropic.com"
        self._client = client = self._client or Client(base_url, self._timeout_s, self._now)
        return client


def provider(settings: ModelSettings) -> Anthropic:
    """The entry point."""
    return Anthropic(settings)


def _key_error(message: str) -> ModelError:
    return ModelError("missing_key", message, retryable=False)


def _without(key: str, error: ModelError) -> ModelError:
    """The same error without the key, should an API or a library have repeated it."""
    message = error.message.replace(key, "…")
    return ModelError(error.kind, message, retryable=error.retryable, retry_after_s=error.retry_after_s)
