"""What went wrong at a model's API, as a ModelError: one table for all of them.

Apart from the clients because these differ in their classes of errors alone. Each message says what to do next, by the
names of the settings that the failing API has.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime

from agentspan_tool_runner.models.ports import ModelError


@dataclass(frozen=True, slots=True)
class Api:
    """How an API and its settings are called in errors."""

    name: str
    key: str
    """The setting that holds the key, or says whose credentials are used."""
    address: str
    """The setting that holds the address."""
    stream: str
    """The setting that says whether replies are streamed."""


@dataclass(frozen=True, slots=True)
class Refused:
    """An error as an API answered it."""

    status: int
    said: str = ""
    type: str = ""
    request_id: str | None = None
    retry_after_s: float | None = None


_WHAT_NOW = {
    400: ("invalid_request", "{name} refused the request"),
    401: ("authentication", "{name} refused the server's key: check {key} on the server"),
    402: ("billing", "{name} wants to be paid first: check the account's billing"),
    403: ("permission", "the server's key may not do this: check what {key} and its account are allowed"),
    404: ("not_found", "{name} knows no such model or address: check the agent's model and {address}"),
    408: ("timeout", "{name} gave up waiting"),
    409: ("conflict", "{name} was at odds with another request"),
    413: ("request_too_large", "the conversation is too large for {name}: use tools that return less"),
    429: ("rate_limit", "{name} limits the rate of requests"),
    529: ("overloaded", "{name} is overloaded"),
}
_FAILED = ("api_error", "{name} failed")
_RETRYABLE = (408, 409, 429)
_STREAMS = ("text/event-stream", "application/vnd.amazon.eventstream")

_STATUS_OF_TYPE = {
    "authentication_error": 401,
    "billing_error": 402,
    "conflict_error": 409,
    "internalServerException": 500,
    "invalid_prompt": 400,
    "invalid_request_error": 400,
    "modelStreamErrorException": 500,
    "modelTimeoutException": 408,
    "not_found_error": 404,
    "overloaded_error": 529,
    "permission_error": 403,
    "rate_limit_error": 429,
    "rate_limit_exceeded": 429,
    "request_too_large": 413,
    "server_error": 500,
    "serviceUnavailableException": 503,
    "throttlingException": 429,
    "timeout_error": 408,
    "validationException": 400,
}
"""Errors that come in the middle of a stream, whose status was 200."""


def status_of(error_type: str) -> int:
    """The status that an error of this type has where it comes before the stream."""
    return _STATUS_OF_TYPE.get(error_type, 500)


def refused(api: Api, answer: Refused) -> ModelError:
    """What an API's own error means for the call."""
    kind, what = _WHAT_NOW.get(answer.status, _FAILED if answer.status >= 500 else _WHAT_NOW[400])
    retryable = answer.status >= 500 or answer.status in _RETRYABLE
    if answer.type == "insufficient_quota":
        (kind, what), retryable = _WHAT_NOW[402], False
    if answer.type == "context_length_exceeded":
        kind, what = "model_context_window_exceeded", "the conversation is longer than the model of {name} can read"
    words = what.format(name=api.name, key=api.key, address=api.address)
    said = f": {answer.said}" if answer.said else ""
    request_id = f" (request {answer.request_id})" if answer.request_id else ""
    message = f"{words}; it answered {answer.status}{said}{request_id}"
    return ModelError(kind, message, retryable=retryable, retry_after_s=answer.retry_after_s)


def too_slow(api: Api) -> ModelError:
    """Nothing came for as long as the client waits."""
    return ModelError("timeout", f"{api.name} did not answer in time", retryable=True)


def unreachable(api: Api, why: object) -> ModelError:
    """No connection, or one that ended before the answer did."""
    return ModelError("connection", f"no connection to {api.name}: {why}", retryable=True)


def cut_off(api: str) -> ModelError:
    """A stream that ended before the reply did: half of it is no reply."""
    return ModelError("connection", f"the stream of {api} ended in the middle of the reply", retryable=True)


def check_stream(api: Api, content_type: str) -> None:
    """Raises ModelError when what was to be a stream is none."""
    if not content_type.startswith(_STREAMS):
        raise ModelError(
            "malformed_reply",
            f"{api.name} answered with {content_type or 'nothing'!r}, not with a stream: check {api.address} on the "
            f"server, or set {api.stream}=off if something between cannot stream",
            retryable=True,
        )


def seconds_to_wait(headers: Mapping[str, str], now: Callable[[], datetime]) -> float | None:
    """How long the API asks to be left alone: a number or a date; None when it says neither, or one that is past."""
    milliseconds = _number(headers.get("retry-after-ms", ""))
    if milliseconds is not None:
        return milliseconds / 1000
    said = headers.get("retry-after", "")
    return _number(said) or _until(said, now)


def _number(said: str) -> float | None:
    try:
        number = float(said)
    except ValueError:
        return None
    return number if 0 < number < float("inf") else None


def _until(said: str, now: Callable[[], datetime]) -> float | None:
    try:
        moment = parsedate_to_datetime(said)
    except ValueError:
        return None
    seconds = (moment.astimezone(UTC) - now()).total_seconds()
    return seconds if seconds > 0 else None
