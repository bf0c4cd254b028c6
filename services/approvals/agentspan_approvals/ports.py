"""What the approvals service needs from outside, beside the log: the time, and a disposable view of all requests."""

from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import NamedTuple, Protocol, Self

from agentspan.eventlog import Position
from agentspan_schemas.approvals import ApprovalRecord, ApprovalState

Now = Callable[[], datetime]
"""The time, with its zone."""

Sleep = Callable[[float], Awaitable[None]]
"""Seconds."""


class Kept(NamedTuple):
    """A request as a view keeps it: what it is found by, and its bytes."""

    approval_id: str
    execution_id: str
    agent: str
    tool: str
    state: str
    requested_at: str
    raw: bytes

    @classmethod
    def of(cls, record: ApprovalRecord, raw: bytes) -> Self:
        """A record that these bytes are."""
        at = record.requested_at.isoformat()
        return cls(record.approval_id, record.execution_id, record.agent, record.tool, record.state, at, raw)


@dataclass(frozen=True, slots=True)
class Place:
    """Where a request stands in a list: no decision moves it."""

    requested_at: datetime
    approval_id: str


@dataclass(frozen=True, slots=True)
class Search:
    """Which requests are asked for; None is any."""

    execution_id: str | None = None
    agent: str | None = None
    tool: str | None = None
    states: tuple[ApprovalState, ...] = ()
    limit: int | None = None
    after: Place | None = None
    """Only those behind it."""


class ApprovalStore(Protocol):
    """Requests of every partition, and where the log each of them reflects stands."""

    def open(self, log_id: str) -> None:
        """Begin with that log; what was kept of another one is forgotten."""
        ...

    def clear(self, partition: int) -> None:
        """Forget what was kept of a partition: it will be folded again."""
        ...

    def position(self, partition: int) -> Position: ...

    def put(self, partition: int, records: Iterable[ApprovalRecord], position: Position) -> None:
        """Records and the position they reflect, together."""
        ...

    def fill(self, partition: int, requests: Iterable[Kept]) -> None:
        """Requests as they were published; where the partition stands does not change."""
        ...

    def get(self, approval_id: str) -> ApprovalRecord | None: ...

    def of_execution(self, execution_id: str) -> Mapping[str, ApprovalRecord]:
        """All requests of an execution, by their ids."""
        ...

    def open_executions(self) -> Mapping[int, set[str]]:
        """Of each partition with such: the executions with a request that waits for a person."""
        ...

    def of(self, partition: int) -> Iterable[ApprovalRecord]:
        """All requests of a partition."""
        ...

    def search(self, search: Search) -> Sequence[ApprovalRecord]:
        """Oldest request first."""
        ...
