"""What the services of one process stand on: a log, an inbox and tables, in one folder or on a cluster.

Apart from their wiring, which is the same on both but for what other teams read and write: a cluster alone has that.
"""

import asyncio
import uuid
from collections.abc import Awaitable, Callable, Coroutine
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol

from agentspan.eventlog import Inbox, Log, LogError, LogMismatch, Table
from agentspan.eventlog.intake import DeadLetters, Source
from agentspan.eventlog.lockfile import LockFile
from agentspan.eventlog.memory import MemoryInbox, MemoryTable
from agentspan.eventlog.sqlite import SqliteLog
from agentspan.eventlog.sqlite_letters import SqliteLetters
from agentspan_orchestrator.owned import MOST_UNDER_WAY
from agentspan_orchestrator.partition import always
from agentspan_schemas.topics import (
    AGENTS,
    APPROVALS,
    DECISIONS,
    EVENTS,
    SETTINGS,
    SNAPSHOTS,
    TASKS,
    TICKETS,
    WORKERS,
    Topic,
)
from agentspan_standalone.lags import Lags, LogLags
from agentspan_standalone.settings import Role, Settings

if TYPE_CHECKING:
    from agentspan.eventlog.kafka import Assignments, Kafka, KafkaConfig, Serving

PARTITIONS = 1
"""One machine, one writer: more partitions would share its disk and its commits."""

LOG_FILE = "log.sqlite3"

LETTERS_FILE = "dead-letters.sqlite3"

LOCK_FILE = "lock"
"""Guards what is derived from a cluster's log: in one folder, two processes would write over each other's."""

Serve = Callable[[int], Coroutine[Any, Any, None]]
"""Serves one partition until cancelled."""


class Share(Protocol):
    """The partitions that are this process's, as they come and go."""

    @property
    def assigned(self) -> frozenset[int] | None:
        """Those of now; none: it is a spare one. None: that is not known yet."""
        ...

    def __call__(self, serve: Serve) -> Coroutine[Any, Any, None]:
        """Serve them, until cancelled."""
        ...


@dataclass(frozen=True, slots=True)
class Tickets:
    """Work that other teams put on their topic."""

    source: Source
    assigned: Callable[[], frozenset[int]]
    """The partitions of the source that are this process's now."""
    dead_letters: DeadLetters


@dataclass(frozen=True, slots=True)
class Requests:
    """What other teams read of the requests for a decision, and their decisions."""

    table: Table
    share: Share
    """Of the table's partitions."""
    source: Source
    """Of decisions."""
    assigned: Callable[[], frozenset[int]]
    """The partitions of the source that are this process's now."""
    dead_letters: DeadLetters


@dataclass(frozen=True, slots=True)
class Plumbing:
    """Open, and closed by `close`. What no role of this process needs is None: it may not be allowed to open it."""

    log: Log
    inbox: Inbox | None
    agents: Table | None
    tasks: Table | None
    workers: Table | None
    settings: Table | None
    """Among others, who handles a ticket that names no agent."""
    alone: bool
    """Whether this process has all partitions, and always will."""
    snapshots: Table | None
    """States of executions, for a process that takes a partition over without a cache of its own."""
    assigned: Callable[[int], Awaitable[bool]]
    """Whether a partition is this process's, asked now."""
    share: Share
    """Of the log's partitions."""
    progressed: Callable[[int, int], None]
    """The commands of a partition are decided up to that offset: for who measures the lag."""
    lags: Lags
    tickets: Tickets | None
    """For an orchestrator on a cluster."""
    requests: Requests | None
    """For an approvals service on a cluster."""
    left_out: DeadLetters | None
    """Where events go that history's ClickHouse will never take, for a query service."""
    close: Callable[[], Awaitable[None]]


async def opened(settings: Settings) -> Plumbing:
    """On the cluster that `log` names, or embedded. Raises LogError or SettingsError."""
    settings.make_data_folder()
    return await clustered(settings) if settings.log else embedded(settings)


def embedded(settings: Settings) -> Plumbing:
    """One SQLite file in the data folder; what follows from it again after a restart is in memory."""
    log = SqliteLog.open(settings.data / LOG_FILE, PARTITIONS)
    return Plumbing(
        log=log,
        inbox=MemoryInbox(PARTITIONS, id=uuid.uuid4().hex, keep=MOST_UNDER_WAY),
        agents=log.table("agents"),
        tasks=MemoryTable(PARTITIONS),
        workers=MemoryTable(),
        settings=log.table("settings"),
        alone=True,
        snapshots=None,
        assigned=always,
        share=_AllOfThem(),
        progressed=lambda partition, offset: None,
        lags=LogLags(log),
        tickets=None,
        requests=None,
        left_out=SqliteLetters(settings.data / LETTERS_FILE, EVENTS.name) if _has(settings, "query") else None,
        close=log.close,
    )


