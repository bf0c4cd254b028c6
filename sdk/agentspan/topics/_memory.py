"""A cluster in memory, for the tests of whoever uses the topics."""

from datetime import datetime

from agentspan.eventlog import Log, Table
from agentspan.eventlog.memory import MemoryLog, MemoryTable
from agentspan.eventlog.messages import read_log_record
from agentspan.topics._ports import Sent
from agentspan_schemas.codec import EVENTS


class MemoryTransport:
    """Put records on its tables, look at what was `sent`."""

    def __init__(self, log: Log | None = None, requests: Table | None = None) -> None:
        self.events = log or MemoryLog(1)
        self.requests = requests or MemoryTable(self.events.partitions)
        self.sent: list[Sent] = []
        self.closed = False

    async def log(self) -> Log:
        """The events."""
        return self.events

    async def approvals(self) -> Table:
        """The requests for a decision."""
        return self.requests

    async def send(self, message: Sent) -> None:
        """Keep it."""
        self.sent.append(message)

    async def offset_at(self, partition: int, moment: datetime) -> int:
        """By the events' own times, as nothing else has any here."""
        raw = self.events.partition(partition).raw
        for stored in await raw.read(0, await raw.end()):
            if stored.record.type in EVENTS.types and getattr(read_log_record(stored.record), "at") >= moment:  # noqa: B009
                return stored.offset
        return await raw.end()

    async def close(self) -> None:
        """Note it."""
        self.closed = True
