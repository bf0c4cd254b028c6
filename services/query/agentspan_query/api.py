"""The doors of history: lists, one execution, its events, and its live stream (SSE)."""

import re
from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager
from dataclasses import replace
from datetime import datetime
from typing import Annotated

from fastapi import APIRouter, Depends, Header
from fastapi import Query as Param
from pydantic import BeforeValidator
from sse_starlette import EventSourceResponse, ServerSentEvent
from starlette.responses import Response

from agentspan_doors import DoorError, known_parameters, not_found
from agentspan_query.domain.filters import ExecutionFilter, Order, with_plus
from agentspan_query.errors import BadCursor, BadPosition, HistoryFailed, HistoryUnavailable, QueryError
from agentspan_query.service import Query
from agentspan_query.stream_doors import PING_S, problem_of, read_position
from agentspan_query.streams import Following, Logged
from agentspan_schemas import Wire
from agentspan_schemas.codec import encode
from agentspan_schemas.events import Event, Status
from agentspan_schemas.http import POSITION, ExecutionPage, ExecutionView, StreamProblem


class EventPage(Wire):
    """Events of one execution, in order. Ask again with `after` = the last one's seq."""

    items: tuple[Event, ...]


class AgentNames(Wire):
    """All agents that ever ran."""

    items: tuple[str, ...]


class StatusCounts(Wire):
    """How many executions have each status."""

    counts: dict[str, int]


_NUMBER = re.compile(r"\s*[+-]?[\d.]+\s*")


def _written(text: str) -> str:
    if _NUMBER.fullmatch(text):  # to pydantic, 2026 is half an hour into 1970
        raise ValueError(f"{text!r} is a number; write a moment as 2026-11-22T14:30Z")
    return with_plus(text)


Moment = Annotated[datetime, BeforeValidator(_written)]

MinPosition = Annotated[
    str | None, Param(pattern=POSITION, description="The `Agentspan-Position` of a write that must be seen")
]


def router(query: Query) -> APIRouter:
    """The read API."""
    api = APIRouter(prefix="/api/v1", tags=["history"], dependencies=[Depends(known_parameters)])
    _add_lists(api, query)
    _add_execution(api, query)
    _add_stream(api, query)
    return api


def _add_lists(api: APIRouter, query: Query) -> None:
    @api.get("/executions", summary="List executions, newest first unless asked otherwise")
    async def executions(
        agent: str | None = None,
        status: Annotated[tuple[Status, ...], Param(description="May be repeated")] = (),
        since: Annotated[Moment | None, Param(alias="from", description="Started at or after")] = None,
        until: Annotated[Moment | None, Param(alias="to", description="Started before")] = None,
        tool: Annotated[str | None, Param(description="Called this tool")] = None,
        order: Annotated[Order, Param(description="Which stand first")] = "newest",
        cursor: str | None = None,
        limit: Annotated[int, Param(ge=1, le=500)] = 50,
        min_position: MinPosition = None,
    ) -> ExecutionPage:
        """Complete up to `as_of`. Texts are previews; one execution has them whole."""
        chosen = replace(execution_filter(agent, status, since, until, tool), oldest_first=order == "oldest")
        with problems():
            return await query.executions(chosen, cursor=cursor, limit=limit, at=read_position(min_position))

    @api.get("/executions/counts", summary="Count executions by status")
    async def counts(
        agent: str | None = None,
        since: Annotated[Moment | None, Param(alias="from")] = None,
        until: Annotated[Moment | None, Param(alias="to")] = None,
        tool: str | None = None,
    ) -> StatusCounts:
        """Under the same filters as the list, its status aside."""
        with problems():
            found = await query.status_counts(execution_filter(agent, (), since, until, tool))
        return StatusCounts(counts={str(status): count for status, count in found.items()})

    @api.get("/agents", summary="All agents that ever ran", tags=["agents"])
    async def agents() -> AgentNames:
        """Their names, for a filter."""
        with problems():
            return AgentNames(items=tuple(await query.agents()))


