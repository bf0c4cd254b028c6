"""Which tasks somebody holds: the sessions that gateways announce, judged by the owner's own clock.

A session that was not announced for `lease_s` holds nothing; a task that nobody held for `lease_s` is lost.
"""

import asyncio
from dataclasses import dataclass
from datetime import datetime, timedelta

from agentspan.eventlog import CaughtUp, Record, Table
from agentspan_orchestrator.ports import Now
from agentspan_schemas.codec import WORKERS
from agentspan_schemas.tasks import WorkerSession


@dataclass(frozen=True, slots=True)
class _Seen:
    session: WorkerSession
    at: datetime


class Leases:
    """A view of the workers table."""

    def __init__(self, table: Table, *, now: Now, lease_s: float) -> None:
        self._table = table
        self._now = now
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
            else:
                self._sessions[change.key] = _Seen(_session(change.record), self._now())

    def held(self) -> set[str]:
        """The keys of the tasks that live sessions hold."""
        since = self._now() - self.lease
        return {key for seen in self._sessions.values() if seen.at >= since for key in seen.session.holds}


class Watch:
    """The tasks of one partition whose holders matter: those seen in somebody's hands, and the granted calls."""

    def __init__(self, leases: Leases, now: Now) -> None:
        self._leases = leases
        self._now = now
        self._last_held: dict[str, datetime] = {}

    def granted(self, task_key: str) -> None:
        """The call's code may be running from now on."""
        self._last_held.setdefault(task_key, self._now())

    def over(self, task_key: str) -> None:
        """The task is closed: who holds it does not matter any more."""
        self._last_held.pop(task_key, None)

    def lost(self, open_keys: set[str]) -> list[str]:
        """The tasks that nobody has held for a lease. Each is named again after another one."""
        now = self._now()
        held = self._leases.held()
        for key in sorted(held & (open_keys | self._last_held.keys())):  # an order that no process's hashes decide
            self._last_held[key] = now
        lost = [key for key, at in self._last_held.items() if now - at > self._leases.lease]
        for key in lost:
            self._last_held[key] = now
        return lost


def _session(record: Record) -> WorkerSession:
    return record.message if isinstance(record.message, WorkerSession) else WORKERS.decode(record.value)
