"""What a handle and a runtime ask of the server, one method a request: async, typed, and free of threads."""

import uuid
from collections.abc import AsyncGenerator, Iterator, Mapping
from contextlib import contextmanager
from typing import Any, Literal

from pydantic import BaseModel, JsonValue, ValidationError
from pydantic_core import PydanticSerializationError, to_jsonable_python

from agentspan.agents._errors import InvalidRequest, NotFound
from agentspan.agents._events import AgentEvent
from agentspan.agents._http import Http
from agentspan.agents._streams import Streamed, Streams
from agentspan_schemas.agents import AgentDefinition
from agentspan_schemas.approvals import ApprovalRecord
from agentspan_schemas.errors import describe
from agentspan_schemas.http import (
    AgentRef,
    ApprovalPage,
    DecisionRequest,
    ExecutionRef,
    ExecutionView,
    MessageRequest,
    ReasonRequest,
    ResolutionRequest,
    StartRequest,
)

EDITED = "edited_args"


class Client:
    """The server's API, as far as an agent's author needs it."""

    def __init__(self, http: Http) -> None:
        self._http = http
        self.streams = Streams(http)
        self._registered: set[str] = set()

    async def register(self, definition: AgentDefinition) -> None:
        """Tell the server what the agent is; once for each version."""
        if definition.version not in self._registered:
            reply = await self._http.request("PUT", "/agents", definition)
            reply.read(AgentRef)
            self._registered.add(definition.version)

    async def start(
        self,
        definition: AgentDefinition,
        prompt: str,
        metadata: Mapping[str, JsonValue],
        key: str,
        timeout_s: float | None,
    ) -> ExecutionRef:
        """Start an execution of exactly this version; it is registered first where the server does not know it."""
        with _refused("start"):
            request = StartRequest(
                agent=definition.name,
                agent_version=definition.version,
                prompt=prompt,
                metadata=_object(metadata),
                timeout_s=timeout_s,
            )
        await self.register(definition)
        try:
            reply = await self._http.request("POST", "/executions", request, key=key)
        except NotFound:  # the server has begun a new history since
            self._registered.discard(definition.version)
            await self.register(definition)
            reply = await self._http.request("POST", "/executions", request, key=key)
        return reply.read(ExecutionRef)

    async def execution(self, execution_id: str, position: str | None = None) -> ExecutionView:
        """The execution as it is now, or at least as of `position`."""
        reply = await self._http.request("GET", f"/executions/{execution_id}", params=_at_least(position))
        return reply.read(ExecutionView)

    async def approvals(self, execution_id: str, state: str | None = None) -> tuple[ApprovalRecord, ...]:
        """The approvals of an execution, those of one state or all, as fresh as the log."""
        params = {"execution_id": execution_id, **({"state": state} if state else {})}
        return tuple([record async for record in self._approvals(params)])

    def in_doubt(self, agent: str, tool: str) -> AsyncGenerator[ApprovalRecord, None]:
        """The calls of the tool whose worker was lost, and of which nobody knows what became, oldest first."""
        return self._approvals({"agent": agent, "tool": tool, "state": "in_doubt"})

    async def _approvals(self, params: Mapping[str, str]) -> AsyncGenerator[ApprovalRecord, None]:
        behind: dict[str, str] = {}
        while True:
            reply = await self._http.request("GET", "/approvals", params={**params, **behind})
            page = reply.read(ApprovalPage)
            for record in page.items:
                yield record
            if page.cursor is None:
                return
            behind = {"cursor": page.cursor}

    async def resolve(self, execution_id: str, call_id: str, resolution: ResolutionRequest) -> ExecutionRef:
        """Say what became of a call in doubt. Raises Conflict when it is not in doubt any more."""
        return await self._write(f"/executions/{execution_id}/calls/{call_id}/resolve", resolution)

    async def decide(
        self,
        record: ApprovalRecord,
        decision: Literal["approve", "reject"],
        reason: str | None,
        args: Mapping[str, JsonValue] | None,
    ) -> str | None:
        """Decide one call, bound to the args of `record`; the position of the write."""
        with _named_as_args():
            with _refused(decision):
                request = DecisionRequest(
                    decision=decision,
                    args_hash=record.args_hash,
                    reason=reason,
                    edited_args=_object(args),
                )
            path = f"/approvals/{record.approval_id}/decision"
            return (await self._http.request("POST", path, request, key=new_key())).position

    async def control(self, execution_id: str, what: str, reason: str | None) -> ExecutionRef:
        """Pause, resume or cancel."""
        with _refused(what):
            request = ReasonRequest(reason=reason)
        return await self._write(f"/executions/{execution_id}/{what}", request)

    async def send(self, execution_id: str, text: str) -> ExecutionRef:
        """Tell the agent something."""
        with _refused("send"):
            request = MessageRequest(text=text)
        return await self._write(f"/executions/{execution_id}/messages", request)

    async def _write(self, path: str, request: BaseModel) -> ExecutionRef:
        reply = await self._http.request("POST", path, request, key=new_key())
        ref = reply.read(ExecutionRef)
        return ref.model_copy(update={"position": ref.position or reply.position})

    async def stream(
        self, execution_id: str, after: int, *, position: str | None = None
    ) -> AsyncGenerator[AgentEvent, None]:
        """The events behind `after` up to the last one, over as many connections as it takes.

        `position` is of a write that whoever answers must have seen: it may be another process than took the write.
        """
        batches = self.follow(execution_id, after, position=position)
        try:
            async for batch in batches:
                for event in batch:
                    if isinstance(event, AgentEvent):
                        yield event
        finally:
            await batches.aclose()

    def follow(
        self, execution_id: str, after: int, *, position: str | None = None, deltas: bool = False
    ) -> AsyncGenerator[list[Streamed], None]:
        """The same, as it comes in, over the one connection of this client; with `deltas`, these too."""
        return self.streams.follow(execution_id, after, position=position, deltas=deltas)

    async def close(self) -> None:
        """End the stream of events."""
        await self.streams.close()


