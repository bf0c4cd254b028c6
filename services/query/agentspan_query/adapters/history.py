"""Every read of history: lists, one execution, its events, counts."""

from collections import defaultdict
from collections.abc import Mapping, Sequence
from contextlib import suppress
from datetime import datetime, timedelta
from typing import Any

from agentspan_query.adapters import sql
from agentspan_query.adapters.clickhouse import Database, Rows
from agentspan_query.adapters.pages import Pages
from agentspan_query.domain.filters import ExecutionFilter, Place, decode_cursor, encode_cursor, micros
from agentspan_query.domain.later import ReadEvent, read_event
from agentspan_query.domain.rows import ExecutionRow
from agentspan_query.domain.story import PendingCall, stopped_call
from agentspan_query.domain.views import HistoryPage, Start, StoredEvent, execution_view, listed_view
from agentspan_query.errors import HistoryFailed, HistoryUnavailable
from agentspan_schemas import Unreadable
from agentspan_schemas.events import InDoubt, Started, Status, Waiting
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
        """Up to `limit` executions in their order, from where `cursor` says. Raises BadCursor."""
        after = decode_cursor(cursor, chosen) if cursor else None
        found = await self._first(chosen, after, limit + 1)
        rows = [ExecutionRow(*row) for row in found[:limit]]
        starts = await self._starts(rows)
        more = len(found) > limit
        return HistoryPage(
            items=tuple(listed_view(row, starts.get(row.execution_id)) for row in rows),
            cursor=encode_cursor(Place(rows[-1].started_at, rows[-1].execution_id), chosen) if more else None,
        )

    async def pending(self, views: Sequence[ExecutionView]) -> Mapping[str, Sequence[PendingCall]]:
        """The calls that these executions wait with, by execution. One that a later release wrote is left out."""
        calls: dict[str, list[PendingCall]] = defaultdict(list)
        if views:
            of = {"ids": [view.execution_id for view in views], **_started([view.started_at for view in views])}
            for (payload,) in await self._read(sql.PENDING, of):
                with suppress(Unreadable):
                    event = read_event(payload.encode())
                    if isinstance(event, Waiting | InDoubt):
                        calls[event.execution_id].append(stopped_call(event))
        return calls

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

    async def _first(self, chosen: ExecutionFilter, after: Place | None, limit: int) -> Rows:
        """The rows of a list. A wide one is read from its first part alone, where that suffices."""
        for most in () if _is_narrow(chosen) else (limit * step for step in LOOKS):
            [(there, *within)] = await self._read(*sql.reach(chosen, after, most))
            found = await self._read(*sql.page(chosen, after, limit, within=tuple(within))) if there else []
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
        params = {"ids": [row.execution_id for row in rows], **_started([row.started_at for row in rows])}
        return {start[0]: Start(*start[1:]) for start in await self._read(sql.STARTS, params)}


def _started(moments: Sequence[datetime]) -> Mapping[str, Any]:
    """What leaves out the partitions without executions that started then."""
    return {"oldest": micros(min(moments)), "newest": micros(max(moments))}


def _is_narrow(chosen: ExecutionFilter) -> bool:
    if chosen.agent is None or chosen.since is None or chosen.until is None:
        return False
    return chosen.until - chosen.since <= NARROW
