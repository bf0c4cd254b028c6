"""From bytes to messages and back: the only place where a message is encoded, and the only one where it is decoded.

A reader names the family it expects (`EVENTS.decode(raw)`); what is no member of it raises an Unreadable that keeps
the bytes.
"""

import json
from collections.abc import Mapping
from typing import Any, Generic, TypeVar, get_args

from pydantic import BaseModel, TypeAdapter, ValidationError
from pydantic_core import from_json

from agentspan_schemas._base import MAX_VALUE_BYTES, SCHEMA_VERSION
from agentspan_schemas.agents import AgentDefinition
from agentspan_schemas.answers import Answer, Note
from agentspan_schemas.approvals import ApprovalRecord, Decision
from agentspan_schemas.commands import Command
from agentspan_schemas.dead_letters import Handled
from agentspan_schemas.errors import NewerVersion, TooLarge, UnknownType, Unreadable
from agentspan_schemas.errors import describe as describe
from agentspan_schemas.events import Event
from agentspan_schemas.tasks import Task, WorkerSession
from agentspan_schemas.tickets import Ticket, TicketMapping

M = TypeVar("M")


def encode(message: BaseModel) -> bytes:
    """JSON bytes of a message, unknown fields included. Raises TooLarge over MAX_VALUE_BYTES."""
    raw = message.__pydantic_serializer__.to_json(message)
    if len(raw) > MAX_VALUE_BYTES:
        raise TooLarge(
            f"a {type(message).__name__} of {len(raw)} bytes; one message is at most {MAX_VALUE_BYTES} bytes"
        )
    return raw


class Family(Generic[M]):
    """Messages that one topic may carry: a single model, or a union told apart by one field.

    `foreign` ones are written by others too. Pydantic's JSON parser lets NaN and 1e999 into a JsonValue, which no event
    could hold; for those the exact way is taken, at twice the time.
    """

    def __init__(self, name: str, of: Any, tag: str | None = None, *, foreign: bool = False) -> None:
        self.name = name
        self._foreign = foreign
        self.adapter: TypeAdapter[M] = TypeAdapter(of)
        self._tag = tag
        self.types: Mapping[str, type[BaseModel]] = _members(of, tag) if tag else {}

    def decode(self, raw: bytes) -> M:
        """The message that these bytes are. Raises Unreadable, or one of its two kinds."""
        try:
            message = self._parse(raw)
        except ValueError as error:
            raise self._unreadable(raw, error) from error
        if getattr(message, "schema_version", SCHEMA_VERSION) > SCHEMA_VERSION:
            raise _newer(self.name, raw, message.schema_version)  # type: ignore[attr-defined]
        return message

    def _parse(self, raw: bytes) -> M:
        if self._foreign:
            return self.adapter.validate_python(from_json(raw, allow_inf_nan=False))
        return self.adapter.validate_json(raw)

    def _unreadable(self, raw: bytes, error: ValueError) -> Unreadable:
        try:
            fields = json.loads(raw)
        except (ValueError, RecursionError) as not_json:
            return Unreadable(f"{self.name}: not JSON: {not_json}", raw)
        if not isinstance(fields, dict):
            return Unreadable(f"{self.name}: a JSON object is expected, not {type(fields).__name__}", raw)
        version = fields.get("schema_version", SCHEMA_VERSION)
        if isinstance(version, int) and version > SCHEMA_VERSION:
            return _newer(self.name, raw, version)
        if self._tag and str(fields.get(self._tag)) not in self.types:
            known = ", ".join(sorted(self.types))
            return UnknownType(f"{self.name}: {self._tag} {fields.get(self._tag)!r} is unknown; known are {known}", raw)
        problem = describe(error) if isinstance(error, ValidationError) else str(error)
        return Unreadable(f"{self.name}: {problem}", raw)


def _newer(name: str, raw: bytes, version: int) -> NewerVersion:
    return NewerVersion(f"{name}: schema_version {version}; this reader knows {SCHEMA_VERSION}: upgrade it", raw)


def _members(union: Any, tag: str) -> dict[str, type[BaseModel]]:
    models = get_args(get_args(union)[0])
    return {get_args(model.model_fields[tag].annotation)[0]: model for model in models}


EVENTS: Family[Event] = Family("event", Event, "type")
COMMANDS: Family[Command] = Family("command", Command, "type", foreign=True)
NOTES: Family[Note] = Family("note", Note, "type")
TASKS: Family[Task] = Family("task", Task, "lane")
WORKERS: Family[WorkerSession] = Family("worker", WorkerSession)
AGENTS: Family[AgentDefinition] = Family("agent", AgentDefinition, foreign=True)
APPROVALS: Family[ApprovalRecord] = Family("approval", ApprovalRecord)
DECISIONS: Family[Decision] = Family("decision", Decision, foreign=True)
TICKETS: Family[Ticket] = Family("ticket", Ticket, foreign=True)
TICKET_MAPPINGS: Family[TicketMapping] = Family("ticket_mapping", TicketMapping)
DEAD_LETTERS_HANDLED: Family[Handled] = Family("dead_letter_handled", Handled)
ANSWERS: Family[Answer] = Family("answer", Answer)

FAMILIES: tuple[Family[Any], ...] = (
    EVENTS, COMMANDS, NOTES, TASKS, WORKERS, AGENTS, APPROVALS, DECISIONS, TICKETS, TICKET_MAPPINGS,
    DEAD_LETTERS_HANDLED, ANSWERS,
)  # fmt: skip
