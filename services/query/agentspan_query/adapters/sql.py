"""Every statement that reads history, with bound parameters only: a value never becomes part of a text.

Times are bound as microseconds since 1970, which is exact on both sides.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from agentspan_query.domain.filters import ExecutionFilter, Place, micros
from agentspan_query.domain.rows import ExecutionRow

PAGE = f"""
SELECT {", ".join(ExecutionRow._fields)} FROM executions FINAL WHERE $conditions
ORDER BY started_at $order, execution_id $order LIMIT {{limit:UInt32}}
"""
"""FINAL: a status counts only if it is the execution's last. An `executions` row of an earlier event never matches."""

REACH = """
SELECT count(), min(at), max(at) FROM (
    SELECT toUnixTimestamp64Micro(started_at) AS at FROM executions WHERE $conditions
    ORDER BY started_at $order LIMIT {most:UInt32}
)
"""
"""Between which starts the first `most` rows are that may match, states that are past included: two columns of many
rows are read in a fraction of the time in which FINAL folds them, and FINAL needs to fold none beyond them."""

CALLED = """execution_id IN (
    SELECT execution_id FROM events WHERE $conditions AND type = 'tool_call' AND tool = {tool:String}
)"""
"""Which executions called a tool stands in their events: a row of `executions` knows one event alone."""

STARTS = """
SELECT execution_id, prompt_preview, actor, source, source_key FROM events
WHERE execution_id IN {ids:Array(String)} AND seq = 1
AND started_at >= fromUnixTimestamp64Micro({oldest:Int64}, 'UTC')
AND started_at <= fromUnixTimestamp64Micro({newest:Int64}, 'UTC')
LIMIT 1 BY execution_id
"""
"""What only the first event knows, for the rows of a page. The times leave out the partitions it cannot be in."""

PENDING = """
SELECT argMax(payload, seq) FROM events
WHERE execution_id IN {ids:Array(String)} AND call_id != ''
AND started_at >= fromUnixTimestamp64Micro({oldest:Int64}, 'UTC')
AND started_at <= fromUnixTimestamp64Micro({newest:Int64}, 'UTC')
GROUP BY execution_id, call_id HAVING argMax(type, seq) IN ('waiting', 'in_doubt')
ORDER BY execution_id, max(seq)
"""
"""The calls that stopped last of all that happened to them."""

EDGES = """
SELECT payload FROM events
WHERE execution_id = {id:String}
AND seq IN (1, (SELECT max(seq) FROM events WHERE execution_id = {id:String}))
ORDER BY seq LIMIT 1 BY seq
"""

EVENTS = """
SELECT execution_id, seq, type, payload FROM (
    SELECT execution_id, seq, type, payload FROM events
    WHERE execution_id IN {ids:Array(String)}
        AND seq > transform(execution_id, {ids:Array(String)}, {afters:Array(UInt32)}, toUInt32(0))
    ORDER BY execution_id, seq LIMIT 1 BY execution_id, seq
)
ORDER BY execution_id, seq LIMIT {limit:UInt32} BY execution_id
"""
"""LIMIT 1 BY instead of FINAL: rows of one key are equal, and it is five times as fast."""

COUNTS = "SELECT status, count() FROM executions FINAL WHERE $conditions GROUP BY status"

AGENTS = "SELECT DISTINCT agent FROM executions ORDER BY agent"

POSITIONS = "SELECT partition, offset, epoch, n FROM positions FINAL WHERE log_id = {log_id:String}"
ALL_POSITIONS = "SELECT log_id, partition, offset FROM positions FINAL"


@dataclass(slots=True)
class _Where:
    """Conditions and what they bind."""

    conditions: list[str] = field(default_factory=list)
    params: dict[str, Any] = field(default_factory=dict)

    def add(self, condition: str, **params: object) -> None:
        self.conditions.append(condition)
        self.params |= params

    def into(self, sql: str) -> str:
        return sql.replace("$conditions", " AND ".join(self.conditions) or "1")


def page(
    chosen: ExecutionFilter, after: Place | None, limit: int, *, within: tuple[int, int] | None = None
) -> tuple[str, Mapping[str, Any]]:
    """The rows of a list behind `after`; those that did not start `within` (microseconds, both included) left out."""
    where = _started(chosen, after)
    if within is not None:
        where.add("started_at >= fromUnixTimestamp64Micro({first:Int64}, 'UTC')", first=within[0])
        where.add("started_at <= fromUnixTimestamp64Micro({last:Int64}, 'UTC')", last=within[1])
    _call(where, chosen)
    _listed(where, chosen, after)
    return _in_order(where.into(PAGE), chosen), {**where.params, "limit": limit}


def reach(chosen: ExecutionFilter, after: Place | None, most: int) -> tuple[str, Mapping[str, Any]]:
    """How far the first rows reach that a list behind `after` may need, whatever tools those called."""
    where = _started(chosen, after)
    _listed(where, chosen, after)
    return _in_order(where.into(REACH), chosen), {**where.params, "most": most}


def _in_order(statement: str, chosen: ExecutionFilter) -> str:
    return statement.replace("$order", "ASC" if chosen.oldest_first else "DESC")


def _listed(where: _Where, chosen: ExecutionFilter, after: Place | None) -> None:
    if chosen.statuses:
        where.add("status IN {statuses:Array(String)}", statuses=list(chosen.statuses))
    if after:
        place = "(fromUnixTimestamp64Micro({after:Int64}, 'UTC'), {after_id:String})"
        where.add(f"(started_at, execution_id) {_behind(chosen)} {place}", after_id=after.execution_id)


def counts(chosen: ExecutionFilter) -> tuple[str, Mapping[str, Any]]:
    """How many executions have each status, whichever statuses are chosen."""
    where = _started(chosen)
    _call(where, chosen)
    return where.into(COUNTS), where.params


def _started(chosen: ExecutionFilter, after: Place | None = None) -> _Where:
    """What can be said of an execution's events as well."""
    where = _Where()
    if chosen.agent is not None:
        where.add("agent = {agent:String}", agent=chosen.agent)
    if chosen.since:
        where.add("started_at >= fromUnixTimestamp64Micro({since:Int64}, 'UTC')", since=micros(chosen.since))
    if chosen.until:
        where.add("started_at < fromUnixTimestamp64Micro({until:Int64}, 'UTC')", until=micros(chosen.until))
    if after:
        # implied by the place itself; it is what the index understands
        place = "fromUnixTimestamp64Micro({after:Int64}, 'UTC')"
        where.add(f"started_at {_behind(chosen)}= {place}", after=micros(after.started_at))
    return where


def _behind(chosen: ExecutionFilter) -> str:
    return ">" if chosen.oldest_first else "<"


def _call(where: _Where, chosen: ExecutionFilter) -> None:
    """The tool. What is asked so far holds for its events, and leaves most of them out."""
    if chosen.tool is not None:
        where.add(where.into(CALLED), tool=chosen.tool)
