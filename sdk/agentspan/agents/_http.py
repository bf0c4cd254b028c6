"""The server over HTTP, by aiohttp: requests, server-sent events and NDJSON, with the errors of `_errors`.

The one file that knows aiohttp, imported when a runtime first talks to its server, so that the package's own import is
quick.
Connections are this file's to retry: a write carries an idempotency key, so that sending it again is safe.
"""

import asyncio
import socket
import time
from collections.abc import AsyncGenerator, AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import TypeVar

import aiohttp
from aiohttp.abc import AbstractResolver, ResolveResult
from pydantic import BaseModel, ValidationError

from agentspan.agents._discovery import unanswered
from agentspan.agents._errors import ServerUnavailable
from agentspan.agents._identity import Client, identity
from agentspan.agents._outage import Outage
from agentspan.agents._problems import error_from

API = "/api/v1"

RETRY_FOR_S = 10.0
"""How long a request is tried again while the server is away: longer than its restart takes."""

REQUEST_S = 30.0
CONNECT_S = 5.0
QUIET_S = 60.0
"""A stream that says nothing for this long, not even a comment, is dead."""

FIRST_PAUSE_S = 0.05
LONGEST_PAUSE_S = 1.0

_FAILURES = (aiohttp.ClientError, TimeoutError, ConnectionError)
"""All that a connection may break by, or what stands between here and the server may say in its place."""

M = TypeVar("M", bound=BaseModel)


@dataclass(frozen=True, slots=True)
class Reply:
    """An answer of the server: its body, and where on the log the write stands."""

    body: bytes
    position: str | None
    what: str
    """The request, for an error."""

    def read(self, kind: type[M]) -> M:
        """The message in the body. Raises ServerUnavailable for what no server says: a proxy's page, for one."""
        try:
            return kind.model_validate_json(self.body)
        except ValidationError as error:
            said = self.body[:200].decode(errors="replace").strip()
            raise ServerUnavailable(
                f"{self.what} was answered {said!r}, which is no {kind.__name__} of an Agentspan server: "
                "something else answers at its address, or it is of another release"
            ) from error


@dataclass(frozen=True, slots=True)
class ServerSentEvent:
    """One event of a stream; what it does not have is empty."""

    id: str
    event: str
    data: str


class Http:
    """One server. Create, use and close it on one event loop."""

    def __init__(self, server_url: str, *, client: Client = "sdk", retry_for_s: float = RETRY_FOR_S) -> None:
        self.server_url = server_url.rstrip("/")
        self.outage = Outage()
        self._retry_for_s = retry_for_s
        connector = aiohttp.TCPConnector(resolver=_Resolver(), limit=0)
        self._session = aiohttp.ClientSession(connector=connector, headers=identity(client), raise_for_status=False)

    async def answers(self, timeout_s: float = 2.0) -> bool:
        """Whether anybody answers at the address."""
        try:
            async with self._session.get(
                self.server_url + "/livez", timeout=aiohttp.ClientTimeout(total=timeout_s), allow_redirects=False
            ):
                return True
        except _FAILURES:
            return False

    async def request(
        self,
        method: str,
        path: str,
        body: BaseModel | None = None,
        *,
        params: Mapping[str, str] | None = None,
        key: str | None = None,
        retry: bool = True,
    ) -> Reply:
        """The server's answer. Raises what `_errors` has for it; ServerUnavailable when none comes in time."""
        headers, data = _said(body)
        if key:
            headers["Idempotency-Key"] = key
        give_up = time.monotonic() + (self._retry_for_s if retry else 0.0)
        pause = FIRST_PAUSE_S
        while True:
            try:
                return await self._once(method, path, data, params, headers)
            except ServerUnavailable:
                if time.monotonic() + pause > give_up:
                    raise
            await asyncio.sleep(pause)
            pause = min(LONGEST_PAUSE_S, pause * 2)

    async def _once(
        self, method: str, path: str, data: bytes | None, params: Mapping[str, str] | None, headers: Mapping[str, str]
    ) -> Reply:
        timeout = aiohttp.ClientTimeout(total=REQUEST_S, sock_connect=CONNECT_S)
        try:
            async with self._session.request(
                method, self.server_url + API + path, data=data, params=params, headers=headers, timeout=timeout
            ) as response:
                body = await response.read()
        except _FAILURES as error:
            raise self._unavailable(error) from error
        if response.status >= 400:
            raise error_from(response.status, body, f"{method} {path}")
        return Reply(body, response.headers.get("Agentspan-Position"), f"{method} {path}")

    @asynccontextmanager
    async def _stream(
        self, method: str, path: str, accept: str, body: BaseModel | None = None
    ) -> AsyncIterator[aiohttp.StreamReader]:
        timeout = aiohttp.ClientTimeout(total=None, sock_connect=CONNECT_S, sock_read=QUIET_S)
        headers, data = _said(body)
        headers["Accept"] = accept
        try:
            async with self._session.request(
                method, self.server_url + API + path, data=data, headers=headers, timeout=timeout
            ) as response:
                if response.status >= 400:
                    raise error_from(response.status, await response.read(), f"{method} {path}")
                yield response.content
        except _FAILURES as error:
            raise self._unavailable(error) from error

    async def lines(self, path: str) -> AsyncGenerator[bytes, None]:
        """The lines of an NDJSON stream, as they come."""
        async with self._stream("GET", path, "application/x-ndjson") as content:
            async for line in _lines(content):
                if line:
                    yield line

    async def sse(
        self, method: str, path: str, body: BaseModel | None = None
    ) -> AsyncGenerator[list[ServerSentEvent], None]:
        """One connection's server-sent events, as many at a time as came in; ends when the server ends it."""
        frames = _Frames()
        async with self._stream(method, path, "text/event-stream", body) as content:
            async for chunk in content.iter_any():
                if batch := frames.feed(chunk):
                    yield batch

    async def close(self) -> None:
        """Close every connection."""
        await self._session.close()

    def _unavailable(self, error: BaseException) -> ServerUnavailable:
        cause = error.os_error if isinstance(error, aiohttp.ClientConnectorError) else error
        why = (isinstance(cause, OSError) and cause.strerror) or str(cause) or type(cause).__name__
        return ServerUnavailable(unanswered(self.server_url, why))


