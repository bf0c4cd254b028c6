"""The gateway over HTTP: plain routes, as each step of a tool call passes here.

A worker opens a session, follows its stream of tasks (NDJSON: one ToolTask a line, `{"lane":"ping"}` as a sign of
life), and reports claims, declines and results in batches. Also: which workers there are.
"""

import asyncio
from collections.abc import Awaitable, Callable
from contextlib import suppress

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route
from starlette.types import Receive, Scope, Send

from agentspan_doors import DoorError, Plain, Said, body_of, json_of, problem_response, read, refuse_unknown
from agentspan_schemas import MAX_VALUE_BYTES
from agentspan_schemas.codec import encode
from agentspan_schemas.http import SessionRequest, WorkerReport
from agentspan_tool_runner.service import Draining, Gateway, TaskStream, UnknownSession

PREFIX = "/api/v1/gateway"
PING = b'{"lane":"ping"}'

MAX_HELLO_BYTES = 256 * 1024
MAX_REPORT_BYTES = MAX_VALUE_BYTES

Endpoint = Callable[[Request], Awaitable[Response]]


def routes(gateway: Gateway) -> list[Route]:
    """The routes of this gateway, with their full paths."""
    doors = _Doors(gateway)
    session = f"{PREFIX}/sessions/{{session_id}}"
    return [
        Route(f"{PREFIX}/sessions", _door(doors.hello), methods=["POST"]),
        Route(f"{session}/tasks", _door(doors.tasks), methods=["GET"]),
        Route(f"{session}/reports", Plain(doors.report), methods=["POST"], name="report"),
        Route(session, _door(doors.leave), methods=["DELETE"]),
        Route(f"{PREFIX}/workers", _door(doors.workers), methods=["GET"]),
    ]


class _Doors:
    def __init__(self, gateway: Gateway) -> None:
        self._gateway = gateway

    async def hello(self, request: Request) -> Response:
        grant = self._gateway.hello(read(SessionRequest, await body_of(request.receive, MAX_HELLO_BYTES)))
        return _json(encode(grant), 201)

    async def tasks(self, request: Request) -> Response:
        if request.method == "HEAD":  # it would end the stream of who listens
            raise DoorError(405, "method_not_allowed", "a session's tasks are handed to who asks for them: GET them")
        return _TaskLines(self._gateway, request.path_params["session_id"])

    async def report(self, scope: Scope, receive: Receive) -> Said:
        report = read(WorkerReport, await body_of(receive, MAX_REPORT_BYTES))
        try:
            return Said(json_of(await self._gateway.report(scope["path_params"]["session_id"], report)))
        except UnknownSession as error:
            raise _unknown(error) from error

    async def leave(self, request: Request) -> Response:
        self._gateway.leave(request.path_params["session_id"])
        return Response(status_code=204)

    async def workers(self, request: Request) -> Response:
        asked = {name: request.query_params.get(name) for name in ("agent", "tool", "input_schema_hash")}
        refuse_unknown(request, asked)
        items = b",".join(encode(session) for session in self._gateway.workers_for(**asked))
        return _json(b'{"items":[' + items + b"]}")


class _TaskLines(Response):
    """The stream of tasks. Not Starlette's own: a client that goes away is noticed at once, not at the next line."""

    media_type = "application/x-ndjson"

    def __init__(self, gateway: Gateway, session_id: str) -> None:
        super().__init__(headers={"cache-control": "no-store", "x-accel-buffering": "no"})
        del self.headers["content-length"]
        self._gateway = gateway
        self._session_id = session_id

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        try:
            with self._gateway.stream(self._session_id) as stream:
                await send({"type": "http.response.start", "status": 200, "headers": self.raw_headers})
                async with asyncio.TaskGroup() as group:
                    listener = group.create_task(_end_with_client(receive, stream))
                    await _send_lines(stream, send)
                    listener.cancel()
        except UnknownSession as error:
            await problem_response(_unknown(error).problem)(scope, receive, send)


async def _send_lines(stream: TaskStream, send: Send) -> None:
    with suppress(OSError):  # the client went away: what did not arrive is given again
        async for batch in stream:
            lines = b"".join([(PING if task is None else task) + b"\n" for task in batch])
            await send({"type": "http.response.body", "body": lines, "more_body": True})
        await send({"type": "http.response.body", "body": b"", "more_body": False})


async def _end_with_client(receive: Receive, stream: TaskStream) -> None:
    while (await receive())["type"] != "http.disconnect":
        pass
    stream.end()


def _door(endpoint: Endpoint) -> Endpoint:
    async def door(request: Request) -> Response:
        try:
            return await endpoint(request)
        except UnknownSession as error:
            raise _unknown(error) from error
        except Draining as error:
            raise DoorError(503, "draining", str(error)) from error

    return door


def _unknown(error: UnknownSession) -> DoorError:
    return DoorError(404, "unknown_session", str(error))


def _json(body: bytes, status: int = 200) -> Response:
    return Response(body, status, media_type="application/json")
