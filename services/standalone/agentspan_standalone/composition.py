"""The composition root: every service in one process, wired with the real clock and chance.

Nothing else in the code knows which log, which clock or which other service there is.
"""

import asyncio
import os
import random
import uuid
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime

from agentspan.eventlog.commands import CommandLog
from agentspan_approvals.adapters.sqlite_store import SqliteApprovalStore
from agentspan_approvals.service import Approvals
from agentspan_orchestrator.adapters.sqlite_cache import SqliteStateCache
from agentspan_orchestrator.definitions import Definitions
from agentspan_orchestrator.service import Orchestrator
from agentspan_query.adapters.clickhouse import Database
from agentspan_query.adapters.clickhouse_child import ClickHouseChild
from agentspan_query.adapters.history import ClickHouseHistory
from agentspan_query.adapters.migrations import migrate
from agentspan_query.adapters.sink import ClickHouseSink
from agentspan_query.projection import Projection
from agentspan_query.service import Query
from agentspan_query.tail import Tail
from agentspan_standalone.plumbing import Plumbing
from agentspan_standalone.settings import Settings
from agentspan_tool_runner.models import Providers
from agentspan_tool_runner.models.ports import ModelSettings
from agentspan_tool_runner.service import ToolRunner

HISTORY_THREADS = 4
"""So many statements are under way at ClickHouse at a time."""


def now() -> datetime:
    """The time in UTC."""
    return datetime.now(UTC)


class Services:
    """All services of one process, made but not yet running."""

    def __init__(self, settings: Settings, on: Plumbing) -> None:
        log = on.log
        self.providers = Providers.installed(ModelSettings(environment=os.environ, now=now))
        self.definitions = Definitions(on.agents)
        self.caches = [SqliteStateCache(settings.data / f"state-{n}.sqlite3") for n in range(log.partitions)]
        self.orchestrator = Orchestrator(
            log=log,
            inbox=on.inbox,
            tasks=on.tasks,
            workers=on.workers,
            definitions=self.definitions,
            cache=self.caches.__getitem__,
            owner_id=f"{os.uname().nodename}/{os.getpid()}",
            now=now,
            sleep=asyncio.sleep,
            lease_s=settings.lease_s,
        )
        self.commands = CommandLog(log, on.inbox, unavailable=self.orchestrator.unavailable)
        self.tool_runner = ToolRunner(
            tasks=on.tasks,
            workers=on.workers,
            commands=self.commands,
            providers=self.providers,
            definition_of=self.definitions.awaited,
            now=now,
            sleep=asyncio.sleep,
            new_id=lambda: uuid.uuid4().hex,
            chance=random.random,
            model_calls=settings.model_calls,
            lease_s=settings.lease_s,
        )
        self.store = SqliteApprovalStore(settings.data / "approvals.sqlite3")
        self.approvals = Approvals(log=log, commands=self.commands, store=self.store)
        self.tail = Tail(log)
        self._clickhouse = ClickHouseChild(settings.data / "history", memory_bytes=settings.history_memory_mb * 2**20)
        self._threads = ThreadPoolExecutor(HISTORY_THREADS, thread_name_prefix="agentspan-history")
        self._database = Database(self._clickhouse.address, self._threads)
        self._sink = ClickHouseSink(self._database, log.id)
        self.query = Query(log=log, history=ClickHouseHistory(self._database), tail=self.tail, now=now)
        self._log = log
        self._partitions = log.partitions
        self.draining = False

    def unready(self) -> str | None:
        """Why no work can be taken now."""
        if self.draining:
            return "the server is stopping"
        return next(filter(None, map(self.orchestrator.unavailable, range(self._partitions))), None)

    async def run(self) -> None:
        """Run all of them, until cancelled. What none of them can go on from ends the process."""
        clickhouse = asyncio.create_task(self._clickhouse.run())
        try:
            async with asyncio.TaskGroup() as group:
                for service in (self.definitions, self.commands, self.orchestrator, self.tool_runner, self.approvals):
                    group.create_task(service.run())
                group.create_task(self.tail.run())
                group.create_task(self._project())
        finally:
            await asyncio.to_thread(self._threads.shutdown)  # what ClickHouse was asked, it answers before it goes
            clickhouse.cancel()
            await asyncio.wait([clickhouse])

    async def _project(self) -> None:
        """History begins when ClickHouse is there; nothing else waits for it."""
        await self._clickhouse.ready()
        await migrate(self._database)
        await Projection(self._log, self._sink, self.tail, sleep=asyncio.sleep).run()

    async def drain(self) -> None:
        """Take no more work, and let workers look for another server."""
        self.draining = True
        await self.tool_runner.gateway.drain()

    def close(self) -> None:
        """Write what is queued for the files."""
        for cache in self.caches:
            cache.close()
        self.store.close()
        self._database.close()
