"""The server's public API as the driver uses it: start, decide, follow, over connections that stay open.

Apart from the loops that are measured because those should read as the job does.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Mapping
from types import TracebackType
from typing import Any, Final, Self

import aiohttp

from . import job
from .errors import BenchError
from .watch import AWAY, PAUSE_S, Request, Started, Watch

API: Final = "/api/v1"
ANSWERS_WITHIN_S: Final = 60.0
UNANSWERED: Final = frozenset({502, 503, 504})
"""The server is away, starting, or does not know whether a write stands: to be asked again."""


class Api:
    """One server and one user of it."""

    def __init__(self, session: aiohttp.ClientSession, api: str) -> None:
        self._session = session
        self._api = api

    async def start(self, name: str) -> Started:
        """Start an execution for the ticket."""
        body = {"agent": job.AGENT, "prompt": job.ticket_text(name)}
        answer = await self._send("POST", "/executions", json=body, headers={"Idempotency-Key": name})
        return Started(answer["execution_id"], answer["position"])

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


class Clients:
    """Two users of one server, with connections of their own: who sends tickets, and who approves."""

    def __init__(self, url: str) -> None:
        timeout = aiohttp.ClientTimeout(total=ANSWERS_WITHIN_S)
        self._sessions = [
            aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=0, keepalive_timeout=300), timeout=timeout)
            for _ in range(2)
        ]
        customer, approver = self._sessions
        self.customer = Api(customer, url + API)
        self.approver = Api(approver, url + API)
        self.watch = Watch(customer, url + API)
        self._watching: asyncio.Task[None] | None = None

    async def __aenter__(self) -> Self:
        self._watching = asyncio.create_task(self.watch.run())
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        if self._watching:
            self._watching.cancel()
            await asyncio.wait([self._watching])
        for session in self._sessions:
            await session.close()


def _answer(response: aiohttp.ClientResponse, body: bytes, request: str) -> Any:
    if response.status >= 400:
        raise BenchError(f"{request} was refused with {response.status}: {body.decode(errors='replace')}")
    return json.loads(body)
