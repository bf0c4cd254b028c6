"""An event as this release can read it: whole, or, where a later release has added its type, by its envelope.

Types are only added, and old and new processes share a log: history has what it does not know as well, with its JSON.
"""

from agentspan_schemas.codec import EVENTS, Family
from agentspan_schemas.errors import UnknownType, Unreadable
from agentspan_schemas.events import Envelope, Event


class LaterEvent(Envelope):
    """An event of a type that this release does not know."""

    type: str


ReadEvent = Event | LaterEvent

_LATER: Family[LaterEvent] = Family("event", LaterEvent)


def read_event(raw: bytes) -> ReadEvent:
    """The event that these bytes are. Raises Unreadable; of it NewerVersion where a later release can read it."""
    try:
        return EVENTS.decode(raw)
    except UnknownType as unknown:
        try:
            return _LATER.decode(raw)
        except Unreadable:
            raise unknown from None
