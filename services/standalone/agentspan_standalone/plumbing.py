"""What the services of one process stand on: a log, an inbox and tables, embedded in one folder or on a cluster."""

import uuid
from collections.abc import Awaitable, Callable
from dataclasses import dataclass

from agentspan.eventlog import Inbox, Log, Table
from agentspan.eventlog.memory import MemoryInbox, MemoryTable
from agentspan.eventlog.sqlite import SqliteLog
from agentspan_standalone.settings import Settings

PARTITIONS = 1
"""One machine, one writer: more partitions would share its disk and its commits."""

LOG_FILE = "log.sqlite3"


@dataclass(frozen=True, slots=True)
class Plumbing:
    """Open, and closed by `close`."""

    log: Log
    inbox: Inbox
    agents: Table
    tasks: Table
    workers: Table
    close: Callable[[], Awaitable[None]]


def embedded(settings: Settings) -> Plumbing:
    """One SQLite file in the data folder; what follows from it again after a restart is in memory."""
    settings.data.mkdir(parents=True, exist_ok=True, mode=0o700)
    log = SqliteLog.open(settings.data / LOG_FILE, PARTITIONS)
    return Plumbing(
        log=log,
        inbox=MemoryInbox(PARTITIONS, id=uuid.uuid4().hex),
        agents=log.table("agents"),
        tasks=MemoryTable(PARTITIONS),
        workers=MemoryTable(),
        close=log.close,
    )
