"""Tickets in: what other teams put on their topic becomes executions, once per (source, id), however often it comes.

The core's answer decides. A ticket that it cannot take goes to the dead letters with the reason.
"""

import json
import re

from pydantic_core import from_json

from agentspan.eventlog.intake import DeadLetters, Delivery, Intake, Rejected, Source, Work
from agentspan_orchestrator.ingest_mapping import Envelope
from agentspan_orchestrator.ports import Now, Sleep
from agentspan_orchestrator.starts import CannotStart, Starts
from agentspan_schemas import NameRepeated, NewerVersion, Unreadable
from agentspan_schemas.cloudevents import CloudEvent, read
from agentspan_schemas.codec import TICKETS
from agentspan_schemas.ids import execution_id_for
from agentspan_schemas.names import refuse_repeated
from agentspan_schemas.tickets import Ticket

_TRACEPARENT = re.compile(r"[0-9a-f]{2}-[0-9a-f]{32}-[0-9a-f]{16}-[0-9a-f]{2}")


class Ingest:
    """The tickets topic's reader in one process."""

    def __init__(self, *, source: Source, dead_letters: DeadLetters, starts: Starts, now: Now, sleep: Sleep) -> None:
        self._starts = starts
        self._intake = Intake(source, dead_letters, self._read, service="orchestrator", now=now, sleep=sleep)

    async def run(self) -> None:
        """Take tickets, until cancelled. Begin when agents and mappings are loaded."""
        await self._intake.run()

    def _read(self, delivery: Delivery) -> Work:
        ticket, envelope = read_ticket(delivery)
        # what was started under an id first stays: the records of one ticket are taken in their order
        return Work(execution_id_for(ticket.source, ticket.id), lambda: self._start(ticket, envelope))

    async def _start(self, ticket: Ticket, envelope: Envelope) -> None:
        try:
            answer = await self._starts.ticket(ticket, by=f"service:{ticket.source}", envelope=envelope)
        except CannotStart as error:
            raise Rejected(error.code, str(error)) from error
        if answer.refusal is not None:
            code = "ticket_id_reused" if answer.refusal.code == "id_reused" else answer.refusal.code
            raise Rejected(code, answer.refusal.message)


def read_ticket(delivery: Delivery) -> tuple[Ticket, Envelope]:
    """The ticket in a record, as CloudEvent or plain JSON, and what came with it. Raises Rejected."""
    event, fields = _opened(delivery)
    # a CloudEvent's own id and source are the ticket's, where its data has none
    given = {name: event.attributes[name] for name in ("id", "source") if name in event.attributes}
    try:
        ticket = TICKETS.decode(json.dumps(given | fields).encode())
    except NewerVersion as error:
        raise Rejected("newer_version", str(error)) from error
    except Unreadable as error:
        raise Rejected("invalid", str(error)) from error
    return ticket, _envelope(event, delivery)


def _opened(delivery: Delivery) -> tuple[CloudEvent, dict[str, object]]:
    try:
        event = read(delivery.headers, delivery.value)
        fields = from_json(event.data, allow_inf_nan=False)
        refuse_repeated(event.data)
    except NameRepeated as error:
        raise Rejected("field_repeated", f"which ticket is meant, nobody can tell: {error}") from error
    except ValueError as error:  # an Unreadable is one, too
        raise Rejected("unreadable", f"neither a CloudEvent nor JSON: {error}") from error
    if not isinstance(fields, dict):
        raise Rejected("unreadable", f"a JSON object is expected, not {type(fields).__name__}")
    return event, fields


def _envelope(event: CloudEvent, delivery: Delivery) -> Envelope:
    headers = {name: raw.decode("utf-8", "replace") for name, raw in delivery.headers}
    traceparent = event.attributes.get("traceparent") or headers.get("traceparent", "")
    known = traceparent if _TRACEPARENT.fullmatch(traceparent) else None
    return Envelope(event.attributes.get("type"), headers, known)
