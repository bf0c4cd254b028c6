"""What the projection writes: rows first, then how far it came.

A batch is not atomic in ClickHouse (one part for each month). It need not be: rows are the same however often they are
written, and the position follows only when all of them are stored. Rows that ClickHouse will never take are found by
writing the batch in halves, each under a token of its own: after a crash in the middle the same halves write nothing.
"""

from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from hashlib import sha256

from agentspan.eventlog import Position
from agentspan_query.adapters import sql
from agentspan_query.adapters.clickhouse import Database
from agentspan_query.domain.rows import EventRow, ExecutionRow, Refused, latest
from agentspan_query.errors import RowsRefused

REBUILT = "#rebuild"
"""Behind a log's id: the positions of a rebuild of its history."""


class ClickHouseSink:
    """Writes to one database. Each may raise HistoryUnavailable or HistoryFailed."""

    def __init__(self, database: Database, log_id: str) -> None:
        self._database = database
        self._log_id = log_id

    async def write(self, events: Sequence[EventRow], executions: Sequence[ExecutionRow]) -> Sequence[Refused]:
        """Store what some partitions have, of each in the log's order; those of which a row was refused."""
        if not events:
            return ()
        token, rows = self._token(events), latest(executions)

        async def write_events(begin: int, end: int) -> None:
            part = events[begin:end]
            of_it = token if len(part) == len(events) else self._token(part)
            await self._database.insert("events", EventRow._fields, part, token=f"events:{of_it}")

        async def write_executions(begin: int, end: int) -> None:
            part = "" if (begin, end) == (0, len(rows)) else f":{begin}-{end}"
            await self._database.insert(
                "executions", ExecutionRow._fields, rows[begin:end], token=f"executions:{token}{part}"
            )

        refused = [Refused(events[at], "events", why) for at, why in await in_halves(len(events), write_events)]
        if without := await in_halves(len(rows), write_executions):
            of = {(event.execution_id, event.seq): event for event in events}
            refused += [Refused(of[rows[at].execution_id, rows[at].seq], "executions", why) for at, why in without]
            await self._write_without_texts([rows[at] for at, _ in without], token)
        return refused

    async def _write_without_texts(self, rows: Sequence[ExecutionRow], token: str) -> None:
        """Where it is a text that is refused, the list still says how the execution stands: one that has ended would
        look open for ever."""
        plain = [row._replace(output_preview="", error_kind="", error="") for row in rows]

        async def write(begin: int, end: int) -> None:
            part = f"executions:{token}:plain:{begin}-{end}"
            await self._database.insert("executions", ExecutionRow._fields, plain[begin:end], token=part)

        await in_halves(len(plain), write)

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

    async def is_of_another_past(self, ends: Mapping[int, int]) -> bool:
        """Whether it reaches beyond the ends of the log's partitions, or holds another log: what is stored then never
        happened on this one, which was restored from an older copy, or made anew."""
        rows = await self._database.query(sql.ALL_POSITIONS, {})
        return any(
            log_id.removesuffix(REBUILT) != self._log_id or offset > ends.get(partition, 0)
            for log_id, partition, offset in rows
        )

    async def clear(self) -> None:
        """Let go of all that is stored; of the positions last, so that one who is killed meanwhile does it again."""
        for table in ("events", "executions", "positions"):
            await self._database.command(f"TRUNCATE TABLE {table}")

    def _token(self, events: Sequence[EventRow]) -> str:
        """The same rows, cut in the same way, have the same. When the last one happened is part of it: a log that is
        restored from an older copy has other events at the same offsets."""
        last = {event.partition: event for event in events}
        first = {event.partition: event for event in reversed(events)}
        parts = [(number, first[number].offset, f"{end.offset}@{end.at.isoformat()}") for number, end in last.items()]
        return f"{self._log_id}:{_digest(parts)}"


async def in_halves(count: int, write: Callable[[int, int], Awaitable[None]]) -> Sequence[tuple[int, str]]:
    """Write the rows from 0 up to `count`; of each that is refused its place and why.

    `write` takes a range of them, and raises RowsRefused where one of it is refused: for each such row twice the
    logarithm of `count` more writes, at most. Raises what else `write` does.
    """
    refused: list[tuple[int, str]] = []
    ranges = [(0, count)]
    while ranges:
        begin, end = ranges.pop()
        try:
            await write(begin, end)
        except RowsRefused as error:
            if end - begin == 1:
                refused.append((begin, str(error)))
            else:
                middle = (begin + end) // 2
                ranges += [(middle, end), (begin, middle)]
    return refused


def _digest(parts: Iterable[object]) -> str:
    """As short for many partitions as for one."""
    return sha256("\n".join(map(str, parts)).encode()).hexdigest()
