"""History built anew beside the one that people read: in a database of its own, whose tables are exchanged when full.

Every step may be the last one of a killed process: the next rebuild finds out where it stands. A table that waits to be
exchanged carries a mark as its comment, which it takes along; `prepared` exists once all of them carry it.
"""

from collections import Counter
from collections.abc import Mapping, Sequence

from agentspan.eventlog import Position
from agentspan_query.adapters.clickhouse import Database
from agentspan_query.adapters.migrations import migrate
from agentspan_query.adapters.retention import expire
from agentspan_query.adapters.sink import REBUILT, ClickHouseSink
from agentspan_query.domain.rows import EventRow, ExecutionRow, Refused
from agentspan_query.errors import RebuildMismatch
from agentspan_query.ports import Counts, Now

TABLES = ("events", "executions", "positions")
"""In the order in which they are exchanged; `positions` last: it says that the others were."""

_MARK = "to be exchanged"

_COUNTED = """
CREATE TABLE IF NOT EXISTS counted (partition UInt32, offset UInt64, events UInt64, executions UInt64)
ENGINE = ReplacingMergeTree ORDER BY (partition, offset)
"""
"""What each batch had, by where it began: a batch that is written again replaces what it said."""


class Shadow:
    """Of one log's history. Each may raise HistoryUnavailable or HistoryFailed; the same rebuild goes on later."""

    def __init__(self, live: Database, log_id: str, *, now: Now, keep_days: int | None) -> None:
        self._live = live
        self._beside = live.named(f"{live.name}_rebuild")
        self._log_id = log_id
        self._now = now
        self._keep_days = keep_days
        self._sinks = {side: ClickHouseSink(side, f"{log_id}{REBUILT}") for side in (self._live, self._beside)}
        self._exchanged = False
        self._refused: Counter[str] = Counter()
        """Rows of each table that it never takes."""

    async def open(self) -> None:
        """Find the rebuild that was begun, or begin one."""
        await migrate(self._live)
        if not await self._is_prepared():
            await self._live.command(f"DROP DATABASE IF EXISTS `{self._beside.name}` SYNC")
            await migrate(self._beside)
            await self._beside.command(_COUNTED)
            for table in TABLES:
                await self._beside.command(f"ALTER TABLE {table} MODIFY COMMENT '{_MARK}'")
            await self._beside.command("CREATE TABLE IF NOT EXISTS prepared (n UInt8) ENGINE = MergeTree ORDER BY n")
        marked = await self._marked()
        if 0 < len(marked) < len(TABLES):
            await self._swap()
        self._exchanged = len(marked) < len(TABLES)

    @property
    def exchanged(self) -> bool:
        """Whether people read the new tables already."""
        return self._exchanged

    async def positions(self) -> Mapping[int, Position]:
        """How far it came in each partition."""
        return await self._sink.positions()

    async def write(
        self,
        number: int,
        began: Position,
        position: Position,
        events: Sequence[EventRow],
        executions: Sequence[ExecutionRow],
    ) -> Sequence[Refused]:
        """Store a batch of one partition, and how far it came; those of which a row was refused."""
        refused = await self._sink.write(events, executions)
        self._refused.update(each.table for each in refused)
        row = (number, began.offset, len(events), sum(event.seq == 1 for event in events))
        columns = ("partition", "offset", "events", "executions")
        await self._beside.insert("counted", columns, [row], token=f"{number}:{began}-{position}")
        await self._sink.save_positions({number: position})
        return refused

    async def counts(self) -> Counts:
        """What the log had, up to where it came."""
        [(events, executions)] = await self._beside.query("SELECT sum(events), sum(executions) FROM counted FINAL", {})
        return Counts(events, executions)

    async def verify(self) -> None:
        """Compare the new tables with what the log had. Raises RebuildMismatch."""
        expected = await self.counts()
        [(events,)] = await self._beside.query("SELECT count() FROM events FINAL", {}, within_s=600)
        [(executions,)] = await self._beside.query("SELECT count() FROM executions FINAL", {}, within_s=600)
        found = Counts(events, executions)
        if not (
            self._is_all("events", events, expected.events)
            and self._is_all("executions", executions, expected.executions)
        ):
            raise RebuildMismatch(
                f"the log has {expected}, the new tables have {found}; what people read was not touched. Drop the"
                f" database {self._beside.name!r} and run the same command again"
            )

    def _is_all(self, table: str, found: int, expected: int) -> bool:
        """A refused row may be there all the same: from another batch, or where it was a view that refused it."""
        return expected - self._refused[table] <= found <= expected

    async def exchange(self) -> None:
        """Let people read the new tables instead of the old ones."""
        if self._keep_days is not None:
            await expire(self._beside, self._now(), self._keep_days)
        await ClickHouseSink(self._beside, self._log_id).save_positions(await self.positions())
        await self._swap()
        self._exchanged = True

    async def _swap(self) -> None:
        """Exchange the tables that have not been yet."""
        live, beside, marked = self._live.name, self._beside.name, await self._marked()
        for table in TABLES:
            if table in marked:
                await self._live.command(f"EXCHANGE TABLES `{live}`.{table} AND `{beside}`.{table}")

    async def finish(self) -> None:
        """Drop the old tables, and what only the rebuild needed."""
        await self._live.command("DELETE FROM positions WHERE log_id = {id:String}", {"id": f"{self._log_id}{REBUILT}"})
        for table in TABLES:
            await self._live.command(f"ALTER TABLE {table} MODIFY COMMENT ''")
        await self._live.command(f"DROP DATABASE IF EXISTS `{self._beside.name}` SYNC")
        self._beside.close()

    @property
    def _sink(self) -> ClickHouseSink:
        return self._sinks[self._live if self._exchanged else self._beside]

    async def _is_prepared(self) -> bool:
        sql = "SELECT count() FROM system.tables WHERE database = {name:String} AND name = 'prepared'"
        [(found,)] = await self._live.query(sql, {"name": self._beside.name})
        return bool(found)

    async def _marked(self) -> Sequence[str]:
        sql = "SELECT name FROM system.tables WHERE database = {name:String} AND comment = {mark:String}"
        return [name for (name,) in await self._live.query(sql, {"name": self._beside.name, "mark": _MARK})]
