"""The projection's own sink at work while lists are read: batches as it flushes them, at a rate."""

import asyncio
import time
from datetime import UTC, datetime, timedelta

from agentspan_query.adapters.clickhouse import Database
from agentspan_query.adapters.sink import ClickHouseSink
from agentspan_query.domain.rows import event_row, execution_row
from agentspan_query.projection import FLUSH_S
from agentspan_schemas.codec import encode
from bench.history_rows import EVENTS_EACH, STORY


async def write_on(database: Database, per_s: int) -> None:
    """Write so many events a second, until cancelled; each execution is written whole."""
    sink = ClickHouseSink(database, f"writing-{time.time_ns()}")
    at = datetime.now(UTC)
    made, began = 0, time.monotonic()
    while True:
        wanted = int((time.monotonic() - began) * per_s) - made
        events = [
            event.model_copy(
                update={
                    "execution_id": f"exec-{began}-{made}-{number}",
                    "agent": "support",
                    "started_at": at + timedelta(microseconds=made + number),
                    "at": at,
                }
            )
            for number in range(max(wanted // EVENTS_EACH, 0))
            for event in STORY[:EVENTS_EACH]
        ]
        rows = [event_row(event, raw=encode(event), partition=0, offset=made + n) for n, event in enumerate(events)]
        await sink.write(rows, [execution_row(event) for event in events])
        made += len(events)
        await asyncio.sleep(FLUSH_S)
