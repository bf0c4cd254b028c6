"""What the client needs from a cluster, and what it gives and sends: one small port, so that tests need no cluster."""

from dataclasses import dataclass
from datetime import datetime
from typing import Protocol

from agentspan.eventlog import Log, Position, Table
from agentspan_schemas.events import Event
from agentspan_schemas.topics import Topic


@dataclass(frozen=True, slots=True)
class Found:
    """An event that counts, and where it stands."""

    event: Event
    partition: int
    offset: int
    resume: Position
    """Begin here after you are done with it: nothing is missed, and at most its own outcome's events come again.
    `str` and `Position.parse` suit a database."""


@dataclass(frozen=True, slots=True)
class Sent:
    """A message for a topic: a CloudEvent in binary mode."""

    topic: Topic
    key: str
    value: bytes
    headers: tuple[tuple[str, bytes], ...]


class Transport(Protocol):
    """A cluster, as this client uses it."""

    async def log(self) -> Log:
        """The events. Raises LogError when they can't be reached."""
        ...

    async def approvals(self) -> Table:
        """The requests for a decision. Raises as `log`."""
        ...

    async def send(self, message: Sent) -> None:
        """Return when it is acknowledged. Raises WriteError: sending it again is harmless."""
        ...

    async def offset_at(self, partition: int, moment: datetime) -> int:
        """The first offset of the events that was written at the moment or later; the end, where there is none."""
        ...

    async def close(self) -> None:
        """Let go of the cluster."""
        ...
