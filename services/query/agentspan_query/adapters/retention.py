"""Letting go of executions that ended long ago, where an operator wants that.

Not by ClickHouse's own TTL: that works row by row, and no row knows whether its execution ended. Dropping an ended
execution's last row could bring back an older one, which says that it waits (docs/decisions/0042).
"""

from datetime import datetime, timedelta

from agentspan_query.adapters.clickhouse import Database
from agentspan_query.domain.filters import micros

AT_ONCE = 5_000
"""So many executions are let go of by one statement: it is done within the time of a request."""

_ENDED = """
SELECT execution_id, started_at FROM executions FINAL
WHERE finished_at < fromUnixTimestamp64Micro({before:Int64}, 'UTC')
AND started_at < fromUnixTimestamp64Micro({before:Int64}, 'UTC')
ORDER BY started_at LIMIT {limit:UInt32}
"""

_DELETE = """
DELETE FROM {table} WHERE execution_id IN {{ids:Array(String)}}
AND started_at >= fromUnixTimestamp64Micro({{oldest:Int64}}, 'UTC')
AND started_at <= fromUnixTimestamp64Micro({{newest:Int64}}, 'UTC')
"""


async def expire(database: Database, now: datetime, keep_days: int) -> int:
    """Delete the executions that ended more than `keep_days` ago, with their events; how many those were."""
    before = {"before": micros(now - timedelta(days=keep_days)), "limit": AT_ONCE}
    gone = 0
    while rows := await database.query(_ENDED, before):
        ids = [execution_id for execution_id, _ in rows]
        bounds = {"oldest": micros(rows[0][1]), "newest": micros(rows[-1][1])}
        # events first: whoever is killed between the two still finds the execution
        for table in ("events", "executions"):
            await database.command(_DELETE.format(table=table), {"ids": ids, **bounds}, lightweight_deletes_sync=2)
        gone += len(ids)
    return gone
