"""What the projection writes: rows first, then how far it came.

A batch is not atomic in ClickHouse (one part for each month). It need not be: rows are the same however often they are
written, and the position follows only when all of them are stored.
"""

from collections.abc import Iterable, Mapping, Sequence
from hashlib import sha256

from agentspan.eventlog import Position
from agentspan_query.adapters import sql
from agentspan_query.adapters.clickhouse import Database
from agentspan_query.domain.rows import EventRow, ExecutionRow, latest


class ClickHouseSink:
    """Writes to one database. Each may raise HistoryUnavailable or HistoryFailed."""

    def __init__(self, database: Database, log_id: str) -> None:
        self._database = database
        self._log_id = log_id

    async def write(self, events: Sequence[EventRow], executions: Sequence[ExecutionRow]) -> None:
        """Store what some partitions have, of each in the log's order."""
        if not events:
            return
        token = self._token(events)
        await self._database.insert("events", EventRow._fields, events, token=f"events:{token}")
        rows = latest(executions)
        await self._database.insert("executions", ExecutionRow._fields, rows, token=f"executions:{token}")

    async def save_positions(self, positions: Mapping[int, Position]) -> None:
        """Remember that everything of each partition before its position is stored."""
        rows = [(self._log_id, number, at.offset, at.epoch, at.n) for number, at in positions.items()]
        if rows:
            columns = ("log_id", "partition", "offset", "epoch", "n")
            await self._database.insert("positions", columns, rows, token=f"positions:{self._log_id}:{_digest(rows)}")

    async def positions(self) -> Mapping[int, Position]:
        """Where to go on in each partition of this log; a partition without one begins at the beginning."""
        rows = await self._database.query(sql.POSITIONS, {"log_id": self._log_id})
        return {partition: Position(offset, epoch, n) for partition, offset, epoch, n in rows}

    def _token(self, events: Sequence[EventRow]) -> str:
        """The same rows, cut in the same way, have the same. When the last one happened is part of it: a log that is
        restored from an older copy has other events at the same offsets."""
        begins: dict[int, int] = {}
        ends: dict[int, str] = {}
        for event in events:
            begins.setdefault(event.partition, event.offset)
            ends[event.partition] = f"{event.offset}@{event.at.isoformat()}"
        return f"{self._log_id}:{_digest((number, begins[number], ends[number]) for number in begins)}"


def _digest(parts: Iterable[object]) -> str:
    """As short for many partitions as for one."""
    return sha256("\n".join(map(str, parts)).encode()).hexdigest()
