"""Every read of history: lists, one execution, its events, counts."""

from collections.abc import Mapping, Sequence
from datetime import timedelta
from typing import Any

from agentspan_query.adapters import sql
from agentspan_query.adapters.clickhouse import Database, Rows
from agentspan_query.adapters.pages import Pages
from agentspan_query.domain.filters import ExecutionFilter, Place, decode_cursor, encode_cursor, micros
from agentspan_query.domain.later import ReadEvent, read_event
from agentspan_query.domain.rows import ExecutionRow
from agentspan_query.domain.views import HistoryPage, Start, StoredEvent, execution_view, listed_view
from agentspan_query.errors import HistoryFailed, HistoryUnavailable
from agentspan_schemas import Unreadable
from agentspan_schemas.events import Started, Status
from agentspan_schemas.http import ExecutionView

NOT_THERE_YET = (60, 81)
"""ClickHouse's numbers for a table and a database that it does not know: the first start has yet to make them."""


LOOKS = (8, 64)
"""So many rows for each that is asked for are looked at first: most are older states, where those have not merged."""

NARROW = timedelta(days=32)
"""A month of one agent is folded as quickly as it is looked at."""


class ClickHouseHistory:
    """Reads of one database. Each may raise HistoryUnavailable or HistoryFailed."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._pages = Pages(self._read)

    async def executions(self, chosen: ExecutionFilter, *, cursor: str | None = None, limit: int = 50) -> HistoryPage:
        """Up to `limit` executions, newest first, from where `cursor` says. Raises BadCursor."""
        after = decode_cursor(cursor, chosen) if cursor else None
        found = await self._newest(chosen, after, limit + 1)
        rows = [ExecutionRow(*row) for row in found[:limit]]
        starts = await self._starts(rows)
        more = len(found) > limit
        return HistoryPage(
            items=tuple(listed_view(row, starts.get(row.execution_id)) for row in rows),
            cursor=encode_cursor(Place(rows[-1].started_at, rows[-1].execution_id), chosen) if more else None,
        )

    async def execution(self, execution_id: str) -> ExecutionView | None:
        """One execution with all its texts, None if there is none."""
        edges = await self.edges(execution_id)
        return execution_view(*edges) if edges else None

    async def edges(self, execution_id: str) -> tuple[Started, ReadEvent] | None:
        """The first and the last event of an execution."""
        rows = await self._read(sql.EDGES, {"id": execution_id})
        if not rows:
            return None
        try:
            first, last = (read_event(payload.encode()) for (payload,) in (rows[0], rows[-1]))
        except Unreadable as error:
            raise HistoryFailed(f"execution {execution_id!r} was written by a later release: {error}", None) from error
        if not isinstance(first, Started):
            why = "`agentspan dlq list --topic events` may say why; else build history again"
            raise HistoryFailed(f"history lacks the first event of execution {execution_id!r}: {why}", None)
        return first, last

    async def events(self, execution_id: str, *, after: int = 0, limit: int = 500) -> Sequence[StoredEvent]:
        """The events of an execution with a seq above `after`, in order."""
        return await self._pages.page(execution_id, after, limit)

    async def status_counts(self, chosen: ExecutionFilter) -> Mapping[Status, int]:
        """How many executions of the agent and the time have each status: what choosing it would show."""
        return {status: count for status, count in await self._read(*sql.counts(chosen))}

    async def agents(self) -> Sequence[str]:
        """The names of all agents that ever ran."""
        return [name for (name,) in await self._read(sql.AGENTS, {})]

    async def _newest(self, chosen: ExecutionFilter, after: Place | None, limit: int) -> Rows:
        """The rows of a list. A wide one is read from its newest part alone, where that suffices."""
        for most in () if _is_narrow(chosen) else (limit * step for step in LOOKS):
            [(there, down_to)] = await self._read(*sql.newest(chosen, after, most))
            found = await self._read(*sql.page(chosen, after, limit, down_to=down_to)) if there else []
            if len(found) == limit or there < most:
                return found
        return await self._read(*sql.page(chosen, after, limit))

    async def _read(self, statement: str, params: Mapping[str, Any]) -> Rows:
        try:
            return await self._database.query(statement, params)
        except HistoryFailed as error:
            if error.code in NOT_THERE_YET:
                raise HistoryUnavailable("history has no tables yet: they are made as it starts; try again") from error
            raise

    async def _starts(self, rows: Sequence[ExecutionRow]) -> Mapping[str, Start]:
        if not rows:
            return {}
        params: dict[str, Any] = {
            "ids": [row.execution_id for row in rows],
            "oldest": micros(rows[-1].started_at),
            "newest": micros(rows[0].started_at),
        }
        return {start[0]: Start(*start[1:]) for start in await self._read(sql.STARTS, params)}


def _is_narrow(chosen: ExecutionFilter) -> bool:
    if chosen.agent is None or chosen.since is None or chosen.until is None:
        return False
    return chosen.until - chosen.since <= NARROW
