"""What the command line asks of the server beyond what a handle does: lists, decisions as they were written, workers.

The connection is the SDK's own, under the name of the command line and of the person who uses it.
"""

import asyncio
import json
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from typing import Any, Literal, TypeVar

from multidict import MultiDict
from pydantic import ValidationError

from agentspan.agents import ServerError
from agentspan.agents._client import Client, new_key
from agentspan.agents._discovery import server_url
from agentspan.agents._http import Http
from agentspan.cli._show import moment
from agentspan_schemas import JsonObject, Unreadable, Wire
from agentspan_schemas.approvals import ApprovalRecord
from agentspan_schemas.codec import EVENTS, describe
from agentspan_schemas.events import Event
from agentspan_schemas.http import ApprovalPage, DecisionRequest, ExecutionPage, ExecutionView
from agentspan_schemas.tasks import WorkerSession

T = TypeVar("T")

RETRY_FOR_S = 1.0
"""A person waits: enough for a connection that breaks, not for a server's restart."""

PAGE = 100
LARGEST_PAGE = 500
MOST = 1000
"""More are not looked at to tell a person what waits."""

EVENT_PAGE = 500


P = TypeVar("P", ExecutionPage, ApprovalPage)


class _Workers(Wire):
    items: tuple[WorkerSession, ...]


class _Events(Wire):
    items: tuple[JsonObject, ...]


class Server:
    """The server's API, as far as the command line needs it."""

    def __init__(self, http: Http) -> None:
        self._http = http
        self.client = Client(http)

    async def executions(self, filters: Sequence[tuple[str, str]], limit: int) -> tuple[list[ExecutionView], str]:
        """The newest that fit, and up to when the list is complete, in the reader's time zone."""
        found: list[ExecutionView] = []
        as_of = ""
        async for page in self._pages("/executions", ExecutionPage, filters, min(PAGE, limit)):
            found += page.items
            as_of = moment(page.as_of)
            if len(found) >= limit:
                break
        return found[:limit], as_of

    def approval_pages(
        self, filters: Sequence[tuple[str, str]], size: int = PAGE
    ) -> AsyncGenerator[ApprovalPage, None]:
        """Requests for a decision, oldest first, a page at a time."""
        return self._pages("/approvals", ApprovalPage, filters, size)

    async def approvals(self, filters: Sequence[tuple[str, str]]) -> tuple[ApprovalRecord, ...]:
        """Requests for a decision that fit, oldest first, and no more than MOST."""
        found: list[ApprovalRecord] = []
        async for page in self.approval_pages(filters, LARGEST_PAGE):
            found += page.items
            if len(found) >= MOST:
                break
        return tuple(found[:MOST])

    async def _pages(
        self, path: str, page_of: type[P], filters: Sequence[tuple[str, str]], size: int
    ) -> AsyncGenerator[P, None]:
        """A list, a page at a time, until there is no more."""
        cursor: str | None = None
        while True:
            params = MultiDict([*filters, ("limit", str(size))])
            if cursor is not None:
                params.add("cursor", cursor)
            page = page_of.model_validate_json((await self._http.request("GET", path, params=params)).body)
            yield page
            cursor = page.cursor
            if cursor is None or not page.items:
                return

    async def events(self, execution: ExecutionView, after: int = 0) -> list[Event]:
        """Every event of the execution behind `after` that this version can read."""
        found: list[Event] = []
        async for items in self._event_pages(execution, after):
            found += [event for item in items if (event := _read(item)) is not None]
        return found

    async def _event_pages(self, execution: ExecutionView, after: int) -> AsyncGenerator[tuple[JsonObject, ...], None]:
        path = f"/executions/{execution.execution_id}/events"
        while after < execution.seq:
            params = {"after": str(after), "limit": str(EVENT_PAGE)}
            items = _Events.model_validate_json((await self._http.request("GET", path, params=params)).body).items
            if not items:
                return
            yield items
            after = max(after + 1, *(int(str(item["seq"])) for item in items))

    async def approval(self, approval_id: str) -> ApprovalRecord:
        """One request for a decision."""
        reply = await self._http.request("GET", f"/approvals/{approval_id}")
        return ApprovalRecord.model_validate_json(reply.body)

    async def decide(
        self,
        record: ApprovalRecord,
        decision: Literal["approve", "reject"],
        reason: str | None,
        edited_args: JsonObject | None,
    ) -> ApprovalRecord:
        """Decide one call, bound to the args of `record`; the record as it is after that."""
        request = DecisionRequest(decision=decision, args_hash=record.args_hash, reason=reason, edited_args=edited_args)
        path = f"/approvals/{record.approval_id}/decision"
        reply = await self._http.request("POST", path, request, key=new_key())
        return ApprovalRecord.model_validate_json(reply.body)

    async def workers(self, agent: str, tool: str, input_schema_hash: str | None = None) -> tuple[WorkerSession, ...]:
        """The live workers that have this tool of this agent, of any input schema or of exactly this one."""
        params = {"agent": agent, "tool": tool}
        if input_schema_hash is not None:
            params["input_schema_hash"] = input_schema_hash
        reply = await self._http.request("GET", "/gateway/workers", params=params)
        return _Workers.model_validate_json(reply.body).items


def talk(work: Callable[[Server], Awaitable[T]]) -> T:
    """What the work returns, with a connection that lives as long as it."""

    async def talking() -> T:
        async with _connected() as server:
            try:
                return await work(server)
            except ValidationError as error:
                raise ServerError(
                    f"the server's answer is not of the expected shape ({describe(error)}): "
                    "check AGENTSPAN_SERVER_URL, and that client and server are of one release"
                ) from error

    return asyncio.run(talking())


@asynccontextmanager
async def _connected() -> AsyncIterator[Server]:
    http = Http(server_url(None), client="cli", retry_for_s=RETRY_FOR_S)
    server = Server(http)
    try:
        yield server
    finally:
        await server.client.close()
        await http.close()


def _read(item: dict[str, Any]) -> Event | None:
    try:
        return EVENTS.decode(json.dumps(item).encode())
    except Unreadable:
        return None
