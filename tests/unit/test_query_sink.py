"""What ClickHouse is told so that it takes nothing twice: it may know no other rows by the same token. And how the rows
are found that it takes never."""

from datetime import timedelta
from typing import Any, cast

import pytest

from agentspan.eventlog.messages import log_record
from agentspan_query.adapters.clickhouse import Database
from agentspan_query.adapters.sink import ClickHouseSink
from agentspan_query.domain.rows import EventRow, ExecutionRow, event_row, execution_row
from agentspan_query.errors import HistoryUnavailable, RowsRefused
from agentspan_schemas.events import Event
from tests.support.query_history import History


class Tables:
    """Keeps of each table's rows what comes with a token that it has not seen. Takes no row of some executions, and
    goes away after so many inserts."""

    def __init__(self, *never: str) -> None:
        self.events: list[EventRow] = []
        self.executions: list[ExecutionRow] = []
        self.never = never
        self.inserts = 0
        self.ends_after: int | None = None
        self._tokens: dict[str, list[Any]] = {}

    async def insert(self, table: str, columns: Any, rows: Any, *, token: str) -> None:
        if self.inserts == self.ends_after:
            raise HistoryUnavailable("gone")
        self.inserts += 1
        if any(row.execution_id in self.never for row in rows):
            raise RowsRefused("no", 469)
        if token not in self._tokens:
            kept: list[Any] = getattr(self, table)
            kept += rows
        assert self._tokens.setdefault(token, list(rows)) == list(rows), "other rows by the same token"


def row(event: Event, offset: int) -> EventRow:
    return event_row(event, raw=log_record(event).value, partition=0, offset=offset)


async def test_the_same_rows_are_taken_once_and_others_at_the_same_offsets_too() -> None:
    tables = Tables()
    sink = ClickHouseSink(cast(Database, tables), "log")
    [before] = History("exec-a").started().events
    [lost] = History("exec-b").started().events
    came = lost.model_copy(update={"execution_id": "exec-c", "at": lost.at + timedelta(microseconds=1)})
    written = [row(before, 7), row(lost, 8)]
    for events in (written, written, [row(before, 7), row(came, 8)]):  # the log was restored: exec-b is on it no more
        await sink.write(events, [])
    assert [each.execution_id for each in tables.events] == ["exec-a", "exec-b", "exec-a", "exec-c"]


def many(count: int) -> tuple[list[EventRow], list[ExecutionRow]]:
    events = [event for number in range(count) for event in History(f"exec-{number}").started().done().events]
    return [row(event, at) for at, event in enumerate(events)], [execution_row(event) for event in events]


@pytest.mark.parametrize("never", [("exec-0",), ("exec-499",), ("exec-3", "exec-4", "exec-250")])
async def test_of_many_rows_only_those_that_are_refused_are_left_out_after_a_few_writes(never: tuple[str, ...]) -> None:
    tables = Tables(*never)
    refused = await ClickHouseSink(cast(Database, tables), "log").write(*many(500))
    assert {each.event.execution_id for each in refused} == set(never)
    assert [each.table for each in refused] == ["events"] * 2 * len(never) + ["executions"] * len(never)
    assert [each.event.seq for each in refused if each.table == "executions"] == [2] * len(never)
    assert {each.why for each in refused} == {"no"}
    assert len(tables.events) == 1000 - 2 * len(never)
    assert {each.execution_id for each in tables.executions} == {f"exec-{n}" for n in range(500)} - set(never)
    assert tables.inserts <= 2 + 2 * 10 * len(refused)  # 10: the logarithm of 1000


async def test_where_nothing_is_refused_there_is_one_write_a_table() -> None:
    tables = Tables()
    assert await ClickHouseSink(cast(Database, tables), "log").write(*many(50)) == []
    assert tables.inserts == 2


async def test_wherever_it_is_broken_off_the_same_write_again_loses_and_doubles_nothing() -> None:
    whole = Tables("exec-2", "exec-7")
    rows = many(10)
    refused = await ClickHouseSink(cast(Database, whole), "log").write(*rows)
    for ends_after in range(whole.inserts):
        tables = Tables("exec-2", "exec-7")
        tables.ends_after = ends_after
        with pytest.raises(HistoryUnavailable):
            await ClickHouseSink(cast(Database, tables), "log").write(*rows)
        tables.ends_after = None
        assert await ClickHouseSink(cast(Database, tables), "log").write(*rows) == refused
        assert (tables.events, sorted(tables.executions)) == (whole.events, sorted(whole.executions))
