"""The doors of a client's stream: of as many executions as it likes, over one connection (SSE).

Plain routes, apart from the lists: a client that starts many runs follows each of them, so these are on the hot path.
"""

import re
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import assert_never

from sse_starlette import EventSourceResponse
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from agentspan_doors import DoorError, PlainDoor, not_found, read_once, refuse_unknown
from agentspan_query.errors import (
    BadPosition,
    EventMissing,
    HistoryUnavailable,
    TooManyFollowed,
    UnknownExecution,
    WrittenLater,
)
from agentspan_query.service import Query
from agentspan_query.streams import At, Broken, Ended, EventStream, Following, Logged, Passing, Sent, Streams
from agentspan_schemas.codec import encode
from agentspan_schemas.http import Follow, Problem, StreamEnd, StreamOpened, StreamProblem, StreamRequest

PREFIX = "/api/v1/streams"
PING_S = 15
MOST_IN_URL = 100

FRAMES = """Server-sent events:

- `open`, first: `{"stream_id": …}`, which is the stream's address as long as it is open.
- an event of the log: `id` is `<execution_id>:<seq>`, the event's name is its type, the data is the event as it stands
  on the log. An execution's events come in order and without a gap; the one that ends the run is the last.
- `delta`: words of a model's reply as they are generated, for executions followed with `deltas`. Never on the log.
- `end`: `{"execution_id": …}`, the run was over before; nothing more comes of it.
- `problem`: `{"execution_id": …, "problem": …}`, it can't be followed (any more): there is none (404), history
  can't be read now (503: follow it again), or its next event can't be read at all (500 `event_missing`: it goes on
  behind that one).

Nothing is kept for a client that is slow: what it missed is read again from the log when it has room. After a broken
connection, open another and follow each execution from the last seq that you have."""

DOORS: tuple[PlainDoor, ...] = (
    PlainDoor(
        method="POST",
        path=PREFIX,
        operation_id="open_stream",
        summary="Many executions' events over one connection (SSE)",
        description=FRAMES,
        tag="history",
        takes=StreamRequest,
        answers=StreamOpened,
        media_type="text/event-stream",
    ),
    PlainDoor(
        method="GET",
        path=PREFIX,
        operation_id="open_stream_of",
        summary="Many executions' events, for a browser's EventSource (SSE)",
        description="`follow` may be repeated, up to 100 times: `<execution_id>` or `<execution_id>:<after>`. "
        "A browser that reconnects by itself begins there again: skip what you have, by its seq.\n\n" + FRAMES,
        tag="history",
        answers=StreamOpened,
        media_type="text/event-stream",
        query=("follow", "deltas"),
    ),
    PlainDoor(
        method="POST",
        path=f"{PREFIX}/{{stream_id}}",
        operation_id="change_stream",
        summary="Follow more executions on an open stream, or fewer",
        description="404 `unknown_stream`: it is not open, or open at another process. Open one that follows all.",
        tag="history",
        takes=StreamRequest,
        status=204,
    ),
)
"""One for each of `stream_routes`."""


def stream_routes(query: Query, new_id: Callable[[], str]) -> list[Route]:
    """The routes of the streams of many executions, with their full paths. `new_id` is hard to guess."""
    doors = _Doors(Streams(query.open_stream, new_id))
    return [
        Route(PREFIX, _door(doors.open), methods=["POST"]),
        Route(PREFIX, _door(doors.open_of), methods=["GET"]),
        Route(f"{PREFIX}/{{stream_id}}", _door(doors.change), methods=["POST"]),
    ]


