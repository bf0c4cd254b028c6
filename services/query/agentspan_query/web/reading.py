"""Everything that the page of one execution shows, read in one go from its events."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from pydantic_core import from_json

from agentspan_query.domain.story import Story, tell
from agentspan_query.domain.views import StoredEvent, execution_view
from agentspan_query.service import PAGE, At, Query
from agentspan_schemas import events as e
from agentspan_schemas.codec import EVENTS
from agentspan_schemas.errors import Unreadable
from agentspan_schemas.http import ExecutionView


@dataclass(frozen=True, slots=True)
class ShownEvent:
    """An event on the page; `event` is None when a later release wrote it, and only its JSON can be shown."""

    seq: int
    type: str
    event: e.Event | None
    fields: Any


@dataclass(frozen=True, slots=True)
class Reading:
    """One execution at one moment: how it stands, its story, and a page of its events."""

    view: ExecutionView
    story: Story
    shown: Sequence[ShownEvent]
    after: int
    last_seq: int

    @property
    def earlier(self) -> int | None:
        """Where the page before this one begins."""
        return max(0, self.after - PAGE) if self.after else None

    @property
    def later(self) -> int | None:
        """Where the page behind this one begins."""
        return self.after + PAGE if self.after + PAGE < self.last_seq else None

    @property
    def latest(self) -> int:
        """Where the last page begins."""
        return (self.last_seq - 1) // PAGE * PAGE


async def read_execution(query: Query, execution_id: str, *, after: int, at: At | None) -> Reading | None:
    """The execution with the page of events that begins behind `after`; None: there is no such execution.

    All events are folded, page by page, so that what waits and how long it took is right on every page.
    """
    story, shown, seq = Story(), list[ShownEvent](), 0
    first: e.Event | None = None
    while page := await query.events(execution_id, after=seq, limit=PAGE, at=at):
        for stored in page:
            event = _decoded(stored)
            if event is not None:
                first = first or event
                story = tell(story, event)
            if after < stored.seq <= after + PAGE:
                shown.append(ShownEvent(stored.seq, stored.type, event, from_json(stored.payload)))
        seq = page[-1].seq
        if len(page) < PAGE:
            break
    if story.last is None or not isinstance(first, e.Started):
        return None
    return Reading(execution_view(first, story.last), story, shown, after, seq)


def _decoded(stored: StoredEvent) -> e.Event | None:
    try:
        return EVENTS.decode(stored.payload.encode())
    except Unreadable:
        return None
