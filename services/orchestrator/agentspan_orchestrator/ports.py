"""What the orchestrator needs from outside, beside the log: its ports, all in one place."""

from collections.abc import Awaitable, Callable, Iterable
from dataclasses import dataclass
from datetime import datetime
from typing import NamedTuple, Protocol

from agentspan.eventlog import Position
from agentspan_orchestrator.domain import Execution

Now = Callable[[], datetime]
"""The time, with its zone."""

Sleep = Callable[[float], Awaitable[None]]
"""Seconds."""


OnRelease = Callable[[], None]
"""Called when an outcome is released."""


class Observer(Protocol):
    """Told what happens to partitions and their commands, for whoever measures; it keeps nobody waiting."""

    def taken_over(self, partition: int) -> None:
        """The log says that the partition is ours: its restoring begins."""
        ...

    def restored(self, partition: int) -> None:
        """It is restored up to the takeover."""
        ...

    def deposed(self, partition: int, *, fenced: bool) -> None:
        """An ownership has ended: a later owner stands on the log, or a write has failed."""
        ...

    def appending(self, command: str, answer: str) -> OnRelease:
        """A command of this type was decided, and its outcome is on its way to the log."""
        ...


class Unobserved:
    """Nobody measures."""

    def taken_over(self, partition: int) -> None: ...

    def restored(self, partition: int) -> None: ...

    def deposed(self, partition: int, *, fenced: bool) -> None: ...

    def appending(self, command: str, answer: str) -> OnRelease:
        return _nothing


def _nothing() -> None: ...


UNOBSERVED = Unobserved()


@dataclass(frozen=True, slots=True)
class Standing:
    """How a partition of this process stands at a moment."""

    number: int
    serving: bool
    to_restore: int
    """Records of the log that are still to be folded."""
    commands_to: int
    """The offset in the inbox behind the last command whose outcome is released."""
    model_tasks: int
    tool_tasks: int
    """Open ones."""
    active: int
    """Executions with something open or granted."""
    parked: int
    """Executions that are not over and have nothing open: they wait for a person, a time or a resume."""
    unread: int = 0
    """Executions with a record that can't be read: nothing of theirs is decided."""


Assigned = Callable[[int], Awaitable[bool]]
"""Whether a partition is this process's, asked now of whoever assigns them."""


class Row(NamedTuple):
    """What the cache keeps of one execution beside its state."""

    state: Execution
    next_due: datetime | None
    """When its owner must look at it by the clock."""
    busy: bool
    """Whether it has open tasks or granted calls: the owner loads it at a takeover."""


class Snapshot(NamedTuple):
    """A state as somebody else wrote it, and how far it reflects the log."""

    execution_id: str
    state: bytes
    """As `dump_state` makes it."""
    reflects: int
    """Every outcome that ends at this offset on the log, or before, is in the state."""
    next_due: datetime | None
    busy: bool
    parked: bool
    """Whether it is neither busy nor over."""


class StateCache(Protocol):
    """States of one partition's executions, disposable: everything in it can be folded again from the log.

    A state reflects the log at least up to where the cache stands; one that was filled in may be further.
    """

    def open(self, log_id: str) -> tuple[Position, str | None]:
        """Where it stands on that log, and the command offset it reflects. Of another log or shape: empty."""
        ...

    def clear(self) -> None:
        """Forget everything: it will be folded again."""
        ...

    def get(self, execution_id: str) -> Execution | None:
        """The state as it was put last."""
        ...

    def find(self, execution_id: str) -> tuple[Execution, int] | None:
        """The state, and the offset on the log up to which it reflects every outcome."""
        ...

    def put(self, rows: Iterable[Row], position: Position, command_offset: str | None) -> None:
        """Rows and the position they reflect, together; written behind."""
        ...

    def pin(self, position: Position, command_offset: str | None) -> None:
        """Stand there, whatever is put from now on, until `clear`; the next one who opens it finds it there."""
        ...

    def fill(self, snapshots: Iterable[Snapshot]) -> None:
        """States that reflect more of the log than those that are here; where the cache stands does not change."""
        ...

    def changed_since(self, offset: int) -> Iterable[str]:
        """The executions whose states may reflect something that ends after that offset."""
        ...

    def busy(self) -> Iterable[Execution]:
        """The executions with something open."""
        ...

    def parked(self) -> int:
        """How many executions are neither busy nor over, give or take those that were just put."""
        ...

    def due(self) -> Iterable[tuple[datetime, str]]:
        """`(next_due, execution_id)` of those with a timer."""
        ...
