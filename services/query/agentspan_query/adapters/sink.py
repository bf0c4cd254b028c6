"""What the projection writes: rows first, then how far it came.

A batch is not atomic in ClickHouse (one part for each month). It need not be: rows are the same however often they are
written, and the position follows only when all of them are stored.
"""

from collections.abc import Mapping, Sequence

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
        """Store a batch of one partition, in the log's order."""
        if not events:
            return
        batch = f"{self._log_id}:{events[0].partition}:{events[0].offset}-{events[-1].offset}"
        await self._database.insert("events", EventRow._fields, events, token=f"events:{batch}")
        rows = latest(executions)
        await self._database.insert("executions", ExecutionRow._fields, rows, token=f"executions:{batch}")

    async def save_position(self, partition: int, position: Position) -> None:
        """Remember that everything of the partition before this position is stored."""
        row = (self._log_id, partition, position.offset, position.epoch, position.n)
        columns = ("log_id", "partition", "offset", "epoch", "n")
        await self._database.insert(
            "positions", columns, [row], token=f"positions:{self._log_id}:{partition}:{position}"
        )

    async def positions(self) -> Mapping[int, Position]:
        """Where to go on in each partition of this log; a partition without one begins at the beginning."""
        rows = await self._database.query(sql.POSITIONS, {"log_id": self._log_id})
        return {partition: Position(offset, epoch, n) for partition, offset, epoch, n in rows}
