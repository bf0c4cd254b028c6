"""The Messages API through the official client: one call, and its errors told apart.

Apart from the provider because importing the client takes seconds of CPU: only the first real call pays for it.
"""

from collections.abc import AsyncGenerator, Callable, Iterator, Mapping
from contextlib import contextmanager
from datetime import datetime
from typing import Any

import httpx2
from anthropic import (
    AnthropicError,
    APIConnectionError,
    APIStatusError,
    APITimeoutError,
    AsyncAnthropic,
    AsyncAnthropicBedrock,
    AsyncAnthropicVertex,
    AsyncStream,
)

from agentspan_tool_runner.models import _failures as failures
from agentspan_tool_runner.models._reading import malformed
from agentspan_tool_runner.models.ports import ModelError

PATH = "/v1/messages"

Official = AsyncAnthropic | AsyncAnthropicBedrock | AsyncAnthropicVertex


class Client:
    """The connections to one address. The client's own retries are off: the core decides when to ask again."""

    def __init__(
        self,
        client: Official,
        api: failures.Api,
        now: Callable[[], datetime],
        no_credentials: tuple[type[Exception], ...] = (),
    ) -> None:
        """`no_credentials`: what the platform's own library raises when it finds none."""
        self._client = client
        self._api = api
        self._now = now
        self._no_credentials = no_credentials

    async def whole(self, key: str, body: dict[str, Any], headers: Mapping[str, str]) -> bytes:
        """The raw answer of one call. Raises ModelError."""
        self._use(key)
        with self._told():
            answer = await self._client.post(
                PATH, cast_to=httpx2.Response, body=body, options={"headers": dict(headers)}
            )
            return answer.content

    async def events(self, key: str, body: dict[str, Any], headers: Mapping[str, str]) -> AsyncGenerator[object, None]:
        """The events of one call, each as it comes. Raises ModelError."""
        self._use(key)
        with self._told():
            stream = await self._client.post(
                PATH,
                cast_to=object,
                body={**body, "stream": True},
                options={"headers": dict(headers)},
                stream=True,
                stream_cls=AsyncStream[object],
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
        if key and not isinstance(self._client, AsyncAnthropicVertex):
            self._client.api_key = key

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
        except AnthropicError as error:
            message = f"the client of {self._api.name} failed: {error}"
            raise ModelError("client", message, retryable=True) from None
        except self._no_credentials as error:
            raise self._without_credentials(error) from None
        except (ValueError, RecursionError) as error:  # bytes that are no text, text that is no JSON
            raise malformed(self._api.name, str(error)) from None

    def _without_credentials(self, error: Exception) -> ModelError:
        message = f"no credentials for {self._api.name} ({error}): set {self._api.key} on the server"
        return ModelError("missing_key", message, retryable=bool(getattr(error, "retryable", False)))

    def _refused(self, error: APIStatusError) -> failures.Refused:
        body = error.body if isinstance(error.body, dict) else {}
        inner = body.get("error")
        error_type = str(inner.get("type", "")) if isinstance(inner, dict) else ""
        streaming = error.status_code == 200
        return failures.Refused(
            status=failures.status_of(error_type) if streaming else error.status_code,
            said=error.api_message if isinstance(error.api_message, str) else "",
            type=error_type,
            request_id=error.request_id,
            retry_after_s=failures.seconds_to_wait(error.response.headers, self._now),
        )


def anthropic(base_url: str, timeout_s: float) -> Official:
    """The API itself."""
    return AsyncAnthropic(api_key="-", base_url=base_url, max_retries=0, timeout=timeout_s)


def bedrock(environment: Mapping[str, str], region: str, timeout_s: float) -> Official:
    """On Amazon Bedrock. Credentials that are not set here are looked for where AWS's own library does."""
    key = environment.get("AWS_BEARER_TOKEN_BEDROCK") or None
    return AsyncAnthropicBedrock(
        api_key=key,
        aws_access_key=None if key else environment.get("AWS_ACCESS_KEY_ID"),
        aws_secret_key=None if key else environment.get("AWS_SECRET_ACCESS_KEY"),
        aws_session_token=None if key else environment.get("AWS_SESSION_TOKEN"),
        aws_profile=None if key else environment.get("AWS_PROFILE"),
        aws_region=region,
        base_url=environment.get("ANTHROPIC_BEDROCK_BASE_URL") or None,
        max_retries=0,
        timeout=timeout_s,
    )


def vertex(region: str, project: str, base_url: str | None, timeout_s: float) -> Official:
    """On Google Vertex AI."""
    return AsyncAnthropicVertex(
        region=region, project_id=project, base_url=base_url or None, max_retries=0, timeout=timeout_s
    )
