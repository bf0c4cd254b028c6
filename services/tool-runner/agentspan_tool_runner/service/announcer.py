"""This process's side of the workers table: what it announces of its sessions, and what it hears there of others.

A session's record is renewed every two seconds while it lives, put at once when something about it changes (what
changes meanwhile goes into the next put), and deleted when it is over. So are the records of the long dead.
"""

import asyncio
import logging
from collections.abc import Awaitable, Iterable
from typing import Protocol

from agentspan.eventlog import CaughtUp, Change, LogError, Record, Table
from agentspan.eventlog.messages import message_of
from agentspan_schemas import Unreadable
from agentspan_schemas.codec import WORKERS, encode
from agentspan_schemas.tasks import WorkerSession
from agentspan_tool_runner.domain.peers import LOOK_AGAIN, News, Peers
from agentspan_tool_runner.ports import Now, Sleep

logger = logging.getLogger(__name__)

RENEW_S = 2.0
GATHER_S = 0.1
"""Changes within this time are put as one."""


class Member(Protocol):
    """Whoever in this process has sessions, and shares its work with those of other processes."""

    def announced(self) -> Iterable[str]:
        """Its live sessions."""
        ...

    def record(self, session_id: str) -> WorkerSession | None:
        """The session as others see it; None: it is over, or another member's."""
        ...

    def stands(self, session_id: str) -> None:
        """Others can see this session."""
        ...

    def others(self, news: News) -> None:
        """Something changed among the others, or it is time to look again."""
        ...

    def retire(self) -> None:
        """This process is about to stop."""
        ...


class Announcer:
    """One for all members of a process."""

    def __init__(self, gateway_id: str, table: Table, *, now: Now, sleep: Sleep, peers: Peers) -> None:
        self.gateway_id = gateway_id
        self.peers = peers
        self.members: list[Member] = []
        self.loaded = asyncio.Event()
        """Set once all that others have announced is known here."""
        self.seen = asyncio.Event()
        """Set once others can see that there is this process."""
        self._table = table
        self._now = now
        self._sleep = sleep
        self._lease_s = peers.lease.total_seconds()
        self._changed: dict[str, None] = {}
        self._news = asyncio.Event()

    async def run(self) -> None:
        """Announce and listen, until cancelled."""
        self._all_changed()
        async with asyncio.TaskGroup() as group:
            group.create_task(self._announce())
            group.create_task(self._renew())
            group.create_task(self._listen())
            group.create_task(self._look_again())

    def changed(self, session_id: str) -> None:
        """Something about this session is to be told, be it its end."""
        self._changed[session_id] = None
        self._news.set()

    async def retire(self) -> None:
        """Have every member end what it can, and tell."""
        for member in self.members:
            member.retire()
        await self._flush()

    async def _flush(self) -> None:
        """Tell all that has changed. What could not be told is told with the next change or renewal."""
        changed, self._changed = self._changed, {}
        told = await asyncio.gather(*map(self._put, changed), return_exceptions=True)
        for session_id, error in zip(changed, told, strict=True):
            if isinstance(error, LogError):
                logger.warning("session %r could not be announced: %s", session_id, error)
                self._changed[session_id] = None
            elif isinstance(error, BaseException):
                raise error

    def _put(self, session_id: str) -> Awaitable[object]:
        message = next(filter(None, (member.record(session_id) for member in self.members)), None)
        if message is None:
            return self._table.put(session_id, None)
        return self._table.put(session_id, Record("worker", session_id, encode(message), {}, message))

    async def _announce(self) -> None:
        while True:
            await self._news.wait()
            self._news.clear()
            await self._flush()
            await self._sleep(GATHER_S)

    async def _renew(self) -> None:
        while True:
            await self._sleep(min(RENEW_S, self._lease_s / 3))
            self._all_changed()

    def _all_changed(self) -> None:
        sessions = [session_id for member in self.members for session_id in member.announced()]
        for session_id in (*sessions, *self._changed):
            self.changed(session_id)

    # The others

    async def _listen(self) -> None:
        async for change in self._table.follow():
            if isinstance(change, CaughtUp):
                self.loaded.set()
            else:
                self._tell(self._heard(change))

    def _heard(self, change: Change) -> News:
        if change.record is None:
            return self.peers.gone(change.key)
        try:
            session = message_of(change.record, WORKERS)
        except Unreadable as error:
            logger.error("session %r was announced in a way that cannot be read: %s", change.key, error)
            return News()
        if session.gateway_id != self.gateway_id:
            return self.peers.heard(session, self._now())
        self.seen.set()
        for member in self.members:
            member.stands(session.session_id)
        return News()

    async def _look_again(self) -> None:
        """Time alone makes a difference: some are not heard of any more, and some did not take what was theirs."""
        while True:
            await self._sleep(self._lease_s / 6)
            now = self._now()
            self._tell(self.peers.expire(now))
            self._tell(LOOK_AGAIN)
            for session_id in self.peers.to_bury(now):
                logger.warning("session %r died long ago: its record is deleted", session_id)
                self.changed(session_id)

    def _tell(self, news: News) -> None:
        if news:
            for member in self.members:
                member.others(news)
