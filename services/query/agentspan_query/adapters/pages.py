"""Pages of events of many executions, read together: after a restart, clients follow thousands at once.

Apart from the other reads because it alone gathers: while one statement is under way, what is asked for meanwhile waits
and goes into the next one. Who asks alone waits for nobody.
"""

import asyncio
from collections import defaultdict
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from agentspan_query.adapters import sql
from agentspan_query.adapters.clickhouse import Rows
from agentspan_query.domain.views import StoredEvent

MOST_TOGETHER = 64
"""So many executions in one statement: their pages are in memory at once."""

LAST_SEQ = 2**32 - 1
"""The most that ClickHouse's column holds: of a number above it, it would take what is left over."""

Page = Sequence[StoredEvent]


@dataclass(frozen=True, slots=True)
class _Asked:
    """A page that somebody waits for."""

    execution_id: str
    after: int
    limit: int
    page: asyncio.Future[Page]


class Pages:
    """`read` gives the rows of a statement with its parameters."""

    def __init__(self, read: Callable[[str, Mapping[str, Any]], Awaitable[Rows]]) -> None:
        self._read = read
        self._asked: list[_Asked] = []
        self._reading: asyncio.Task[None] | None = None

    async def page(self, execution_id: str, after: int, limit: int) -> Page:
        """Up to `limit` events with a seq above `after`, in order. Raises what `read` raises."""
        asked = _Asked(execution_id, after, limit, asyncio.get_running_loop().create_future())
        self._asked.append(asked)
        if self._reading is None:
            self._reading = asyncio.create_task(self._read_all())
        return await asked.page

    async def _read_all(self) -> None:
        try:
            while self._asked:
                together = self._together()
                try:
                    pages = await self._pages(together)
                except Exception as error:
                    _refuse(together, error)
                else:
                    _give(together, pages)
        finally:
            self._reading = None

    def _together(self) -> Sequence[_Asked]:
        """The next ones of one limit, each of another execution, as far as somebody still waits for them."""
        waiting = [asked for asked in self._asked if not asked.page.done()]
        chosen: dict[str, _Asked] = {}
        for asked in waiting:
            if len(chosen) < MOST_TOGETHER and asked.limit == waiting[0].limit:
                chosen.setdefault(asked.execution_id, asked)
        self._asked = [asked for asked in waiting if chosen.get(asked.execution_id) is not asked]
        return list(chosen.values())

    async def _pages(self, together: Sequence[_Asked]) -> Mapping[str, list[StoredEvent]]:
        pages: dict[str, list[StoredEvent]] = defaultdict(list)
        if together:
            params = {
                "ids": [asked.execution_id for asked in together],
                "afters": [min(asked.after, LAST_SEQ) for asked in together],
                "limit": together[0].limit,
            }
            for execution_id, *event in await self._read(sql.EVENTS, params):
                pages[execution_id].append(StoredEvent(*event))
        return pages


def _give(together: Sequence[_Asked], pages: Mapping[str, Page]) -> None:
    for asked in together:
        if not asked.page.done():
            asked.page.set_result(pages.get(asked.execution_id, []))


def _refuse(together: Sequence[_Asked], error: Exception) -> None:
    for asked in together:
        if not asked.page.done():
            asked.page.set_exception(error)
