"""The orchestrator's doors: register agents, start executions, and what people do to a running one."""

from collections.abc import Callable

from fastapi import APIRouter, Response

from agentspan.eventlog.commands import Commands
from agentspan_doors import Caller, CallerOf, CommandKey, DoorError, accepted, command_id, not_found
from agentspan_orchestrator.definitions import Definitions
from agentspan_orchestrator.domain import schema_error
from agentspan_schemas import Failure, JsonObject, NotCanonical
from agentspan_schemas import commands as c
from agentspan_schemas.agents import AgentDefinition
from agentspan_schemas.answers import Answer
from agentspan_schemas.canonical import content_hash
from agentspan_schemas.http import (
    AgentRef,
    ExecutionRef,
    MessageRequest,
    ReasonRequest,
    ResolutionRequest,
    StartRequest,
    TicketRequest,
)
from agentspan_schemas.ids import execution_id_for

CheckModel = Callable[[AgentDefinition], str | None]
"""What is missing to call an agent's model, where this process can know."""


_Control = type[c.Pause] | type[c.Resume] | type[c.Cancel]

_CONTROLS: tuple[tuple[str, _Control, str], ...] = (
    ("pause", c.Pause, "Start nothing new; what runs may finish, and decisions are kept"),
    ("resume", c.Resume, "Go on after a pause; what was decided meanwhile takes effect"),
    ("cancel", c.Cancel, "End an execution; a granted call is waited for"),
)


def router(commands: Commands, definitions: Definitions, check_model: CheckModel) -> APIRouter:
    """The write API."""
    api = APIRouter(prefix="/api/v1", tags=["executions"])
    starts = _Starts(commands, definitions, check_model)
    _add_starts(api, starts)
    _add_controls(api, commands)
    return api


class _Starts:
    """Everything that begins an execution ends up here."""

    def __init__(self, commands: Commands, definitions: Definitions, check_model: CheckModel) -> None:
        self._commands = commands
        self._definitions = definitions
        self._check_model = check_model

    async def register(self, definition: AgentDefinition) -> AgentRef:
        for tool in definition.tools:
            if problem := schema_error(tool.input_schema):
                raise DoorError(422, "invalid_schema", f"tool {tool.name!r}: {problem}", field="tools")
        try:
            return AgentRef(name=definition.name, version=await self._definitions.register(definition))
        except NotCanonical as error:
            raise DoorError(422, "invalid_schema", str(error), field="tools") from error

    async def start(
        self, request: StartRequest, caller: Caller, *, source: str, key: str, response: Response
    ) -> ExecutionRef:
        definition = self._definition(request.agent, request.agent_version)
        try:
            digest = content_hash([request.agent, request.prompt, request.metadata, request.timeout_s])
        except NotCanonical as error:
            raise DoorError(422, "invalid_request", f"metadata: {error}", field="metadata") from error
        execution_id = execution_id_for(source, key)
        command = c.Start(
            # with the content: the same id for other content has to reach the core, which refuses it
            command_id=f"start:{execution_id}:{digest}",
            execution_id=execution_id,
            agent=definition.name,
            agent_version=definition.version,
            prompt=request.prompt,
            requested_by=caller.by,
            source=source,
            key=key,
            metadata=request.metadata,
            content_hash=digest,
            timeout_s=request.timeout_s,
        )
        ref = _ref(await self._commands.submit(command), response)
        response.status_code = 201 if ref.created else 200
        response.headers["Location"] = f"/api/v1/executions/{execution_id}"
        return ref

    def _definition(self, name: str, version: str | None) -> AgentDefinition:
        definition = self._definitions.get(name, version)
        if definition is None:
            known = ", ".join(repr(agent.name) for agent in self._definitions.all()) or "none"
            shown = name if version is None else f"{name}@{version}"
            raise not_found("agent", shown, f"serve it first (known: {known})")
        if problem := self._check_model(definition):
            raise DoorError(422, "model_unavailable", f"agent {name!r}: {problem}", field="agent")
        return definition


def _add_starts(api: APIRouter, starts: _Starts) -> None:
    @api.put("/agents", summary="Register an agent", tags=["agents"])
    async def register(definition: AgentDefinition) -> AgentRef:
        """The same definition is the same version; another one becomes the latest of its name."""
        return await starts.register(definition)

    @api.post("/executions", status_code=201, summary="Start an execution")
    async def start(body: StartRequest, caller: CallerOf, key: CommandKey, response: Response) -> ExecutionRef:
        """With an Idempotency-Key, the same request again answers 200 with the same execution."""
        source = f"{caller.by}/{body.agent}"
        return await starts.start(body, caller, source=source, key=key, response=response)

    @api.post("/tickets", status_code=201, summary="Start an execution by a ticket", tags=["tickets"])
    async def ticket(body: TicketRequest, caller: CallerOf, response: Response) -> ExecutionRef:
        """The same (source, id) is the same execution, however often it is sent."""
        metadata: JsonObject = {"ticket_id": body.id, "ticket_source": body.source, **body.metadata}
        request = StartRequest(agent=body.agent, prompt=body.text, metadata=metadata)
        return await starts.start(request, caller, source=body.source, key=body.id, response=response)


def _add_controls(api: APIRouter, commands: Commands) -> None:
    for verb, kind, summary in _CONTROLS:
        _add_control(api, commands, verb, kind, summary)

    @api.post("/executions/{execution_id}/messages", summary="Tell the agent something")
    async def message(
        execution_id: str, body: MessageRequest, caller: CallerOf, key: CommandKey, response: Response
    ) -> ExecutionRef:
        """It reads it before its next turn."""
        command = c.SendMessage(
            command_id=command_id("message", caller, key),
            execution_id=execution_id,
            text=body.text,
            by=caller.by,
            channel=caller.channel,
        )
        return _ref(await commands.submit(command), response)

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
            command_id=command_id(f"resolve:{call_id}", caller, key),
            execution_id=execution_id,
            call_id=call_id,
            outcome=body.outcome,
            value=body.value,
            error=Failure(kind="failed", message=body.error) if body.error else None,
            by=caller.by,
            channel=caller.channel,
            reason=body.reason,
        )
        return _ref(await commands.submit(command), response)


def _add_control(api: APIRouter, commands: Commands, verb: str, kind: _Control, summary: str) -> None:
    @api.post(f"/executions/{{execution_id}}/{verb}", summary=summary, operation_id=verb)
    async def control(
        execution_id: str, body: ReasonRequest, caller: CallerOf, key: CommandKey, response: Response
    ) -> ExecutionRef:
        command = kind(
            command_id=command_id(verb, caller, key),
            execution_id=execution_id,
            by=caller.by,
            channel=caller.channel,
            reason=body.reason,
        )
        return _ref(await commands.submit(command), response)


def _ref(answer: Answer, response: Response) -> ExecutionRef:
    accepted(answer)
    if answer.position:
        response.headers["Agentspan-Position"] = answer.position
    return ExecutionRef(
        execution_id=answer.execution_id,
        seq=answer.seq,
        position=answer.position,
        created=not answer.repeated,
    )
