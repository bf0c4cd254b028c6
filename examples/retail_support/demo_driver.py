"""Sends the tickets, and watches through the history API until every execution has ended.

Apart because it is the demo's own clock: what happens in the middle (the kill) hangs on what it counts.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass
from typing import Final

from agentspan_schemas.events import TERMINAL
from agentspan_schemas.http import TicketRequest

from .demo_api import Api
from .demo_errors import DemoError

LOOK_EVERY_S: Final = 0.25
STALLED_AFTER_S: Final = 60.0


@dataclass(frozen=True, slots=True)
class Counts:
    """How the executions stand, as history has them."""

    started: int
    waiting: int
    ended: int


class Driver:
    """Hands in every ticket, in order, as fast as the session's connections allow."""

    def __init__(self, api: Api, tickets: Sequence[TicketRequest]) -> None:
        self.executions: dict[str, str] = {}
        """Execution id by ticket id, of those sent so far."""
        self._api = api
        self._tickets = tickets

    @property
    def total(self) -> int:
        """How many tickets there are."""
        return len(self._tickets)

    async def send(self) -> None:
        """Send all; return when each is accepted."""
        async with asyncio.TaskGroup() as group:
            for ticket in self._tickets:
                group.create_task(self._send(ticket))

    async def watch(self) -> AsyncIterator[Counts]:
        """Counts, now and again, the last of them when all have ended. Raises DemoError when nothing moves."""
        seen, moved_at = None, time.monotonic()
        while seen is None or seen.ended < self.total:
            await asyncio.sleep(LOOK_EVERY_S)
            counts = await self._counts()
            if counts != seen:
                seen, moved_at = counts, time.monotonic()
            elif time.monotonic() - moved_at > STALLED_AFTER_S:
                raise DemoError(f"nothing has moved for {STALLED_AFTER_S:g} s: {seen}; look at the history page")
            yield counts

    async def _send(self, ticket: TicketRequest) -> None:
        self.executions[ticket.id] = (await self._api.send_ticket(ticket)).execution_id

    async def _counts(self) -> Counts:
        counts = await self._api.counts()
        ended = sum(counts.get(status, 0) for status in TERMINAL)
        return Counts(started=sum(counts.values()), waiting=counts.get("waiting", 0), ended=ended)
