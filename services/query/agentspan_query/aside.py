"""Events that ClickHouse will never take: among the dead letters of the log, so that history goes on without them.

Apart from the projection because it speaks of records, not of rows. An event's own record stands on the log for ever;
its letter tells people that history lacks it, and why.
"""

import logging

from agentspan.eventlog.intake import DeadLetters
from agentspan_query.domain.rows import EventRow, Refused
from agentspan_query.ports import Now
from agentspan_schemas.cloudevents import binary_headers
from agentspan_schemas.dead_letters import NOT_IN_HISTORY, Why

logger = logging.getLogger(__name__)


class Aside:
    """Where the projection puts them. `topic` is the full name of the one that the events stand on."""

    def __init__(self, dead_letters: DeadLetters, topic: str, *, now: Now) -> None:
        self._dead_letters = dead_letters
        self._topic = topic
        self._now = now
        self._put: set[tuple[int, int]] = set()
        """Those of the write that is under way: tried again, it refuses the same."""
        self.count = 0
        """Events that were put aside since this process began."""

    async def put(self, refused: Refused) -> None:
        """Return when its letter stands. Raises a WriteError."""
        event = refused.event
        place = event.partition, event.offset
        if place in self._put:
            return
        why = Why(NOT_IN_HISTORY, refused.why, self._now(), self._topic, *place, "query")
        headers = (*_headers(event, self._topic), *why.headers())
        await self._dead_letters.put(event.execution_id.encode(), event.payload.encode(), headers)
        self._put.add(place)
        self.count += 1
        logger.error("history goes on without an event, `agentspan dlq list --topic events` has it: %s", refused)

    def written(self) -> None:
        """The write is done: none of it comes again."""
        self._put.clear()


def _headers(event: EventRow, topic: str) -> tuple[tuple[str, bytes], ...]:
    return binary_headers(
        id=f"{event.execution_id}/{event.seq}",
        type=event.type,
        source=f"/{topic}",
        subject=event.execution_id,
        time=event.at,
        seq=str(event.seq),
    )
