"""History in this process: the live end of the log, its projection, and the ClickHouse that keeps it."""

import asyncio
import logging
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from urllib.parse import urlsplit

from agentspan.eventlog import Log
from agentspan_query.adapters.clickhouse import Address, Database
from agentspan_query.adapters.clickhouse_child import ClickHouseChild
from agentspan_query.adapters.history import ClickHouseHistory
from agentspan_query.adapters.migrations import migrate, require
from agentspan_query.adapters.retention import expire
from agentspan_query.adapters.sink import ClickHouseSink
from agentspan_query.aside import Aside
from agentspan_query.errors import HistoryFailed, HistoryUnavailable, MigrationError, QueryError
from agentspan_query.ports import Now
from agentspan_query.projection import Projection
from agentspan_query.service import Query
from agentspan_query.tail import NOTHING_YET, Tail
from agentspan_standalone.errors import HistoryRefused
from agentspan_standalone.settings import Settings

logger = logging.getLogger(__name__)

THREADS = 4
"""So many statements are under way at ClickHouse at a time."""

FIRST_PAUSE_S = 1.0
LONGEST_PAUSE_S = 15.0

EXPIRE_EVERY_S = 3600.0

ASKED_WITHIN_S = 5
"""So long a start waits for a ClickHouse to say whether it has the tables; later, the projection waits for it."""


class HistoryServices:
    """The query service and what it stands on."""

    def __init__(self, settings: Settings, log: Log, aside: Aside, now: Now) -> None:
        self._settings = settings
        self._log = log
        self._now = now
        self._child = None if settings.clickhouse else child(settings)
        self._threads = ThreadPoolExecutor(THREADS, thread_name_prefix="agentspan-history")
        self._database = Database(self._child.address if self._child else address(settings), self._threads)
        self._tail = Tail(log)
        self._sink = ClickHouseSink(self._database, log.id)
        self._projection = Projection(log, self._sink, self._tail, aside, sleep=asyncio.sleep)
        self._waits: str | None = "history waits for its ClickHouse"
        self.query = Query(log=log, history=ClickHouseHistory(self._database), tail=self._tail, now=now)

    @property
    def trouble(self) -> str | None:
        """Why history falls behind now, or lacks events; None: it does not. The log keeps what is missing from it."""
        return self._waits or self._projection.trouble or self._waits_for_upgrade() or self._lacks()

    @property
    def projection(self) -> Projection:
        """For who measures it."""
        return self._projection

    def lag_s(self) -> float | None:
        """How old what is missing from ClickHouse is; None: of some partition that is not known yet."""
        now = self._now()
        since = self._tail.complete_up_to(now)
        return None if since <= NOTHING_YET else (now - since).total_seconds()

    async def run(self) -> None:
        """Until cancelled. ClickHouse goes last: what it was asked, it answers."""
        running = asyncio.create_task(self._child.run()) if self._child else None
        try:
            async with asyncio.TaskGroup() as group:
                group.create_task(self._tail.run())
                group.create_task(self._project())
        finally:
            await asyncio.to_thread(self._threads.shutdown)
            if running is not None:
                running.cancel()
                await asyncio.wait([running])

    def _waits_for_upgrade(self) -> str | None:
        waiting = self._projection.waits_for
        partitions = f"history of {len(waiting)} of {self._log.partitions} partitions waits"
        return f"{partitions}: {next(iter(waiting.values()))}" if waiting else None

    def _lacks(self) -> str | None:
        if not (count := self._projection.left_out):
            return None
        return (
            f"it goes on without unreadable events, or events that ClickHouse refused, {count} since this process"
            " began: `agentspan dlq list --topic events` says which and why"
        )

    def close(self) -> None:
        """Let go of the connections."""
        self._database.close()

    async def _project(self) -> None:
        """History begins when ClickHouse is there; nothing else waits for it."""
        ends = {}
        if self._child is not None:
            ends = {number: await self._log.partition(number).end() for number in range(self._log.partitions)}
            await self._child.ready()
        await self._prepared(ends)
        self._waits = None
        async with asyncio.TaskGroup() as group:
            group.create_task(self._projection.run())
            if self._settings.history_days is not None:
                group.create_task(self._expire(self._settings.history_days))

    async def _prepared(self, ends: Mapping[int, int]) -> None:
        """Return when the tables are this release's. One's own ClickHouse that can't be migrated ends the process."""
        pause_s = FIRST_PAUSE_S
        while True:
            try:
                await self._prepare(ends)
                return
            except (HistoryUnavailable, HistoryFailed, MigrationError) as error:
                if self._child is not None and not isinstance(error, HistoryUnavailable):
                    raise
                self._waits = str(error)
                logger.warning("history waits, again in %.0f s: %s", pause_s, error)
            await asyncio.sleep(pause_s)
            pause_s = min(2 * pause_s, LONGEST_PAUSE_S)

    async def _prepare(self, ends: Mapping[int, int]) -> None:
        """`ends` are the log's as the process began: what it appends itself must not hide that history is ahead."""
        if self._child is not None or self._settings.clickhouse_migrate:
            await migrate(self._database)
        else:
            await require(self._database)
        if self._child is not None and await self._sink.is_of_another_past(ends):
            logger.warning(
                "history has what this log has not, as one restored from an older copy; it is made anew from it"
            )
            await self._sink.clear()

    async def _expire(self, keep_days: int) -> None:
        while True:
            try:
                if gone := await expire(self._database, self._now(), keep_days):
                    logger.info("%d executions that ended more than %d days ago left history", gone, keep_days)
            except QueryError as error:
                logger.warning("what ended long ago could not leave history; again in an hour: %s", error)
            await asyncio.sleep(EXPIRE_EVERY_S)


async def refuse_wrong_tables(settings: Settings) -> None:
    """Ask another's ClickHouse, if it answers soon, whether it has this release's tables. Raises HistoryRefused."""
    if not settings.clickhouse or settings.clickhouse_migrate or "query" not in settings.roles:
        return
    with ThreadPoolExecutor(1) as threads:
        database = Database(address(settings), threads, answer_within_s=ASKED_WITHIN_S)
        try:
            await require(database)
        except HistoryUnavailable as error:
            logger.warning("history begins when its ClickHouse answers: %s", error)
        except QueryError as error:
            raise HistoryRefused(str(error)) from error
        finally:
            database.close()


def child(settings: Settings) -> ClickHouseChild:
    """The embedded ClickHouse of the data folder."""
    return ClickHouseChild(settings.data / "history", memory_bytes=settings.history_memory_mb * 2**20)


def address(settings: Settings) -> Address:
    """Of the ClickHouse that the settings name."""
    url = urlsplit(settings.clickhouse)
    secure = url.scheme == "https"
    return Address(
        host=url.hostname or "localhost",
        port=url.port or (8443 if secure else 8123),
        username=url.username or "default",
        password=settings.clickhouse_password.get_secret_value(),
        secure=secure,
    )
