"""What the services of one process stand on: a log, an inbox and tables, in one folder or on a cluster.

Apart from their wiring, which is the same on both but for what other teams read and write: a cluster alone has that.
"""

import asyncio
import uuid
from collections.abc import Awaitable, Callable, Coroutine
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from agentspan.eventlog import Inbox, Log, LogError, LogMismatch, Table
from agentspan.eventlog._lockfile import LockFile
from agentspan.eventlog.intake import DeadLetters, Source
from agentspan.eventlog.memory import MemoryInbox, MemoryTable
from agentspan.eventlog.sqlite import SqliteLog
from agentspan_orchestrator.partition import always
from agentspan_schemas.topics import AGENTS, APPROVALS, DECISIONS, SETTINGS, SNAPSHOTS, TASKS, TICKETS, WORKERS
from agentspan_standalone.settings import Settings

if TYPE_CHECKING:
    from agentspan.eventlog.kafka import Assignments, Kafka, KafkaConfig

PARTITIONS = 1
"""One machine, one writer: more partitions would share its disk and its commits."""

LOG_FILE = "log.sqlite3"

LOCK_FILE = "lock"
"""Guards what is derived from a cluster's log: in one folder, two processes would write over each other's."""

Serve = Callable[[int], Coroutine[Any, Any, None]]
"""Serves one partition until cancelled."""

Share = Callable[[Serve], Awaitable[None]]
"""Serve the partitions that are this process's, as they come and go, until cancelled."""


@dataclass(frozen=True, slots=True)
class Tickets:
    """Work that other teams put on their topic."""

    source: Source
    dead_letters: DeadLetters


@dataclass(frozen=True, slots=True)
class Requests:
    """What other teams read of the requests for a decision, and their decisions."""

    table: Table
    share: Share
    """Of the table's partitions."""
    source: Source
    """Of decisions."""
    dead_letters: DeadLetters


@dataclass(frozen=True, slots=True)
class Plumbing:
    """Open, and closed by `close`."""

    log: Log
    inbox: Inbox
    agents: Table
    tasks: Table
    workers: Table
    settings: Table
    """Among others, who handles a ticket that names no agent."""
    alone: bool
    """Whether this process has all partitions, and always will."""
    snapshots: Table | None
    """States of executions, for a process that takes a partition over without a cache of its own."""
    assigned: Callable[[int], Awaitable[bool]]
    """Whether a partition is this process's, asked now."""
    share: Share
    """Of the log's partitions."""
    tickets: Tickets | None
    """For an orchestrator on a cluster."""
    requests: Requests | None
    """For an approvals service on a cluster."""
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
        settings=log.table("settings"),
        alone=True,
        snapshots=None,
        assigned=always,
        share=all_of_them,
        tickets=None,
        requests=None,
        close=log.close,
    )


async def clustered(settings: Settings) -> Plumbing:
    """The topics of a Kafka cluster, whose partitions all processes of the group share."""
    config = settings.kafka()
    from agentspan.eventlog.kafka import Assignments, Kafka

    lock = LockFile(settings.data / LOCK_FILE)
    kafka, assignments = Kafka(config), Assignments(config)

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
            settings=await kafka.table(SETTINGS),
            alone=False,
            snapshots=await kafka.table(SNAPSHOTS),
            assigned=assignments.confirmed,
            share=_shared(assignments),
            tickets=await _tickets(kafka) if "orchestrator" in settings.roles else None,
            requests=await _requests(kafka, config) if "approvals" in settings.roles else None,
            close=close,
        )
    except LogError as error:
        await close()
        if isinstance(error, LogMismatch):
            what = f"the cluster is not prepared ({error}): run `agentspan topics create --log '{settings.log}'`"
            raise LogMismatch(what) from error
        raise


async def _tickets(kafka: "Kafka") -> Tickets:
    from agentspan.eventlog.kafka import INGEST

    return Tickets(
        source=await kafka.source(TICKETS, INGEST),
        dead_letters=await kafka.dead_letters(TICKETS),
    )


async def _requests(kafka: "Kafka", config: "KafkaConfig") -> Requests:
    from agentspan.eventlog import kafka as k

    return Requests(
        table=await kafka.table(APPROVALS),
        share=_shared(k.Assignments(config, group=k.PUBLISHERS, topic=APPROVALS)),
        source=await kafka.source(DECISIONS, k.DECISIONS),
        dead_letters=await kafka.dead_letters(DECISIONS),
    )


def _shared(assignments: "Assignments") -> Share:
    from agentspan.eventlog.kafka import Serving

    async def as_assigned(serve: Serve) -> None:
        async with asyncio.TaskGroup() as group:
            await assignments.run(Serving(serve, group))

    return as_assigned
