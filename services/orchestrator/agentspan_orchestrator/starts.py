"""Everything that begins an execution ends up here: HTTP starts, HTTP tickets, and tickets of other teams' topics.

Apart from the doors because a ticket means the same wherever it comes in.
"""

from collections.abc import Callable

from pydantic import ValidationError

from agentspan.eventlog.commands import Commands, Unavailable
from agentspan_orchestrator.definitions import Definitions
from agentspan_orchestrator.ingest_mapping import Envelope, TicketMappings
from agentspan_schemas import NotCanonical, TooLarge
from agentspan_schemas import commands as c
from agentspan_schemas.agents import AgentDefinition
from agentspan_schemas.answers import Answer
from agentspan_schemas.canonical import content_hash
from agentspan_schemas.codec import describe
from agentspan_schemas.http import StartRequest
from agentspan_schemas.ids import execution_id_for
from agentspan_schemas.tickets import Ticket

CheckModel = Callable[[AgentDefinition], str | None]
"""What is missing to call an agent's model, where this process can know."""


class CannotStart(Exception):
    """A start that cannot even be asked for: a stable `code`, what to do next, and the field that is wrong."""

    def __init__(self, code: str, message: str, field: str | None = None) -> None:
        super().__init__(message)
        self.code = code
        self.field = field


class Starts:
    """Turns a request or a ticket into the command `start`.

    `wait_for_agent_s`: how long an agent's registration may still be on its way here.
    """

    def __init__(
        self,
        commands: Commands,
        definitions: Definitions,
        check_model: CheckModel,
        *,
        mappings: TicketMappings | None = None,
        wait_for_agent_s: float = 0.0,
    ) -> None:
        self._commands = commands
        self._definitions = definitions
        self._check_model = check_model
        self._mappings = mappings
        self._wait_for_agent_s = wait_for_agent_s

    async def start(self, request: StartRequest, *, by: str, source: str, key: str) -> Answer:
        """The core's answer. Raises CannotStart, OutcomeUnknown or Unavailable."""
        return await self._start(request, request.agent, by, source, key, None)

    async def ticket(self, ticket: Ticket, *, by: str, envelope: Envelope) -> Answer:
        """As `start`. The same (source, id) is the same execution, wherever and however often it comes."""
        metadata = {"ticket_id": ticket.id, "ticket_source": ticket.source, **ticket.metadata}
        agent = ticket.agent or self._mapped(ticket, envelope)
        try:
            request = StartRequest(agent=agent, prompt=ticket.text, metadata=metadata)
        except ValidationError as error:
            field = str(error.errors()[0]["loc"][0])
            raise CannotStart("invalid_request", f"ticket {ticket.id!r}: {describe(error)}", field) from error
        # what the ticket itself says is its content: a mapping that has changed makes no other ticket of it
        return await self._start(request, ticket.agent, by, ticket.source, ticket.id, envelope.traceparent)

    def _mapped(self, ticket: Ticket, envelope: Envelope) -> str:
        agent = self._mappings.agent_for(ticket.source, envelope) if self._mappings else None
        if agent is None and self._mappings is not None and not self._mappings.loaded.is_set():
            raise Unavailable("the server is reading its ticket mappings; try again in a moment")
        if agent is None:
            why = f"ticket {ticket.id!r} of {ticket.source!r} names no agent and no ticket mapping matches it"
            raise CannotStart("no_mapping", f"{why}; name an agent in it, or set a mapping", "agent")
        return agent

    async def _start(
        self, request: StartRequest, asked: str | None, by: str, source: str, key: str, traceparent: str | None
    ) -> Answer:
        definition = await self._definition(request.agent, request.agent_version)
        try:
            digest = content_hash([asked, request.prompt, request.metadata, request.timeout_s])
        except NotCanonical as error:
            raise CannotStart("invalid_request", f"metadata: {error}", "metadata") from error
        execution_id = execution_id_for(source, key)
        command = c.Start.of(
            # with the content: the same id for other content has to reach the core, which refuses it
            command_id=f"start:{execution_id}:{digest}",
            execution_id=execution_id,
            agent=definition.name,
            agent_version=definition.version,
            prompt=request.prompt,
            requested_by=by,
            source=source,
            key=key,
            metadata=request.metadata,
            content_hash=digest,
            timeout_s=request.timeout_s,
            traceparent=traceparent,
        )
        try:
            return await self._commands.submit(command)
        except TooLarge as error:
            raise CannotStart("too_large", str(error)) from error

    async def _definition(self, name: str, version: str | None) -> AgentDefinition:
        definition = await self._definitions.awaited(name, version, self._wait_for_agent_s)
        definition = definition or await self._definitions.current(name, version)
        if definition is None:
            known = ", ".join(repr(agent.name) for agent in self._definitions.all()) or "none"
            shown = name if version is None else f"{name}@{version}"
            raise CannotStart("unknown_agent", f"there is no agent {shown!r}; serve it first (known: {known})")
        if problem := self._check_model(definition):
            raise CannotStart("model_unavailable", problem, "agent")
        return definition
