"""The Messages API through the official client: one call, and its errors told apart.

Apart from the provider because importing the client takes seconds of CPU: only the first real call pays for it.
"""

from collections.abc import Callable
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import Any

from anthropic import (
    AnthropicError,
    APIConnectionError,
    APIStatusError,
    APITimeoutError,
    AsyncAnthropic,
)

from agentspan_tool_runner.models.ports import ModelError

_WHAT_NOW = {
    400: ("invalid_request", "the Messages API refused the request"),
    401: ("authentication", "the Messages API refused the server's key: check ANTHROPIC_API_KEY on the server"),
    402: ("billing", "the Messages API wants to be paid first: check the account's billing"),
    403: ("permission", "the server's key may not do this: check what the key and its workspace are allowed"),
    404: (
        "not_found",
        "the Messages API knows no such model or address: check the agent's model and ANTHROPIC_BASE_URL",
    ),
    408: ("timeout", "the Messages API gave up waiting"),
    409: ("conflict", "the Messages API was at odds with another request"),
    413: ("request_too_large", "the conversation is too large for the Messages API: use tools that return less"),
    429: ("rate_limit", "the Messages API limits the rate of requests"),
    529: ("overloaded", "the Messages API is overloaded"),
}
_RETRYABLE_STATUS = (408, 409, 429)


class Client:
    """The connections to one address. The client's own retries are off: the core decides when to ask again."""

    def __init__(self, base_url: str, timeout_s: float, now: Callable[[], datetime]) -> None:
        # the key is given with each call, so that a rotated one needs no new connections
        self._client = AsyncAnthropic(api_key="-", base_url=base_url, max_retries=0, timeout=timeout_s)
        self._now = now

    async def create(self, key: str, body: dict[str, Any]) -> bytes:
        """The raw answer of one call. Raises ModelError."""
        self._client.api_key = key
        try:
            answer = await self._client.messages.with_raw_response.create(**body)
            raw: bytes = await answer.read()
            return raw
        except AnthropicError as error:
            raise _model_error(error, self._now) from None

    async def aclose(self) -> None:
        """Close the connections."""
        await self._client.close()


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