@contextmanager
def _refused(what: str) -> Iterator[None]:
    """Around what is made of a caller's words. Raises InvalidRequest for what the server would not read."""
    try:
        yield
    except ValidationError as error:
        wrong = InvalidRequest(f"{what}: {describe(error)}")
        wrong.field = ".".join(map(str, error.errors()[0]["loc"])) or None
        raise wrong from error


@contextmanager
def _named_as_args() -> Iterator[None]:
    """Around a decision: its author wrote `args`, which the wire calls `edited_args`, and reads of what was written."""
    try:
        yield
    except InvalidRequest as error:
        if not (field := error.field or "").startswith(EDITED):
            raise
        wrong = InvalidRequest(str(error).replace(EDITED, "args", 1), status=error.status, code=error.code)
        wrong.field = field.replace(EDITED, "args", 1)
        raise wrong from error


def checked_key(key: object) -> str:
    """An idempotency key. Raises InvalidRequest: an empty one would make each start a run of its own."""
    if isinstance(key, str) and key.strip() and key.isprintable():
        return key
    error = InvalidRequest(
        f"start: idempotency_key: {key!r} is none; write what names this piece of work, as a ticket's id, "
        "or leave it out for a new run each time"
    )
    error.field = "idempotency_key"
    raise error


def _object(given: object) -> Any:
    """A mapping as JSON, a date in it as its text; of anything else pydantic says that it is none."""
    if not isinstance(given, Mapping):
        return given
    try:
        return to_jsonable_python(dict(given))
    except (PydanticSerializationError, ValueError):  # the request's own check says which part
        return dict(given)


def new_key() -> str:
    """A random idempotency key: the same request again is the same write."""
    return uuid.uuid4().hex


def _at_least(position: str | None) -> dict[str, str]:
    return {"min_position": position} if position else {}
