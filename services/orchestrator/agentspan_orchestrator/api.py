"""The orchestrator's doors: register agents, start executions, and what people do to a running one."""

from collections.abc import Awaitable, Mapping
from typing import Annotated

from fastapi import APIRouter, Depends, Path, Response
from starlette.routing import Route

from agentspan.eventlog.commands import Commands
from agentspan_doors import (
    Asked,
    CallerOf,
    CommandKey,
    DoorError,
    JsonRoute,
    PlainDoor,
    Said,
    accepted,
    command_id,
    json_of,
    known_parameters,
    not_found,
    write_route,
)
from agentspan_orchestrator.definitions import Definitions
from agentspan_orchestrator.domain import schema_error
from agentspan_orchestrator.ingest_mapping import Envelope, TicketMappings
from agentspan_orchestrator.starts import CannotStart, CheckModel, Starts
from agentspan_schemas import SCHEMA_VERSION, Failure, NotCanonical
from agentspan_schemas import commands as c
from agentspan_schemas.agents import AgentDefinition
from agentspan_schemas.answers import Answer
from agentspan_schemas.http import (
    AgentRef,
    ExecutionRef,
    MessageRequest,
    ReasonRequest,
    ResolutionRequest,
    StartRequest,
    TicketRequest,
)
from agentspan_schemas.tickets import Ticket, TicketMapping

_MAPPING_NAME = r"^[A-Za-z0-9][A-Za-z0-9_.\-]*$"

_Control = type[c.Pause] | type[c.Resume] | type[c.Cancel]

_CONTROLS: tuple[tuple[str, _Control, str], ...] = (
    ("pause", c.Pause, "Start nothing new; what runs may finish, and decisions are kept"),
    ("resume", c.Resume, "Go on after a pause; what was decided meanwhile takes effect"),
    ("cancel", c.Cancel, "End an execution; a granted call is waited for"),
)


NO_REASON = ReasonRequest()
"""What a body that is left out says."""

_STATUS: Mapping[str, int] = {"unknown_agent": 404, "too_large": 413}
"""Of what cannot be started; all else is 422."""


def router(commands: Commands, definitions: Definitions, mappings: TicketMappings | None = None) -> APIRouter:
    """The write API, but for what begins an execution. `mappings` say who handles tickets that name no agent, and are
    set through it."""
    known = Depends(known_parameters)
    api = APIRouter(prefix="/api/v1", tags=["executions"], route_class=JsonRoute, dependencies=[known])
    _add_agents(api, definitions)
    _add_controls(api, commands)
    if mappings is not None:
        _add_mappings(api, mappings)
    return api


def _add_agents(api: APIRouter, definitions: Definitions) -> None:
    @api.put("/agents", summary="Register an agent", tags=["agents"])
    async def register(definition: AgentDefinition) -> AgentRef:
        """The same definition is the same version; another one becomes the latest of its name."""
        _check_version(definition)
        for tool in definition.tools:
            if problem := schema_error(tool.input_schema):
                raise DoorError(422, "invalid_schema", f"tool {tool.name!r}: {problem}", field="tools")
        if definition.output_schema is not None and (problem := schema_error(definition.output_schema)):
            raise DoorError(422, "invalid_schema", f"output_schema: {problem}", field="output_schema")
        try:
            return AgentRef(name=definition.name, version=await definitions.register(definition))
        except NotCanonical as error:
            raise DoorError(422, "invalid_schema", str(error), field="tools") from error


START = PlainDoor(
    method="POST",
    path="/api/v1/executions",
    operation_id="start",
    summary="Start an execution",
    description="With an Idempotency-Key, the same request again answers 200 with the same execution.",
    tag="executions",
    takes=StartRequest,
    answers=ExecutionRef,
    status=201,
    also=(200,),
    writes=True,
)


def start_route(commands: Commands, definitions: Definitions, check_model: CheckModel) -> Route:
    """The door that every execution comes in by."""
    starts = Starts(commands, definitions, check_model)

    async def start(asked: Asked[StartRequest]) -> Said:
        by, body = asked.caller.by, asked.body
        return await _started(starts.start(body, by=by, source=f"{by}/{body.agent}", key=asked.key))

    return write_route(START, StartRequest, start)


TICKET = PlainDoor(
    method="POST",
    path="/api/v1/tickets",
    operation_id="ticket",
    summary="Start an execution by a ticket",
    description="The same (source, id) is the same execution, however often it is sent.",
    tag="tickets",
    takes=TicketRequest,
    answers=ExecutionRef,
    status=201,
    also=(200,),
    writes=True,
    keyed=False,
)


def ticket_route(
    commands: Commands, definitions: Definitions, check_model: CheckModel, mappings: TicketMappings | None
) -> Route:
    """The door for tickets that come over HTTP, in floods. `mappings` say who handles those that name no agent."""
    starts = Starts(commands, definitions, check_model, mappings=mappings)

    async def ticket(asked: Asked[TicketRequest]) -> Said:
        body = asked.body
        meant = Ticket.of(id=body.id, source=body.source, agent=body.agent, text=body.text, metadata=body.metadata)
        return await _started(starts.ticket(meant, by=asked.caller.by, envelope=Envelope()))

    return write_route(TICKET, TicketRequest, ticket)


