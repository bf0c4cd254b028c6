"""Which tasks somebody holds: the sessions that gateways announce, judged by the owner's own clock.

A session that was not announced for `lease_s` holds nothing; a task that nobody held for `lease_s` is lost.
"""

import asyncio
import logging
from dataclasses import dataclass
from datetime import datetime, timedelta

from agentspan.eventlog import CaughtUp, Record, Table
from agentspan.eventlog.messages import message_of
from agentspan_orchestrator.ports import Now
from agentspan_schemas import Unreadable
from agentspan_schemas.codec import WORKERS
from agentspan_schemas.tasks import WorkerSession

logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class _Seen:
    session: WorkerSession
    at: datetime


class Leases:
    """A view of the workers table."""

    def __init__(self, table: Table, *, now: Now, lease_s: float) -> None:
        self._table = table
        self.now = now
        self.lease = timedelta(seconds=lease_s)
        self._sessions: dict[str, _Seen] = {}
        self.loaded = asyncio.Event()

    async def run(self) -> None:
        """Follow the table."""
        async for change in self._table.follow():
            if isinstance(change, CaughtUp):
                self.loaded.set()
            elif change.record is None:
                self._sessions.pop(change.key, None)
            elif session := _session(change.record):
                self._sessions[change.key] = _Seen(session, self.now())

    def held(self) -> set[str]:
        """The keys of the tasks that live sessions hold."""
        since = self.now() - self.lease
        return {key for seen in self._sessions.values() if seen.at >= since for key in seen.session.holds}


class Watch:
    """The tasks of one partition whose holders matter: those seen in somebody's hands, and the granted calls."""

    def __init__(self, leases: Leases) -> None:
        self._leases = leases
        self._now = leases.now
        self._last_held: dict[str, datetime] = {}
        self._granted: set[str] = set()

    def granted(self, task_key: str) -> None:
        """The call's code may be running from now on."""
        self._granted.add(task_key)
        self._last_held.setdefault(task_key, self._now())

    def over(self, task_key: str) -> None:
        """The task is closed: who holds it does not matter any more."""
        self._granted.discard(task_key)
        self._last_held.pop(task_key, None)

    def lost(self, open_keys: set[str]) -> list[str]:
        """The tasks that nobody has held for a lease.

        A granted one is named again after another lease, as its grant may have been too young. Any other is named
        once, until somebody has held it again: it stands on the topic for whoever takes it, and nothing is written
        about it while nobody does.
        """
        now = self._now()
        held = self._leases.held()
        for key in sorted(held & (open_keys | self._last_held.keys())):  # an order that no process's hashes decide
            self._last_held[key] = now
        lost = [key for key, at in self._last_held.items() if now - at > self._leases.lease]
        for key in lost:
            if key in self._granted:
                self._last_held[key] = now
            else:
                del self._last_held[key]
        return lost


def _session(record: Record) -> WorkerSession | None:
    """The announcement; None for one that cannot be read, as of a newer version: what it holds counts as not held."""
    try:
        return message_of(record, WORKERS)
    except Unreadable as error:
        logger.warning("the announcement of session %r is passed over: %s", record.key, error)
        return None