def _said(body: BaseModel | None) -> tuple[dict[str, str], bytes | None]:
    """The headers and the bytes of what is sent."""
    return ({}, None) if body is None else ({"Content-Type": "application/json"}, body.model_dump_json().encode())


class _Frames:
    """Bytes as they come in, to server-sent events. Lines may be of any length, and end in LF or CRLF."""

    def __init__(self) -> None:
        self._rest: list[bytes] = []
        self._fields: dict[str, str] = {}

    def feed(self, chunk: bytes) -> list[ServerSentEvent]:
        """The events that are complete now."""
        *lines, rest = chunk.split(b"\n")
        if lines:
            lines[0] = b"".join((*self._rest, lines[0]))
            self._rest = []
        if rest:
            self._rest.append(rest)
        found = (self._line(line.removesuffix(b"\r").decode()) for line in lines)
        return [event for event in found if event is not None]

    def _line(self, line: str) -> ServerSentEvent | None:
        if not line:
            fields, self._fields = self._fields, {}
            if "data" in fields:
                return ServerSentEvent(fields.get("id", ""), fields.get("event", ""), fields["data"])
            return None
        name, _, value = line.partition(":")
        if name:
            value = value.removeprefix(" ")
            before = self._fields.get(name)
            self._fields[name] = f"{before}\n{value}" if name == "data" and before is not None else value
        return None


async def _lines(content: aiohttp.StreamReader) -> AsyncGenerator[bytes, None]:
    """Lines of any length: the reader's own limit is far below a message's."""
    rest = b""
    async for chunk in content.iter_any():
        *lines, rest = (rest + chunk).split(b"\n")
        for line in lines:
            yield line.removesuffix(b"\r")


class _Resolver(AbstractResolver):
    """Resolves in a thread; and in place when there are no threads any more, as when results are flushed at exit."""

    async def resolve(
        self, host: str, port: int = 0, family: socket.AddressFamily = socket.AF_INET
    ) -> list[ResolveResult]:
        tcp = socket.SOCK_STREAM
        try:
            found = await asyncio.get_running_loop().getaddrinfo(host, port, family=family, type=tcp)
        except RuntimeError:
            found = socket.getaddrinfo(host, port, family=family, type=tcp)
        return [
            ResolveResult(
                hostname=host, host=str(address[0]), port=int(address[1]), family=kind, proto=proto,
                flags=socket.AI_NUMERICHOST,
            )
            for kind, _, proto, _, address in found
        ]  # fmt: skip

    async def close(self) -> None:
        """Nothing is held."""
