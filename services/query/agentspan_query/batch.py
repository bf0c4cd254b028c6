"""What is written to ClickHouse at once of one partition: the rows of whole outcomes, and what of them can't be read.

Apart from the projection because a rebuild writes the same.
"""

from collections.abc import AsyncIterator, Sequence
from contextlib import aclosing
from dataclasses import dataclass, field
from datetime import datetime

from agentspan.eventlog import Log, Position
from agentspan_query.domain.later import ReadEvent
from agentspan_query.domain.rows import EventRow, ExecutionRow, event_row, execution_row
from agentspan_query.items import Item, TailEvent, Unread, items

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
    unread: list[Unread] = field(default_factory=list)
    """What nobody can read: it has no row."""
    size: int = 0
    _last: dict[str, ReadEvent] = field(default_factory=dict)

    @property
    def executions(self) -> list[ExecutionRow]:
        """Each execution as it stands after the last of its events here: the rows before would only be merged away."""
        return [execution_row(event) for event in self._last.values()]

    @property
    def at(self) -> datetime | None:
        """When the last of it happened."""
        return self.events[-1].at if self.events else None

    def add(self, item: Item) -> None:
        """Have it, too."""
        self.size += len(item.raw)
        if isinstance(item, TailEvent):
            self.events.append(event_row(item.event, raw=item.raw, partition=self.number, offset=item.offset))
            self._last[item.execution_id] = item.event
        else:
            self.unread.append(item)

    @property
    def full(self) -> bool:
        return len(self.events) + len(self.unread) >= FLUSH_ROWS or self.size >= FLUSH_BYTES


async def batches(log: Log, number: int, position: Position, end: int) -> AsyncIterator[Batch]:
    """Every outcome of a partition that ends in the records before `end`, from `position` on. Raises WrittenLater, when
    all before it was given, at an outcome that a later release can read."""
    batch = Batch(number, position, position)
    later: Unread | None = None
    async with aclosing(log.partition(number).follow(position, until=Position(end, 0, 0))) as outcomes:
        async for outcome in outcomes:
            found = tuple(items(number, outcome))
            if (later := _later(found)) is not None:
                break
            for item in found:
                batch.add(item)
            batch.position = outcome.position
            if batch.full:
                yield batch
                batch = Batch(number, batch.position, batch.position)
    if batch.position != batch.begins:
        yield batch
    if later is not None:
        raise later.problem


def _later(found: Sequence[Item]) -> Unread | None:
    return next((item for item in found if isinstance(item, Unread) and item.is_later), None)
