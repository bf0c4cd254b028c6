"""History in this process: the live end of the log, its projection, and the ClickHouse that keeps it."""

import asyncio
from concurrent.futures import ThreadPoolExecutor
from urllib.parse import urlsplit

from agentspan.eventlog import Log
from agentspan_query.adapters.clickhouse import Address, Database
from agentspan_query.adapters.clickhouse_child import ClickHouseChild
from agentspan_query.adapters.history import ClickHouseHistory
from agentspan_query.adapters.migrations import migrate
from agentspan_query.adapters.sink import ClickHouseSink
from agentspan_query.errors import HistoryUnavailable
from agentspan_query.ports import Now
from agentspan_query.projection import Projection
from agentspan_query.service import Query
from agentspan_query.tail import Tail
from agentspan_standalone.settings import Settings

THREADS = 4
"""So many statements are under way at ClickHouse at a time."""

AGAIN_S = 1.0


class HistoryServices:
    """The query service and what it stands on."""

    def __init__(self, settings: Settings, log: Log, now: Now) -> None:
        self._log = log
        self._child = None if settings.clickhouse else _child(settings)
        self._threads = ThreadPoolExecutor(THREADS, thread_name_prefix="agentspan-history")
        self._database = Database(self._child.address if self._child else _address(settings), self._threads)
        self._tail = Tail(log)
        self.query = Query(log=log, history=ClickHouseHistory(self._database), tail=self._tail, now=now)

    async def run(self) -> None:
        """Until cancelled. ClickHouse goes last: what it was asked, it answers."""
        child = asyncio.create_task(self._child.run()) if self._child else None
        try:
            async with asyncio.TaskGroup() as group:
                group.create_task(self._tail.run())
                group.create_task(self._project())
        finally:
            await asyncio.to_thread(self._threads.shutdown)
            if child is not None:
                child.cancel()
                await asyncio.wait([child])

    def close(self) -> None:
        """Let go of the connections."""
        self._database.close()

    async def _project(self) -> None:
        """History begins when ClickHouse is there; nothing else waits for it."""
        if self._child is not None:
            await self._child.ready()
        await self._migrated()
        sink = ClickHouseSink(self._database, self._log.id)
        await Projection(self._log, sink, self._tail, sleep=asyncio.sleep).run()

    async def _migrated(self) -> None:
        while True:
            try:
                await migrate(self._database)
                return
            except HistoryUnavailable:
                await asyncio.sleep(AGAIN_S)


def _child(settings: Settings) -> ClickHouseChild:
    return ClickHouseChild(settings.data / "history", memory_bytes=settings.history_memory_mb * 2**20)


def _address(settings: Settings) -> Address:
    url = urlsplit(settings.clickhouse)
    secure = url.scheme == "https"
    return Address(
        host=url.hostname or "localhost",
        port=url.port or (8443 if secure else 8123),
        username=url.username or "default",
        password=settings.clickhouse_password.get_secret_value(),
        secure=secure,
    )
