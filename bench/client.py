"""The server's public API as the driver uses it: start, follow, decide, over connections that stay open.

`Watch` is all that knows how a client learns what happens to an execution, so that only it changes when that does.
Apart from the loops that are measured because those should read as the job does.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncGenerator, AsyncIterator, Mapping
from contextlib import aclosing, asynccontextmanager
from dataclasses import dataclass
from types import TracebackType
from typing import Any, Final, Self

import aiohttp

from . import job
from .errors import BenchError, WrongResult

API: Final = "/api/v1"
ENDS: Final = frozenset({"done", "failed", "cancelled"})
ANSWERS_WITHIN_S: Final = 60.0
PAUSE_S: Final = 0.02
AWAY: Final = (aiohttp.ClientConnectionError, aiohttp.ClientPayloadError)
UNANSWERED: Final = frozenset({502, 503, 504})
"""The server is away, starting, or does not know whether a write stands: to be asked again."""


@dataclass(frozen=True, slots=True)
class Request:
    """A request for a decision, as its approver saw it."""

    approval_id: str
    args_hash: str
    seq: int


@dataclass(frozen=True, slots=True)
class Sent:
    """One event as it came: its JSON is read by whoever needs it."""

    seq: int
    type: str
    data: bytes


class Api:
    """One server and one user of it."""

    def __init__(self, session: aiohttp.ClientSession, url: str) -> None:
        self._session = session
        self._api = url + API

    async def start(self, name: str) -> str:
        """Start an execution for the ticket; its id."""
        body = {"agent": job.AGENT, "prompt": job.ticket_text(name)}
        answer = await self._send("POST", "/executions", json=body, headers={"Idempotency-Key": name})
        return str(answer["execution_id"])

    async def approve(self, request: Request) -> None:
        """Approve the call with the args that were seen."""
        body = {"decision": "approve", "args_hash": request.args_hash}
        headers = {"Idempotency-Key": request.approval_id}
        await self._send("POST", f"/approvals/{request.approval_id}/decision", json=body, headers=headers)

    async def hand_in(self, name: str) -> str:
        """Send the ticket to the door for tickets; the id of its execution."""
        body = {"id": name, "source": "bench", "agent": job.AGENT, "text": job.ticket_text(name)}
        return str((await self._send("POST", "/tickets", json=body))["execution_id"])

    async def resolve(self, execution_id: str, call_id: str, resolution: Mapping[str, Any]) -> None:
        """Say what became of a call in doubt."""
        headers = {"Idempotency-Key": f"{execution_id}.{call_id}/{resolution['attempt']}"}
        path = f"/executions/{execution_id}/calls/{call_id}/resolve"
        await self._send("POST", path, json=resolution, headers=headers)

    async def get(self, path: str, **params: str) -> Any:
        """The answer to a read."""
        return await self._send("GET", path, params=params)

    async def _send(self, method: str, path: str, **request: Any) -> Any:
        """The answer. A request that got none is sent again, which its key makes safe; the driver has the patience."""
        while True:
            try:
                async with self._session.request(method, self._api + path, **request) as response:
                    body = await response.read()
            except AWAY:
                await asyncio.sleep(PAUSE_S)
                continue
            if response.status not in UNANSWERED:
                return _answer(response, body, f"{method} {path}")
            await asyncio.sleep(PAUSE_S)


class Watch:
    """Learns what happens to executions: by an event stream for each."""

    def __init__(self, session: aiohttp.ClientSession, url: str) -> None:
        self._session = session
        self._api = url + API

    @asynccontextmanager
    async def follow(self, execution_id: str, after: int = 0) -> AsyncIterator[Followed]:
        """The events of an execution behind `after`, from now on, over as many connections as it takes."""
        async with aclosing(self._events(execution_id, after)) as events:
            followed = Followed(execution_id, events, after)
            yield followed
            if followed.ended:  # the server ends the stream now: read on to its end, and the connection can be kept
                async for _ in events:
                    pass

    async def _events(self, execution_id: str, after: int) -> AsyncGenerator[Sent, None]:
        path = f"/executions/{execution_id}/stream"
        timeout = aiohttp.ClientTimeout(total=None, sock_read=ANSWERS_WITHIN_S)
        ended = False
        while True:
            try:
                async with self._session.get(
                    self._api + path, params={"after": str(after)}, timeout=timeout
                ) as response:
                    if response.status in UNANSWERED:
                        await asyncio.sleep(PAUSE_S)
                        continue
                    if response.status >= 400:
                        raise BenchError(f"GET {path} was refused with {response.status}: {await response.text()}")
                    async for event in _sent(response.content):
                        after = event.seq
                        yield event
                        ended = event.type in ENDS
                    if ended:
                        return
            except AWAY:
                await asyncio.sleep(PAUSE_S)


class Followed:
    """An execution and its events so far, each of which has to be the next one."""

    def __init__(self, execution_id: str, events: AsyncIterator[Sent], after: int) -> None:
        self.execution_id = execution_id
        self.types: list[str] = []
        self.ended = False
        self._events = events
        self._seq = after

    async def until_waiting(self) -> Request:
        """The request for the refund."""
        waiting = await self._until("waiting")
        found = json.loads(waiting.data)
        return Request(approval_id=found["approval_id"], args_hash=found["args_hash"], seq=waiting.seq)

    async def until_done(self) -> Any:
        """The execution's output."""
        return json.loads((await self._until("done")).data)["output"]

    async def _until(self, kind: str) -> Sent:
        async for event in self._events:
            self._seq += 1
            self.types.append(event.type)
            if event.seq != self._seq:
                raise WrongResult(f"{self.execution_id}: event {event.seq} came where {self._seq} was due")
            self.ended = event.type in ENDS
            if event.type == kind:
                return event
            if self.ended:
                raise WrongResult(f"{self.execution_id} ended before it was {kind}: {event.data.decode()}")
        raise WrongResult(f"{self.execution_id}: the stream ended before it was {kind}; it had {self.types}")


class Clients:
    """Two users of one server, with connections of their own: who sends tickets, and who approves."""

    def __init__(self, url: str) -> None:
        timeout = aiohttp.ClientTimeout(total=ANSWERS_WITHIN_S)
        self._sessions = [
            aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=0, keepalive_timeout=300), timeout=timeout)
            for _ in range(2)
        ]
        customer, approver = self._sessions
        self.customer = Api(customer, url)
        self.approver = Api(approver, url)
        self.watch = Watch(customer, url)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        for session in self._sessions:
            await session.close()


def _answer(response: aiohttp.ClientResponse, body: bytes, request: str) -> Any:
    if response.status >= 400:
        raise BenchError(f"{request} was refused with {response.status}: {body.decode(errors='replace')}")
    return json.loads(body)


async def _sent(content: aiohttp.StreamReader) -> AsyncIterator[Sent]:
    rest = b""
    async for chunk in content.iter_any():
        *blocks, rest = (rest + chunk.replace(b"\r", b"")).split(b"\n\n")
        for block in blocks:
            fields = dict(line.split(b": ", 1) for line in block.split(b"\n") if not line.startswith(b":"))
            if b"data" in fields:
                yield Sent(int(fields[b"id"]), fields[b"event"].decode(), fields[b"data"])
