"""Which agent a ticket goes to when it names none: the mappings in the settings, and the rule that reads them.

Apart from the ingest because the HTTP door for tickets asks the same.
"""

import asyncio
import logging
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from fnmatch import fnmatchcase

from agentspan.eventlog import CaughtUp, Change, Record, Table
from agentspan_schemas import Unreadable
from agentspan_schemas.codec import TICKET_MAPPINGS, encode
from agentspan_schemas.tickets import TicketMapping

logger = logging.getLogger(__name__)

KIND = "ticket-mapping"
"""The kind of these settings; an entry's key is `ticket-mapping/<name>`."""


@dataclass(frozen=True, slots=True)
class Envelope:
    """What came with a ticket beside its content."""

    ce_type: str | None = None
    headers: Mapping[str, str] = field(default_factory=dict)
    traceparent: str | None = None


def mapped_agent(mappings: Iterable[TicketMapping], source: str, envelope: Envelope) -> str | None:
    """The agent of the first mapping that matches; they come in their order."""
    return next((mapping.agent for mapping in mappings if _matches(mapping, source, envelope)), None)


def _matches(mapping: TicketMapping, source: str, envelope: Envelope) -> bool:
    return (
        _fits(mapping.source, source)
        and _fits(mapping.ce_type, envelope.ce_type)
        and (mapping.header is None or _has(mapping.header, mapping.header_value, envelope.headers))
    )


def _fits(pattern: str | None, text: str | None) -> bool:
    return pattern is None or (text is not None and fnmatchcase(text, pattern))


def _has(header: str, value: str | None, headers: Mapping[str, str]) -> bool:
    return header in headers and (value is None or headers[header] == value)


class TicketMappings:
    """A view of the mappings among the settings, in the order in which they are asked."""

    def __init__(self, settings: Table) -> None:
        self._settings = settings
        self._known: dict[str, TicketMapping] = {}
        self.loaded = asyncio.Event()
        """Set once all that was set before is known."""

    async def run(self) -> None:
        """Follow the settings."""
        async for change in self._settings.follow():
            if isinstance(change, CaughtUp):
                self.loaded.set()
            else:
                self._apply(change)

    def all(self) -> dict[str, TicketMapping]:
        """By name."""
        return dict(sorted(self._known.items(), key=lambda item: (item[1].order, item[0])))

    def agent_for(self, source: str, envelope: Envelope) -> str | None:
        """The agent that the first matching mapping names."""
        return mapped_agent(self.all().values(), source, envelope)

    async def put(self, name: str, mapping: TicketMapping) -> None:
        """Set a mapping; it counts here once it is stored."""
        await self._settings.put(f"{KIND}/{name}", Record(KIND, name, encode(mapping)))
        self._known[name] = mapping

    async def remove(self, name: str) -> None:
        """Forget a mapping."""
        await self._settings.put(f"{KIND}/{name}", None)
        self._known.pop(name, None)

    def _apply(self, change: Change) -> None:
        kind, _, name = change.key.partition("/")
        if kind != KIND:
            return
        self._known.pop(name, None)
        if change.record is not None:
            try:
                self._known[name] = TICKET_MAPPINGS.decode(change.record.value)
            except Unreadable as error:
                logger.error("the ticket mapping %r does not count: %s", name, error)