def _add_execution(api: APIRouter, query: Query) -> None:
    @api.get("/executions/{execution_id}", summary="One execution")
    async def execution(execution_id: str, min_position: MinPosition = None) -> ExecutionView:
        """As it stands now, with all its texts."""
        with problems():
            found = await query.execution(execution_id, at=read_position(min_position))
        if found is None:
            raise unknown(execution_id)
        return found

    @api.get("/executions/{execution_id}/events", summary="Its events", response_model=EventPage)
    async def events(
        execution_id: str,
        after: Annotated[int, Param(ge=0)] = 0,
        limit: Annotated[int, Param(ge=1, le=5000)] = 500,
        min_position: MinPosition = None,
    ) -> Response:
        """Those with a seq above `after`, exactly as they stand on the log."""
        with problems():
            found = await query.events(execution_id, after=after, limit=limit, at=read_position(min_position))
            if not found and not await query.exists(execution_id):
                raise unknown(execution_id)
        body = ",".join(stored.payload for stored in found)
        return Response(f'{{"items":[{body}]}}', media_type="application/json")


def _add_stream(api: APIRouter, query: Query) -> None:
    @api.get(
        "/executions/{execution_id}/stream",
        summary="Its events as they come (SSE)",
        response_class=EventSourceResponse,
        responses={200: {"content": {"text/event-stream": {}}, "description": "Server-sent events"}},
    )
    async def stream(
        execution_id: str,
        after: Annotated[int, Param(ge=0)] = 0,
        last_event_id: Annotated[str | None, Header()] = None,
        min_position: MinPosition = None,
        deltas: Annotated[bool, Param(description="Also `delta`: a model's words as they are generated")] = False,
    ) -> EventSourceResponse:
        """Ids are seq; `Last-Event-ID` resumes, also after the end. It closes after the event that ends the run, or a
        `problem`, which says why it can't be followed (any more)."""
        if last_event_id is not None:
            if not re.fullmatch(r"\d{1,18}", last_event_id):
                raise DoorError(422, "invalid_request", "Last-Event-ID: a seq is expected", field="Last-Event-ID")
            after = int(last_event_id)
        with problems():
            if not await query.exists(execution_id, at=read_position(min_position)):
                raise unknown(execution_id)
        return EventSourceResponse(_sent(query, Following(execution_id, after, deltas=deltas)), ping=PING_S)


async def _sent(query: Query, asked: Following) -> AsyncIterator[ServerSentEvent]:
    try:
        async for sent in query.stream(asked):
            if isinstance(sent, Logged):
                yield ServerSentEvent(sent.raw.decode(), id=str(sent.seq), event=sent.type)
            else:
                yield ServerSentEvent(sent.raw.decode(), event="delta")
    except QueryError as error:
        problem = StreamProblem(execution_id=asked.execution_id, problem=problem_of(error))
        yield ServerSentEvent(encode(problem).decode(), event="problem")


def execution_filter(
    agent: str | None,
    statuses: tuple[Status, ...],
    since: datetime | None,
    until: datetime | None,
    tool: str | None = None,
) -> ExecutionFilter:
    """The filter of a list; a time without a zone is refused."""
    for name, moment in (("from", since), ("to", until)):
        if moment is not None and moment.tzinfo is None:
            hint = f"{name}: {moment.isoformat()} has no time zone; write {moment.isoformat()}Z"
            raise DoorError(422, "invalid_request", hint, field=name)
    return ExecutionFilter(agent=agent or None, statuses=statuses, since=since, until=until, tool=tool or None)


def unknown(execution_id: str) -> DoorError:
    """404 for an execution."""
    return not_found("execution", execution_id, "`agentspan agent list` shows what there is")


@contextmanager
def problems() -> Iterator[None]:
    """What history raises, as a problem."""
    try:
        yield
    except BadCursor as error:
        raise DoorError(422, "bad_cursor", str(error), field="cursor") from error
    except BadPosition as error:
        raise DoorError(422, "invalid_request", str(error), field="min_position") from error
    except HistoryUnavailable as error:
        raise DoorError(503, "history_unavailable", str(error)) from error
    except HistoryFailed as error:
        raise DoorError(500, "history_failed", str(error)) from error
