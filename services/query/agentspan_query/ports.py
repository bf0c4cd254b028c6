"""What the query service needs from outside, beside the log: where history is stored and read, and the clock."""

from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Protocol

from agentspan.eventlog import Position
from agentspan_query.domain.filters import ExecutionFilter
from agentspan_query.domain.later import ReadEvent
from agentspan_query.domain.rows import EventRow, ExecutionRow, Refused
from agentspan_query.domain.story import PendingCall
from agentspan_query.domain.views import HistoryPage, StoredEvent
from agentspan_schemas.events import Started, Status
from agentspan_schemas.http import ExecutionView

Now = Callable[[], datetime]
"""The time, with its zone."""

Sleep = Callable[[float], Awaitable[None]]
"""Seconds."""


class Sink(Protocol):
    """Where the projection writes. Each may raise HistoryUnavailable or HistoryFailed."""

    async def write(self, events: Sequence[EventRow], executions: Sequence[ExecutionRow]) -> Sequence[Refused]:
        """All but those that will never be taken, which it tells."""
        ...

    async def save_positions(self, positions: Mapping[int, Position]) -> None: ...

    async def positions(self) -> Mapping[int, Position]: ...


@dataclass(frozen=True, slots=True)
class Counts:
    """How much history there is."""

    events: int
    executions: int

    def __str__(self) -> str:
        return f"{self.events} events of {self.executions} executions"


class NewHistory(Protocol):
    """Tables that are filled beside those that people read. Each may raise HistoryUnavailable or HistoryFailed."""

    @property
    def exchanged(self) -> bool: ...

    async def open(self) -> None: ...

    async def positions(self) -> Mapping[int, Position]: ...

    async def write(
        self,
        number: int,
        began: Position,
        position: Position,
        events: Sequence[EventRow],
        executions: Sequence[ExecutionRow],
    ) -> Sequence[Refused]: ...

    async def counts(self) -> Counts: ...

    async def verify(self) -> None: ...

    async def exchange(self) -> None: ...

    async def finish(self) -> None: ...


class History(Protocol):
    """What was projected. Each may raise HistoryUnavailable or HistoryFailed."""

    async def executions(
        self, chosen: ExecutionFilter, *, cursor: str | None = None, limit: int = 50
    ) -> HistoryPage: ...

    async def pending(self, views: Sequence[ExecutionView]) -> Mapping[str, Sequence[PendingCall]]: ...

    async def edges(self, execution_id: str) -> tuple[Started, ReadEvent] | None: ...

    async def events(self, execution_id: str, *, after: int = 0, limit: int = 500) -> Sequence[StoredEvent]: ...

    async def status_counts(self, chosen: ExecutionFilter) -> Mapping[Status, int]: ...

    async def agents(self) -> Sequence[str]: ...
