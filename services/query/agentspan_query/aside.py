"""Events that history goes on without, because ClickHouse will never take their row or nobody can read them: among the
dead letters of the log.

Apart from the projection because it speaks of records, not of rows. An event's own record stands on the log for ever;
its letter tells people that history lacks it, and why.
"""

import logging
from typing import NamedTuple, assert_never

from agentspan.eventlog.intake import DeadLetters
from agentspan_query.domain.rows import EventRow, Refused
from agentspan_query.items import Unread
from agentspan_query.ports import Now
from agentspan_schemas.cloudevents import Headers, binary_headers
from agentspan_schemas.dead_letters import NOT_IN_HISTORY, UNREADABLE_EVENT, Why

logger = logging.getLogger(__name__)

LeftOut = Refused | Unread


class _Letter(NamedTuple):
    """What is put aside of an event, and why."""

    partition: int
    offset: int
    code: str
    why: str
    key: str
    value: bytes
    headers: Headers


class Aside:
    """Where the projection puts them. `topic` is the full name of the one that the events stand on."""

    def __init__(self, dead_letters: DeadLetters, topic: str, *, now: Now) -> None:
        self._dead_letters = dead_letters
        self._topic = topic
        self._now = now
        self._put: set[tuple[int, int]] = set()
        """Those of the write that is under way: tried again, it leaves out the same."""
        self.count = 0
        """Events that were put aside since this process began."""

    async def put(self, left_out: LeftOut) -> None:
        """Return when its letter stands. Raises a WriteError."""
        letter = self._letter(left_out)
        place = letter.partition, letter.offset
        if place in self._put:
            return
        why = Why(letter.code, letter.why, self._now(), self._topic, *place, "query")
        await self._dead_letters.put(letter.key.encode(), letter.value, (*letter.headers, *why.headers()))
        self._put.add(place)
        self.count += 1
        logger.error("history goes on without an event, `agentspan dlq list --topic events` has it: %s", left_out)

    def written(self) -> None:
        """The write is done: none of it comes again."""
        self._put.clear()

    def _letter(self, left_out: LeftOut) -> _Letter:
        match left_out:
            case Refused(event=row):
                headers = self._row_headers(row)
                place = row.partition, row.offset
                return _Letter(*place, NOT_IN_HISTORY, left_out.why, row.execution_id, row.payload.encode(), headers)
            case Unread(record=record):
                headers = self._record_headers(left_out)
                place = left_out.partition, left_out.offset
                return _Letter(*place, UNREADABLE_EVENT, str(left_out.error), record.key, record.value, headers)
            case _:
                assert_never(left_out)

    def _row_headers(self, row: EventRow) -> Headers:
        return binary_headers(
            id=f"{row.execution_id}/{row.seq}",
            type=row.type,
            source=f"/{self._topic}",
            subject=row.execution_id,
            time=row.at,
            seq=str(row.seq),
        )

    def _record_headers(self, unread: Unread) -> Headers:
        """What its record says: nothing is added that nobody knows of it."""
        record = unread.record
        said = {"type": record.type, "source": f"/{self._topic}", "subject": record.key, **record.attributes}
        return tuple((f"ce_{name}", text.encode()) for name, text in said.items())
