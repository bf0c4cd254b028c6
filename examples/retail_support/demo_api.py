"""The server's public HTTP API, as far as the demo needs it: six requests, each of which may be sent twice.

Apart because it is what any other team would write. A ticket is known by its id and a decision by its
`Idempotency-Key`, so when the server is away, or dies before it has answered, the same request is simply sent again.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Mapping
from typing import Any, Final

import aiohttp

from agentspan_schemas.approvals import ApprovalRecord
from agentspan_schemas.http import DecisionRequest, ExecutionPage, ExecutionRef, ExecutionView, TicketRequest

from .demo_errors import DemoError

ANSWERS_WITHIN_S: Final = 60.0
"""How long a request is sent again while no server answers."""

PAUSE_S: Final = 0.1
PAGE: Final = 500
MOST_APPROVALS: Final = 1000


class Api:
    """One server. Safe to use from many tasks at once; the session bounds how many requests are under way."""

    def __init__(self, session: aiohttp.ClientSession, url: str) -> None:
        self._session = session
        self._api = f"{url}/api/v1"

    async def send_ticket(self, ticket: TicketRequest) -> ExecutionRef:
        """Hand in a ticket; the same one again is the same execution."""
        return ExecutionRef.model_validate(await self._send("POST", "/tickets", json=ticket.model_dump(mode="json")))

    async def approvals(self, state: str) -> tuple[ApprovalRecord, ...]:
        """The requests for a decision that are in this state, oldest first."""
        found = await self._send("GET", "/approvals", params={"state": state, "limit": str(MOST_APPROVALS)})
        return tuple(ApprovalRecord.model_validate(item) for item in found["items"])

    async def decide(self, approval_id: str, decision: DecisionRequest) -> None:
        """Approve or reject one call, bound to the arguments that `decision` names by their hash."""
        headers = {"Idempotency-Key": f"demo/{approval_id}"}
        body = decision.model_dump(mode="json")
        await self._send("POST", f"/approvals/{approval_id}/decision", json=body, headers=headers)

    async def counts(self) -> Mapping[str, int]:
        """How many executions history has in each status."""
        counts: dict[str, int] = (await self._send("GET", "/executions/counts"))["counts"]
        return counts

    async def executions(self) -> list[ExecutionView]:
        """Every execution that history has, newest first, page after page."""
        found: list[ExecutionView] = []
        params = {"limit": str(PAGE)}
        while True:
            page = ExecutionPage.model_validate(await self._send("GET", "/executions", params=params))
            found += page.items
            if page.cursor is None:
                return found
            params["cursor"] = page.cursor

    async def is_served(self, agent: str) -> bool:
        """Whether a worker is connected that runs the agent's tools."""
        return bool((await self._send("GET", "/gateway/workers", params={"agent": agent}))["items"])

    async def _send(self, method: str, path: str, **request: Any) -> Any:
        give_up = time.monotonic() + ANSWERS_WITHIN_S
        while True:
            try:
                async with self._session.request(method, self._api + path, **request) as response:
                    if response.status != 503:  # 503: not ready yet, or no longer
                        return await _answer(response, f"{method} {path}")
                    why = await response.text()
            except (aiohttp.ClientConnectionError, aiohttp.ClientPayloadError, TimeoutError) as error:
                why = str(error) or type(error).__name__
            if time.monotonic() > give_up:
                raise DemoError(f"no answer to {method} {path} for {ANSWERS_WITHIN_S:g} s: {why}")
            await asyncio.sleep(PAUSE_S)


async def _answer(response: aiohttp.ClientResponse, request: str) -> Any:
    if response.status >= 400:
        raise DemoError(f"{request} was refused with {response.status}: {await response.text()}")
    return await response.json()
