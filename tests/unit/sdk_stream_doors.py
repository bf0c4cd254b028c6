"""The streams of the small server: what each follows, and the frames that it is sent, whole or garbled.

Apart from its other doors, which answer once.
"""

import json
from collections.abc import Callable, Iterator

from aiohttp import web

from agentspan_schemas.http import Delta, Problem, StreamRequest
from tests.unit.sdk_core import Refused, Reply, SmallCore


class SmallStreams(SmallCore):
    """Streams of what the core decides."""

    def __init__(self, model: Callable[[int], Reply]) -> None:
        super().__init__(model)
        self.streamed_from: list[str | None] = []
        """Of each execution that was asked for, the position on the log that it is to have at least."""
        self.streams: dict[str, dict[str, int]] = {}
        """Of each open stream, the executions that it follows, and the last event that it was sent."""
        self.asked_to_follow: list[StreamRequest] = []
        self.deltas: dict[int, str] = {}
        """Words that go out before the event of that seq, to those who asked for them."""
        self.wants_deltas: set[str] = set()
        self.garbled = False
        """Whether its streams are of another product."""
        self.forget_streams = False
        """Whether changes of a stream come to a process that does not have it."""

    async def _streams(self, request: web.Request) -> web.StreamResponse:
        stream_id = self._id("stream")
        followed = self.streams[stream_id] = {}
        self._follow(followed, StreamRequest.model_validate_json(await request.read()))
        response = web.StreamResponse(headers={"Content-Type": "text/event-stream"})
        await response.prepare(request)
        opened = json.dumps({} if self.garbled else {"stream_id": stream_id})
        await response.write(f": hello\r\n\r\nevent: open\r\ndata: {opened}\r\n\r\n".encode())
        try:
            while True:
                for frame in self._frames(followed):
                    await response.write(frame.encode())
                async with self._changed:
                    while not self._has_news(followed):
                        await self._changed.wait()
        finally:
            del self.streams[stream_id]

    async def _change_stream(self, request: web.Request) -> web.Response:
        stream_id = request.match_info["id"]
        if stream_id not in self.streams or self.forget_streams:
            raise Refused(404, "unknown_stream", f"there is no stream {stream_id!r}")
        self._follow(self.streams[stream_id], StreamRequest.model_validate_json(await request.read()))
        await self._tell()
        return web.Response(status=204)

    def _follow(self, followed: dict[str, int], asked: StreamRequest) -> None:
        self.asked_to_follow.append(asked)
        for execution_id in asked.unfollow:
            followed.pop(execution_id, None)
        for follow in asked.follow:
            followed[follow.execution_id] = follow.after
            self.streamed_from.append(follow.position)
            if follow.deltas:
                self.wants_deltas.add(follow.execution_id)

    def _has_news(self, followed: dict[str, int]) -> bool:
        return any(len(self.events.get(one, ())) > seen or self._is_over(one) for one, seen in followed.items())

    def _is_over(self, execution_id: str) -> bool:
        return execution_id not in self.states or self.states[execution_id].terminal

    def _frames(self, followed: dict[str, int]) -> Iterator[str]:
        for execution_id, seen in list(followed.items()):
            if execution_id not in self.states:
                del followed[execution_id]
                said = f"there is no execution {execution_id!r}"
                problem = Problem(type="about:blank", title="", status=404, detail=said, code="unknown_execution")
                body = {"execution_id": execution_id, "problem": problem.model_dump(mode="json")}
                yield f"event: problem\ndata: {json.dumps(body)}\n\n"
                continue
            coming = self.events[execution_id][seen:]
            for event in coming:
                if event.seq in self.deltas and execution_id in self.wants_deltas:
                    text = self.deltas[event.seq]
                    delta = Delta(execution_id=execution_id, turn=1, attempt=1, offset=0, text=text)
                    yield f"event: delta\ndata: {delta.model_dump_json()}\n\n"
                data = event.model_dump_json()
                yield f"id: {execution_id}:{event.seq}\nevent: {event.type}\ndata: {data}\n\n"
            followed[execution_id] = seen + len(coming)
            if self.states[execution_id].terminal:
                del followed[execution_id]
                if not coming:
                    yield f"event: end\ndata: {json.dumps({'execution_id': execution_id})}\n\n"
