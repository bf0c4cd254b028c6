"""What this gateway announces on the workers table, and what it hears there of others.

A session's record is renewed every two seconds while it lives, put at once when something about it changes (what
changes meanwhile goes into the next put), and deleted when it is over.
"""

import asyncio
import logging
from collections.abc import Awaitable, Callable, Iterable

from agentspan.eventlog import CaughtUp, Change, LogError, Record, Table
from agentspan_schemas import Unreadable
from agentspan_schemas.codec import WORKERS, encode
from agentspan_schemas.tasks import WorkerSession
from agentspan_tool_runner.domain.dispatch import Dispatcher, Handout, Session
from agentspan_tool_runner.ports import Now, Sleep

log = logging.getLogger(__name__)

RENEW_S = 2.0
GATHER_S = 0.1
"""Changes within this time are put as one."""


class Announcer:
    """The gateway's side of the workers table."""

    def __init__(
        self,
        gateway_id: str,
        table: Table,
        dispatcher: Dispatcher,
        *,
        now: Now,
        sleep: Sleep,
        give: Callable[[Iterable[Handout]], None],
    ) -> None:
        self._gateway_id = gateway_id
        self._table = table
        self._dispatcher = dispatcher
        self._now = now
        self._sleep = sleep
        self._give = give
        self._changed: dict[str, None] = {}
        self._news = asyncio.Event()

    async def run(self) -> None:
        """Announce and listen, until cancelled."""
        async with asyncio.TaskGroup() as group:
            group.create_task(self._announce())
            group.create_task(self._renew())
            group.create_task(self._listen())

    def changed(self, session_id: str) -> None:
        """Something about this session is to be told, be it its end."""
        self._changed[session_id] = None
        self._news.set()

    async def flush(self) -> None:
        """Tell all that has changed. What could not be told is told with the next change or renewal."""
        changed, self._changed = self._changed, {}
        puts = {session_id: self._put(session_id) for session_id in changed}
        for session_id, put in puts.items():
            try:
                await put
            except LogError as error:
                log.warning("session %r could not be announced: %s", session_id, error)
                self._changed[session_id] = None

    def record(self, session: Session) -> WorkerSession:
        """The session as others see it."""
        return WorkerSession(
            session_id=session.session_id,
            gateway_id=self._gateway_id,
            worker=session.worker,
            tools={agent: dict(tools) for agent, tools in session.tools.items()},
            holds=tuple(session.hand),
            at=self._now(),
        )

    def _put(self, session_id: str) -> Awaitable[object]:
        session = self._dispatcher.sessions.get(session_id)
        if session is None:
            return self._table.put(session_id, None)
        message = self.record(session)
        return self._table.put(session_id, Record("worker", session_id, encode(message), {}, message))

    async def _announce(self) -> None:
        while True:
            await self._news.wait()
            self._news.clear()
            await self.flush()
            await self._sleep(GATHER_S)

    async def _renew(self) -> None:
        while True:
            await self._sleep(RENEW_S)
            for session_id in (*self._dispatcher.sessions, *self._changed):
                self.changed(session_id)

    async def _listen(self) -> None:
        async for change in self._table.follow():
            if not isinstance(change, CaughtUp):
                self._give(self._heard(change))

    def _heard(self, change: Change) -> list[Handout]:
        if change.record is None:
            return self._dispatcher.gone(change.key, self._now())
        try:
            session = _session(change.record)
        except Unreadable as error:
            log.error("session %r was announced in a way that cannot be read: %s", change.key, error)
            return []
        if session.gateway_id == self._gateway_id:
            return []
        return self._dispatcher.announced(session, self._now())


def _session(record: Record) -> WorkerSession:
    return record.message if isinstance(record.message, WorkerSession) else WORKERS.decode(record.value)
