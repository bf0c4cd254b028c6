"""OpenAI's API, or one compatible with it, through the official client: one call, and its errors told apart.

Apart from the provider because importing the client takes seconds of CPU: only the first real call pays for it.
"""

from collections.abc import AsyncGenerator, Callable, Iterator
from contextlib import contextmanager
from datetime import datetime
from typing import Any

import httpx2
from openai import (
    APIConnectionError,
    APIError,
    APIStatusError,
    APITimeoutError,
    AsyncOpenAI,
    AsyncStream,
    OpenAIError,
)

from agentspan_tool_runner.models import _failures as failures
from agentspan_tool_runner.models._reading import malformed
from agentspan_tool_runner.models.ports import ModelError


class Client:
    """The connections to one address. The client's own retries are off: the core decides when to ask again."""

    def __init__(self, base_url: str, timeout_s: float, api: failures.Api, now: Callable[[], datetime]) -> None:
        self._client = AsyncOpenAI(api_key="-", base_url=base_url, max_retries=0, timeout=timeout_s)
        self._api = api
        self._now = now

    async def whole(self, key: str, path: str, body: dict[str, Any]) -> bytes:
        """The raw answer of one call. Raises ModelError."""
        self._use(key)
        with self._told():
            answer = await self._client.post(path, cast_to=httpx2.Response, body=body)
            return answer.content

    async def events(self, key: str, path: str, body: dict[str, Any]) -> AsyncGenerator[object, None]:
        """The events of one call, each as it comes. Raises ModelError."""
        self._use(key)
        with self._told():
            stream = await self._client.post(
                path, cast_to=object, body={**body, "stream": True}, stream=True, stream_cls=AsyncStream[object]
            )
            async with stream:
                failures.check_stream(self._api, stream.response.headers.get("content-type", ""))
                async for event in stream:
                    yield event

    async def aclose(self) -> None:
        """Close the connections."""
        await self._client.close()

    def _use(self, key: str) -> None:
        """The key is given with each call, so that a rotated one needs no new connections."""
        self._client.api_key = key or "-"  # the client makes no request without one; servers without keys ignore it

    @contextmanager
    def _told(self) -> Iterator[None]:
        try:
            yield
        except APIStatusError as error:
            raise failures.refused(self._api, self._refused(error)) from None
        except (APITimeoutError, httpx2.TimeoutException):
            raise failures.too_slow(self._api) from None
        except (APIConnectionError, httpx2.HTTPError) as error:
            raise failures.unreachable(self._api, error.__cause__ or error) from None
        except APIError as error:  # in the middle of a stream
            raise failures.refused(self._api, _in_stream(error)) from None
        except OpenAIError as error:
            message = f"the client of {self._api.name} failed: {error}"
            raise ModelError("client", message, retryable=True) from None
        except (ValueError, RecursionError) as error:  # bytes that are no text, text that is no JSON
            raise malformed(self._api.name, str(error)) from None

    def _refused(self, error: APIStatusError) -> failures.Refused:
        return failures.Refused(
            status=error.status_code,
            said=_said(error.body),
            type=_type(error),
            request_id=error.request_id,
            retry_after_s=failures.seconds_to_wait(error.response.headers, self._now),
        )


def _in_stream(error: APIError) -> failures.Refused:
    return failures.Refused(status=failures.status_of(_type(error)), said=error.message, type=_type(error))


def _said(body: object) -> str:
    match body:
        case {"message": str() as said} | {"error": str() as said} | {"detail": str() as said}:
            return said
        case _:
            return ""


def _type(error: APIError) -> str:
    """OpenAI's `code` is the more exact one, and often missing."""
    return error.code or error.type or ""
