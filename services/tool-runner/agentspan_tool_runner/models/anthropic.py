"""`anthropic/<model>`: the Messages API, through the official client.

The client's own retries are off: the core decides when to ask again. The key is the server's alone, is read anew for
each call (a rotated file needs no restart), and is cut out of every error's text.
"""

import re
from collections.abc import Callable
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from pathlib import Path

from anthropic import (
    AnthropicError,
    APIConnectionError,
    APIStatusError,
    APITimeoutError,
    AsyncAnthropic,
)

from agentspan_schemas.agents import AgentDefinition
from agentspan_tool_runner.models import _messages_api as messages_api
from agentspan_tool_runner.models.ports import ModelError, ModelRequest, ModelResponse, ModelSettings

KEY = "ANTHROPIC_API_KEY"
KEY_FILE = "ANTHROPIC_API_KEY_FILE"
BASE_URL = "ANTHROPIC_BASE_URL"

TIMEOUT_S = 600.0
"""How long one reply may take. Given explicitly, so that the client refuses no large max_tokens by its own estimate."""

TOOL_NAME = re.compile(r"^[a-zA-Z0-9_-]{1,128}$")
"""What the Messages API takes as a tool's name."""

_WHAT_NOW = {
    400: ("invalid_request", "the Messages API refused the request"),
    401: ("authentication", f"the Messages API refused the server's key: check {KEY} on the server"),
    402: ("billing", "the Messages API wants to be paid first: check the account's billing"),
    403: ("permission", "the server's key may not do this: check what the key and its workspace are allowed"),
    404: ("not_found", "the Messages API knows no such model or address: check the agent's model and " + BASE_URL),
    408: ("timeout", "the Messages API gave up waiting"),
    409: ("conflict", "the Messages API was at odds with another request"),
    413: ("request_too_large", "the conversation is too large for the Messages API: use tools that return less"),
    429: ("rate_limit", "the Messages API limits the rate of requests"),
    529: ("overloaded", "the Messages API is overloaded"),
}
_RETRYABLE_STATUS = (408, 409, 429)


class Anthropic:
    """The provider. One client is kept for as long as key and address stay the same."""

    def __init__(self, settings: ModelSettings, *, timeout_s: float = TIMEOUT_S) -> None:
        self._environment = settings.environment
        self._now = settings.now
        self._timeout_s = timeout_s
        self._client: AsyncAnthropic | None = None

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
        try:
            raw = await self._client_with(key).messages.with_raw_response.create(**messages_api.request_body(request))
            return messages_api.response(await raw.read(), request.definition)
        except AnthropicError as error:
            raise _without(key, _model_error(error, self._now)) from None
        except ModelError as error:
            raise _without(key, error) from None

    async def aclose(self) -> None:
        """Close the connections."""
        if self._client is not None:
            await self._client.close()
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

    def _client_with(self, key: str) -> AsyncAnthropic:
        if self._client is None:
            base_url = self._environment.get(BASE_URL) or "https://api.anthropic.com"
            self._client = AsyncAnthropic(api_key=key, base_url=base_url, max_retries=0, timeout=self._timeout_s)
        self._client.api_key = key  # read for each request, so that a rotated key needs no new connections
        return self._client


def provider(settings: ModelSettings) -> Anthropic:
    """The entry point."""
    return Anthropic(settings)


def _model_error(error: AnthropicError, now: Callable[[], datetime]) -> ModelError:
    match error:
        case APIStatusError():
            return _status_error(error, now)
        case APITimeoutError():
            return ModelError("timeout", "the Messages API did not answer in time", retryable=True)
        case APIConnectionError():
            why = error.__cause__ or error
            return ModelError("connection", f"no connection to the Messages API: {why}", retryable=True)
        case _:
            return ModelError("client", f"the Messages API's client failed: {error}", retryable=True)


def _status_error(error: APIStatusError, now: Callable[[], datetime]) -> ModelError:
    status = error.status_code
    unknown = ("api_error", "the Messages API failed") if status >= 500 else _WHAT_NOW[400]
    kind, what = _WHAT_NOW.get(status, unknown)
    said = f": {error.api_message}" if isinstance(error.api_message, str) else ""
    request_id = f" (request {error.request_id})" if error.request_id else ""
    return ModelError(
        kind,
        f"{what}; it answered {status}{said}{request_id}",
        retryable=status >= 500 or status in _RETRYABLE_STATUS,
        retry_after_s=_seconds(error.response.headers.get("retry-after"), now),
    )


def _seconds(retry_after: str | None, now: Callable[[], datetime]) -> float | None:
    """Seconds of a Retry-After header, which is a number or a date; None when it is neither, or past."""
    if retry_after is None:
        return None
    try:
        seconds = float(retry_after)
    except ValueError:
        try:
            moment = parsedate_to_datetime(retry_after)
        except ValueError:
            return None
        seconds = (moment.astimezone(UTC) - now()).total_seconds()
    return seconds if 0 < seconds < float("inf") else None


def _key_error(message: str) -> ModelError:
    return ModelError("missing_key", message, retryable=False)


def _without(key: str, error: ModelError) -> ModelError:
    """The same error without the key, should an API or a library have repeated it."""
    message = error.message.replace(key, "…")
    return ModelError(error.kind, message, retryable=error.retryable, retry_after_s=error.retry_after_s)
