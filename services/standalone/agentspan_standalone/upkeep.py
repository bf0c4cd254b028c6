"""What `agentspan query …` does beside serving: tables migrated, analysts let in, history built anew.

Apart from the command line, which knows nothing of ClickHouse, and from the server, which does none of it unasked.
What goes wrong is a StartError.
"""

import asyncio
from collections.abc import AsyncIterator, Callable, Coroutine
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractAsyncContextManager, asynccontextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

from agentspan.eventlog import Log, LogError
from agentspan.eventlog.lockfile import LockFile
from agentspan.eventlog.sqlite import SqliteLog
from agentspan_query.adapters import analysts
from agentspan_query.adapters.clickhouse import Database
from agentspan_query.adapters.migrations import migrate, pending
from agentspan_query.adapters.shadow import Shadow
from agentspan_query.errors import HistoryUnavailable, QueryError
from agentspan_query.rebuild import rebuild as rebuild_from
from agentspan_standalone.composition import now
from agentspan_standalone.errors import HistoryRefused, OutOfReach, SettingsError
from agentspan_standalone.history import address, child
from agentspan_standalone.plumbing import LOCK_FILE, LOG_FILE, PARTITIONS
from agentspan_standalone.settings import Settings

T = TypeVar("T")

STATEMENT_WITHIN_S = 600
"""A person waits for a migration of a large table; a server would try again."""


@dataclass(frozen=True, slots=True)
class Migrated:
    """What a database lacked."""

    names: tuple[str, ...]
    applied: bool
    """Whether it has them now."""
    analysts: tuple[str, ...] = ()
    """The statements that let analysts in, where that was asked for."""


def migrate_tables(clickhouse: str | None, *, check: bool = False, with_analysts: bool = False) -> Migrated:
    """Bring the tables of a ClickHouse up to this release, or only look what they lack."""
    settings = _external(Settings.given(clickhouse=clickhouse))
    statements = tuple(analysts.STATEMENTS) if with_analysts else ()

    async def work() -> Migrated:
        async with _reached(settings) as database:
            if check:
                return Migrated(tuple(await pending(database)), applied=False, analysts=statements)
            names = tuple(await migrate(database))
            for statement in statements:
                await database.command(statement)
            return Migrated(names, applied=True, analysts=statements)

    return _done(work())


def rebuild_tables(log: str | None, data: Path | None, clickhouse: str | None, told: Callable[[str], None]) -> str:
    """Build history anew from the log; a sentence about what there is now."""
    settings = Settings.given(log=log, data=data.absolute() if data else None, clickhouse=clickhouse)

    async def work() -> str:
        async with _log(settings) as events, _reached(settings) as database:
            new = Shadow(database, events.id, now=now, keep_days=settings.history_days)
            return f"history was built anew: {await rebuild_from(events, new, told)}, as the log has"

    return _done(work())


def _external(settings: Settings) -> Settings:
    if not settings.clickhouse:
        raise SettingsError(
            "which ClickHouse? Give --clickhouse http://user@host:8123, or set AGENTSPAN_CLICKHOUSE; the embedded one"
            " is migrated by its server as it starts"
        )
    return settings


@asynccontextmanager
async def _reached(settings: Settings) -> AsyncIterator[Database]:
    """The ClickHouse that the settings name, or the one of the data folder, for as long as it is needed."""
    with ThreadPoolExecutor(2) as threads:
        own = None if settings.clickhouse else child(settings)
        serving = asyncio.create_task(own.run()) if own else None
        database = Database(own.address if own else address(settings), threads, answer_within_s=STATEMENT_WITHIN_S)
        try:
            if own:
                await own.ready()
            yield database
        finally:
            database.close()
            if serving:
                serving.cancel()
                with suppress(asyncio.CancelledError):
                    await serving


def _log(settings: Settings) -> AbstractAsyncContextManager[Log]:
    """The log alone. Raises LogError."""
    return _of_cluster(settings) if settings.log else _of_folder(settings)


@asynccontextmanager
async def _of_folder(settings: Settings) -> AsyncIterator[Log]:
    """Its server must not run then."""
    if not (settings.data / LOG_FILE).exists():
        raise SettingsError(f"there is no log in {str(settings.data)!r}: give --data, or --log kafka://…")
    log = SqliteLog.open(settings.data / LOG_FILE, PARTITIONS)
    try:
        yield log
    finally:
        await log.close()


@asynccontextmanager
async def _of_cluster(settings: Settings) -> AsyncIterator[Log]:
    """A server on the data folder must not run then, where history is embedded in it."""
    config = settings.kafka()
    from agentspan.eventlog.kafka import Kafka

    settings.make_data_folder()
    lock = None if settings.clickhouse else LockFile(settings.data / LOCK_FILE)
    kafka = Kafka(config)
    try:
        yield await kafka.log()
    finally:
        await kafka.close()
        if lock:
            lock.release()


def _done(work: Coroutine[Any, Any, T]) -> T:
    """The work's result. Raises OutOfReach or HistoryRefused."""
    try:
        return asyncio.run(work)
    except HistoryUnavailable as error:
        raise OutOfReach(str(error)) from error
    except (QueryError, LogError) as error:
        raise HistoryRefused(str(error)) from error
