"""What the services of one process stand on: a log, an inbox and tables, in one folder or on a cluster.

Apart from their wiring, which is the same on both.
"""

import asyncio
import uuid
from collections.abc import Awaitable, Callable, Coroutine
from dataclasses import dataclass
from typing import Any

from agentspan.eventlog import Inbox, Log, LogError, LogMismatch, Table
from agentspan.eventlog._lockfile import LockFile
from agentspan.eventlog.memory import MemoryInbox, MemoryTable
from agentspan.eventlog.sqlite import SqliteLog
from agentspan_orchestrator.partition import always
from agentspan_schemas.topics import AGENTS, SNAPSHOTS, TASKS, WORKERS
from agentspan_standalone.settings import Settings

PARTITIONS = 1
"""One machine, one writer: more partitions would share its disk and its commits."""

LOG_FILE = "log.sqlite3"

LOCK_FILE = "lock"
"""Guards what is derived from a cluster's log: in one folder, two processes would write over each other's."""

Serve = Callable[[int], Coroutine[Any, Any, None]]
"""Serves one partition until cancelled."""


@dataclass(frozen=True, slots=True)
class Plumbing:
    """Open, and closed by `close`."""

    log: Log
    inbox: Inbox
    agents: Table
    tasks: Table
    workers: Table
    alone: bool
    """Whether this process has all partitions, and always will."""
    snapshots: Table | None
    """States of executions, for a process that takes a partition over without a cache of its own."""
    assigned: Callable[[int], Awaitable[bool]]
    """Whether a partition is this process's, asked now."""
    share: Callable[[Serve], Awaitable[None]]
    """Serve the partitions that are this process's, as they come and go, until cancelled."""
    close: Callable[[], Awaitable[None]]


async def opened(settings: Settings) -> Plumbing:
    """On the cluster that `log` names, or embedded. Raises LogError or SettingsError."""
    settings.data.mkdir(parents=True, exist_ok=True, mode=0o700)
    return await clustered(settings) if settings.log else embedded(settings)


def embedded(settings: Settings) -> Plumbing:
    """One SQLite file in the data folder; what follows from it again after a restart is in memory."""
    log = SqliteLog.open(settings.data / LOG_FILE, PARTITIONS)

    async def all_of_them(serve: Serve) -> None:
        async with asyncio.TaskGroup() as group:
            for number in range(PARTITIONS):
                group.create_task(serve(number))

    return Plumbing(
        log=log,
        inbox=MemoryInbox(PARTITIONS, id=uuid.uuid4().hex),
        agents=log.table("agents"),
        tasks=MemoryTable(PARTITIONS),
        workers=MemoryTable(),
        alone=True,
        snapshots=None,
        assigned=always,
        share=all_of_them,
        close=log.close,
    )


async def clustered(settings: Settings) -> Plumbing:
    """The topics of a Kafka cluster, whose partitions all processes of the group share."""
    config = settings.kafka()
    from agentspan.eventlog.kafka import Assignments, Kafka, Serving

    lock = LockFile(settings.data / LOCK_FILE)
    kafka, assignments = Kafka(config), Assignments(config)

    async def as_assigned(serve: Serve) -> None:
        async with asyncio.TaskGroup() as group:
            await assignments.run(Serving(serve, group))

    async def close() -> None:
        await kafka.close()
        lock.release()

    try:
        return Plumbing(
            log=await kafka.log(),
            inbox=await kafka.inbox(),
            agents=await kafka.table(AGENTS),
            tasks=await kafka.table(TASKS),
            workers=await kafka.table(WORKERS),
            alone=False,
            snapshots=await kafka.table(SNAPSHOTS),
            assigned=assignments.confirmed,
            share=as_assigned,
            close=close,
        )
    except LogError as error:
        await close()
        if isinstance(error, LogMismatch):
            what = f"the cluster is not prepared ({error}): run `agentspan topics create --log '{settings.log}'`"
            raise LogMismatch(what) from error
        raise