class _Doors:
    def __init__(self, streams: Streams) -> None:
        self._streams = streams

    async def open(self, request: Request) -> Response:
        return _sse(self._sent(await _asked(request)))

    async def open_of(self, request: Request) -> Response:
        return _sse(self._sent(_asked_in_url(request)))

    async def change(self, request: Request) -> Response:
        stream_id = request.path_params["stream_id"]
        asked = await _asked(request)
        stream = self._streams.find(stream_id)
        if stream is None:
            raise not_found("stream", stream_id, "open one that follows all that you follow")
        _change(stream, asked)
        return Response(status_code=204)

    async def _sent(self, asked: StreamRequest) -> AsyncIterator[bytes]:
        stream_id, stream = self._streams.open()
        try:
            _change(stream, asked)
            yield b"event: open\ndata: " + encode(StreamOpened(stream_id=stream_id)) + b"\n\n"
            async for batch in stream.batches():
                yield b"".join(map(_frame, batch))
        finally:
            self._streams.close(stream_id)
            stream.close()


def _change(stream: EventStream, asked: StreamRequest) -> None:
    for execution_id in asked.unfollow:
        stream.unfollow(execution_id)
    for follow in asked.follow:
        stream.follow(Following(follow.execution_id, follow.after, read_position(follow.position), follow.deltas))


def _frame(sent: Sent) -> bytes:
    match sent:
        case Logged():
            head = f"id: {sent.execution_id}:{sent.seq}\nevent: {sent.type}\ndata: "
            return head.encode() + sent.raw + b"\n\n"
        case Passing():
            return b"event: delta\ndata: " + sent.raw + b"\n\n"
        case Ended():
            return b"event: end\ndata: " + encode(StreamEnd(execution_id=sent.execution_id)) + b"\n\n"
        case Broken():
            problem = StreamProblem(execution_id=sent.execution_id, problem=problem_of(sent.error))
            return b"event: problem\ndata: " + encode(problem) + b"\n\n"
        case _:
            assert_never(sent)


def problem_of(error: Exception) -> Problem:
    """What a stream says of an execution that it can't carry."""
    match error:
        case UnknownExecution():
            return DoorError(404, "unknown_execution", str(error)).problem
        case BadPosition():
            return DoorError(422, "invalid_request", str(error), field="position").problem
        case HistoryUnavailable() | WrittenLater():
            return DoorError(503, "history_unavailable", str(error)).problem
        case EventMissing():
            return DoorError(500, "event_missing", str(error)).problem
        case _:
            return DoorError(500, "history_failed", f"its events can't be read: {error}").problem


def _asked_in_url(request: Request) -> StreamRequest:
    refuse_unknown(request, ("follow", "deltas"), lists=("follow",))
    deltas = request.query_params.get("deltas", "false")
    if deltas not in ("true", "false"):
        raise DoorError(422, "invalid_request", f"deltas: {deltas!r} is neither true nor false", field="deltas")
    named = request.query_params.getlist("follow")
    if not 0 < len(named) <= MOST_IN_URL:
        detail = f"follow: name 1 to {MOST_IN_URL} executions; POST to {PREFIX} takes more"
        raise DoorError(422, "invalid_request", detail, field="follow")
    return StreamRequest(follow=tuple(_follow(text, deltas == "true") for text in named))


def _follow(text: str, deltas: bool) -> Follow:
    found = re.fullmatch(r"([^:]{1,128})(?::(\d{1,18}))?", text)
    if found is None:
        detail = f"follow: {text!r} is neither <execution_id> nor <execution_id>:<after>"
        raise DoorError(422, "invalid_request", detail, field="follow")
    return Follow(execution_id=found[1], after=int(found[2] or 0), deltas=deltas)


async def _asked(request: Request) -> StreamRequest:
    refuse_unknown(request, ())
    return read_once(StreamRequest, await request.body() or b"{}")


def read_position(text: str | None) -> At | None:
    """`<partition>:<offset>` as a place on the log."""
    if text is None:
        return None
    partition, _, offset = text.partition(":")
    return At(int(partition), int(offset))


def _sse(frames: AsyncIterator[bytes]) -> Response:
    return EventSourceResponse(frames, ping=PING_S)


def _door(endpoint: Callable[[Request], Awaitable[Response]]) -> Callable[[Request], Awaitable[Response]]:
    async def door(request: Request) -> Response:
        try:
            return await endpoint(request)
        except TooManyFollowed as error:
            raise DoorError(409, "too_many_followed", str(error)) from error

    return door