async def clustered(settings: Settings) -> Plumbing:
    """The topics of a Kafka cluster, whose partitions all processes of the group share."""
    config = settings.kafka()
    from agentspan.eventlog.kafka import Assignments, Kafka, KafkaOffsets, TopicMissing

    lock = LockFile(settings.data / LOCK_FILE)
    kafka, assignments, offsets = Kafka(config), Assignments(config), KafkaOffsets(config)

    async def close() -> None:
        await kafka.close()
        await offsets.close()
        lock.release()

    async def table(topic: Topic, *roles: Role) -> Table | None:
        return await kafka.table(topic) if _has(settings, *roles) else None

    try:
        return Plumbing(
            log=await kafka.log(),
            inbox=await kafka.inbox() if _has(settings, "orchestrator", "tool-runner", "approvals") else None,
            agents=await table(AGENTS, "orchestrator", "tool-runner"),
            tasks=await table(TASKS, "orchestrator", "tool-runner"),
            workers=await table(WORKERS, "orchestrator", "tool-runner"),
            settings=await table(SETTINGS, "orchestrator"),
            alone=False,
            snapshots=await table(SNAPSHOTS, "orchestrator"),
            assigned=assignments.confirmed,
            share=_AsAssigned(assignments),
            progressed=assignments.progressed,
            lags=offsets,
            tickets=await _tickets(kafka) if _has(settings, "orchestrator") else None,
            requests=await _requests(kafka, config) if _has(settings, "approvals") else None,
            left_out=await kafka.dead_letters(EVENTS) if _has(settings, "query") else None,
            close=close,
        )
    except LogError as error:
        await close()
        if isinstance(error, TopicMissing):
            what = f"the cluster is not prepared, {error.what}: run `agentspan topics create --log '{settings.log}'`"
            raise LogMismatch(what) from error
        raise


async def _tickets(kafka: "Kafka") -> Tickets:
    from agentspan.eventlog.kafka import INGEST

    source = await kafka.source(TICKETS, INGEST)
    return Tickets(
        source=source,
        assigned=source.assigned,
        dead_letters=await kafka.dead_letters(TICKETS),
    )


async def _requests(kafka: "Kafka", config: "KafkaConfig") -> Requests:
    from agentspan.eventlog import kafka as k

    source = await kafka.source(DECISIONS, k.DECISIONS)
    return Requests(
        table=await kafka.table(APPROVALS),
        share=_AsAssigned(k.Assignments(config, group=k.PUBLISHERS, topic=APPROVALS)),
        source=source,
        assigned=source.assigned,
        dead_letters=await kafka.dead_letters(DECISIONS),
    )


def _has(settings: Settings, *roles: Role) -> bool:
    return not set(roles).isdisjoint(settings.roles)


class _AllOfThem:
    """Every partition, for ever."""

    assigned: frozenset[int] | None = frozenset(range(PARTITIONS))

    async def __call__(self, serve: Serve) -> None:
        async with asyncio.TaskGroup() as group:
            for number in range(PARTITIONS):
                group.create_task(serve(number))


class _AsAssigned:
    """What the group assigns."""

    def __init__(self, assignments: "Assignments") -> None:
        self._assignments = assignments
        self.assigned: frozenset[int] | None = None

    async def __call__(self, serve: Serve) -> None:
        from agentspan.eventlog.kafka import Serving

        async with asyncio.TaskGroup() as group:
            await self._assignments.run(_Noted(self, Serving(serve, group)))


class _Noted:
    """A listener that notes which partitions there are, and passes it on."""

    def __init__(self, share: _AsAssigned, serving: "Serving") -> None:
        self._share = share
        self._serving = serving

    def assigned(self, partitions: frozenset[int]) -> None:
        self._share.assigned = (self._share.assigned or frozenset()) | partitions
        self._serving.assigned(partitions)

    async def revoked(self, partitions: frozenset[int]) -> None:
        self._let_go(partitions)
        await self._serving.revoked(partitions)

    def lost(self, partitions: frozenset[int]) -> None:
        self._let_go(partitions)
        self._serving.lost(partitions)

    def _let_go(self, partitions: frozenset[int]) -> None:
        self._share.assigned = (self._share.assigned or frozenset()) - partitions
