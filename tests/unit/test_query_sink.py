"""What ClickHouse is told so that it takes nothing twice: it may know no other rows by the same token."""

from datetime import timedelta
from typing import Any, cast

from agentspan.eventlog.messages import log_record
from agentspan_query.adapters.clickhouse import Database
from agentspan_query.adapters.sink import ClickHouseSink
from agentspan_query.domain.rows import EventRow, event_row
from agentspan_schemas.events import Event
from tests.support.query_history import History


class Tables:
    """Keeps of each table's rows what comes with a token that it has not seen."""

    def __init__(self) -> None:
        self.events: list[EventRow] = []
        self._tokens: set[str] = set()

    async def insert(self, table: str, columns: Any, rows: Any, *, token: str) -> None:
        if table == "events" and token not in self._tokens:
            self.events += rows
        self._tokens.add(token)


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