async def _started(starting: Awaitable[Answer]) -> Said:
    try:
        ref = _ref(await starting)
    except CannotStart as error:
        raise DoorError(_STATUS.get(error.code, 422), error.code, str(error), field=error.field) from error
    location = (b"location", f"/api/v1/executions/{ref.execution_id}".encode())
    position = (b"agentspan-position", (ref.position or "").encode())
    return Said(json_of(ref), 201 if ref.created else 200, (location, position))


def _add_mappings(api: APIRouter, mappings: TicketMappings) -> None:
    @api.get("/ticket-mappings", summary="Who handles tickets that name no agent", tags=["tickets"])
    async def all_mappings() -> dict[str, TicketMapping]:
        """By name, in the order in which they are asked."""
        return mappings.all()

    @api.put("/ticket-mappings/{name}", summary="Set a ticket mapping", tags=["tickets"])
    async def put_mapping(name: Annotated[str, Path(pattern=_MAPPING_NAME)], body: TicketMapping) -> TicketMapping:
        """The first mapping that matches a ticket names its agent."""
        if body.model_extra:
            detail = (
                f"a ticket mapping has no {', '.join(map(repr, body.model_extra))}; without it, it would match more"
            )
            raise DoorError(422, "invalid_request", detail, field=next(iter(body.model_extra)))
        _check_version(body)
        await mappings.put(name, body)
        return body

    @api.delete("/ticket-mappings/{name}", status_code=204, summary="Remove a ticket mapping", tags=["tickets"])
    async def remove_mapping(name: str) -> None:
        """What was started stays."""
        if name not in mappings.all():
            raise not_found("mapping", name, "GET /api/v1/ticket-mappings lists them")
        await mappings.remove(name)


def _check_version(message: AgentDefinition | TicketMapping) -> None:
    """What a later release means must not be stored: after a restart nobody here could read it."""
    version = getattr(message, "schema_version", SCHEMA_VERSION)
    if version != SCHEMA_VERSION:
        detail = f"schema_version {version!r}; this server takes {SCHEMA_VERSION}: upgrade it, or write as it reads"
        raise DoorError(422, "newer_version", detail, field="schema_version")


def _add_controls(api: APIRouter, commands: Commands) -> None:
    for verb, kind, summary in _CONTROLS:
        _add_control(api, commands, verb, kind, summary)

    @api.post("/executions/{execution_id}/messages", summary="Tell the agent something")
    async def message(
        execution_id: str, body: MessageRequest, caller: CallerOf, key: CommandKey, response: Response
    ) -> ExecutionRef:
        """It reads it before its next turn."""
        command = c.SendMessage(
            command_id=command_id("message", caller, key, body),
            execution_id=execution_id,
            text=body.text,
            by=caller.by,
            channel=caller.channel,
        )
        return _moved(await commands.submit(command), response)

    @api.post("/executions/{execution_id}/calls/{call_id}/resolve", summary="Resolve a call in doubt")
    async def resolve(
        execution_id: str,
        call_id: str,
        body: ResolutionRequest,
        caller: CallerOf,
        key: CommandKey,
        response: Response,
    ) -> ExecutionRef:
        """Say what became of a call whose worker was lost after its grant."""
        command = c.Resolve(
            command_id=command_id(f"resolve:{call_id}", caller, key, body),
            execution_id=execution_id,
            call_id=call_id,
            attempt=body.attempt,
            outcome=body.outcome,
            value=body.value,
            error=Failure(kind="failed", message=body.error) if body.error else None,
            by=caller.by,
            channel=caller.channel,
            reason=body.reason,
        )
        return _moved(await commands.submit(command), response)


def _add_control(api: APIRouter, commands: Commands, verb: str, kind: _Control, summary: str) -> None:
    @api.post(f"/executions/{{execution_id}}/{verb}", summary=summary, operation_id=verb)
    async def control(
        execution_id: str, caller: CallerOf, key: CommandKey, response: Response, body: ReasonRequest = NO_REASON
    ) -> ExecutionRef:
        command = kind(
            command_id=command_id(verb, caller, key, body),
            execution_id=execution_id,
            by=caller.by,
            channel=caller.channel,
            reason=body.reason,
        )
        return _moved(await commands.submit(command), response)


def _moved(answer: Answer, response: Response) -> ExecutionRef:
    ref = _ref(answer)
    response.headers["Agentspan-Position"] = ref.position or ""
    return ref


def _ref(answer: Answer) -> ExecutionRef:
    accepted(answer)
    return ExecutionRef.of(
        execution_id=answer.execution_id,
        seq=answer.seq,
        position=answer.position,
        created=not answer.repeated,
    )
