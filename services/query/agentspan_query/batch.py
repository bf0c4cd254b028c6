"""What is written to ClickHouse at once of one partition: the rows of whole outcomes.

Apart from the projection because a rebuild writes the same.
"""

from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from datetime import datetime

from agentspan.eventlog import Log, Position
from agentspan.eventlog.messages import stored_events
from agentspan_query.domain.rows import EventRow, ExecutionRow, event_row, execution_row
from agentspan_schemas.events import Event

FLUSH_ROWS = 5_000
FLUSH_BYTES = 16 * 1024 * 1024


@dataclass(slots=True)
class Batch:
    """As much of a partition as is written at once."""

    number: int
    begins: Position
    position: Position
    """Behind its last outcome."""
    events: list[EventRow] = field(default_factory=list)
    size: int = 0
    _last: dict[str, Event] = field(default_factory=dict)

    @property
    def executions(self) -> list[ExecutionRow]:
        """Each execution as it stands after the last of its events here: the rows before would only be merged away."""
        return [execution_row(event) for event in self._last.values()]

    @property
    def at(self) -> datetime | None:
        """When the last of it happened."""
        return self.events[-1].at if self.events else None

    def add(self, event: Event, raw: bytes, offset: int) -> None:
        """An event, which stands at the offset as `raw`, too."""
        self.events.append(event_row(event, raw=raw, partition=self.number, offset=offset))
        self._last[event.execution_id] = event
        self.size += len(raw)

    @property
    def full(self) -> bool:
        return len(self.events) >= FLUSH_ROWS or self.size >= FLUSH_BYTES


async def batches(log: Log, number: int, position: Position, end: int) -> AsyncIterator[Batch]:
    """Every outcome of a partition that ends in the records before `end`, from `position` on."""
    batch = Batch(number, position, position)
    async for outcome in log.partition(number).follow(position, until=Position(end, 0, 0)):
        for stored, event in stored_events(outcome):
            batch.add(event, stored.record.value, stored.offset)
        batch.position = outcome.position
        if batch.full:
            yield batch
            batch = Batch(number, batch.position, batch.position)
    if batch.position != batch.begins:
        yield batch
