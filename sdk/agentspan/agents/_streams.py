"""All that this process follows, over one connection: a thousand handles hold one stream of the server.

Each reader has a place of its own on its execution, so that whatever breaks, comes late or was dropped is asked for
again from there. A reader that does not keep up is cut off from what comes, and asks again when it has read the rest.
"""

import asyncio
import logging
import time
from collections.abc import AsyncGenerator

from pydantic import ValidationError

from agentspan.agents._errors import AgentspanError, InvalidRequest, NotFound, ServerError, ServerUnavailable
from agentspan.agents._events import AgentDelta, AgentEvent, delta_view, read_event
from agentspan.agents._http import Http, ServerSentEvent
from agentspan.agents._problems import error_of
from agentspan_schemas.errors import describe
from agentspan_schemas.events import ENDS
from agentspan_schemas.http import Delta, Follow, StreamEnd, StreamOpened, StreamProblem, StreamRequest

logger = logging.getLogger(__name__)

RECONNECT_FOR_S = 300.0
"""How long a broken stream is opened again before its readers are told that the server is gone."""

TOLD_AFTER_S = 3.0
"""What takes longer is told: a server that is started again is back by then."""

FIRST_PAUSE_S = 0.05
LONGEST_PAUSE_S = 2.0

LINGER_S = 5.0
"""How long the connection is kept for the next reader."""

MOST_UNREAD = 10_000
"""So many events wait for one reader."""

MOST_AT_ONCE = 5_000
"""So many executions are named in one request."""

Streamed = AgentEvent | AgentDelta


class _Reader:
    """Whoever iterates one execution's events: its place, and what came and was not read yet."""

    def __init__(self, follow: Follow) -> None:
        self.execution_id = follow.execution_id
        self.after = follow.after
        self.position = follow.position
        self.deltas = follow.deltas
        self.late = False
        self.over = False
        self.error: AgentspanError | None = None
        self._unread: list[Streamed] = []
        self._woken = asyncio.Event()

    def put(self, item: Streamed) -> None:
        """For whoever reads; where it is too slow, only that it is."""
        self.late = self.late or len(self._unread) >= MOST_UNREAD
        if self.late:
            return
        if isinstance(item, AgentEvent):
            self.after = item.seq
        self._unread.append(item)
        self._woken.set()

    def end(self, error: AgentspanError | None = None) -> None:
        """Nothing more comes."""
        self.over, self.error = True, error
        self._woken.set()

    async def take(self) -> list[Streamed]:
        """All that came since; empty when nothing more will."""
        while not self._unread and not self.over:
            self._woken.clear()
            await self._woken.wait()
        taken, self._unread = self._unread, []
        return taken


class Streams:
    """One connection for all readers, opened when the first comes. Create, use and close it on one event loop."""

    def __init__(self, http: Http, *, reconnect_for_s: float = RECONNECT_FOR_S, linger_s: float = LINGER_S) -> None:
        self._http = http
        self._reconnect_for_s = reconnect_for_s
        self._linger_s = linger_s
        self._readers: dict[str, list[_Reader]] = {}
        self._unsaid: dict[str, None] = {}
        """Executions that the server has yet to be told of, or told that nobody follows them any more."""
        self._stream_id: str | None = None
        self._changed = asyncio.Event()
        self._connection: asyncio.Task[None] | None = None
        self._idle: asyncio.TimerHandle | None = None
        self._failing_since: float | None = None
        self._is_told = False
        self._pause_s = FIRST_PAUSE_S

    async def follow(
        self, execution_id: str, after: int, *, position: str | None = None, deltas: bool = False
    ) -> AsyncGenerator[list[Streamed], None]:
        """What comes of the execution behind `after`, up to the event that ends it, as it comes in.

        `position` is of a write that whoever answers must have seen. Raises NotFound for an unknown execution,
        ServerUnavailable when the server stays away.
        """
        reader = _Reader(_follow(execution_id, after, position, deltas))
        self._add(reader)
        try:
            while batch := await reader.take():
                yield batch
                if reader.late and not reader.over:
                    reader.late = False
                    self._say(execution_id)
            if reader.error is not None:
                raise reader.error
        finally:
            self._remove(reader)

    async def close(self) -> None:
        """End the connection."""
        if self._idle is not None:
            self._idle.cancel()
        if self._connection is not None:
            self._connection.cancel()
            await asyncio.gather(self._connection, return_exceptions=True)

    # Readers

    def _add(self, reader: _Reader) -> None:
        self._readers.setdefault(reader.execution_id, []).append(reader)
        self._say(reader.execution_id)
        if self._idle is not None:
            self._idle.cancel()
            self._idle = None
        if self._connection is None or self._connection.done():
            self._pause_s, self._failing_since = FIRST_PAUSE_S, None
            self._connection = asyncio.create_task(self._connected())

    def _remove(self, reader: _Reader) -> None:
        left = self._readers.get(reader.execution_id, [])
        if reader in left:
            left.remove(reader)
            if not left:
                del self._readers[reader.execution_id]
                if not reader.over:
                    self._say(reader.execution_id)
        if not self._readers and self._idle is None:
            self._idle = asyncio.get_running_loop().call_later(self._linger_s, self._let_go)

    def _let_go(self) -> None:
        """Nobody has read for a while."""
        if self._connection is not None:
            self._connection.cancel()
        self._connection = self._idle = None

    def _say(self, execution_id: str) -> None:
        self._unsaid[execution_id] = None
        self._changed.set()

    def _end(self, execution_id: str, error: AgentspanError | None = None) -> None:
        for reader in self._readers.pop(execution_id, ()):
            reader.end(error)

    # The connection

    async def _connected(self) -> None:
        """A connection at a time, for as long as anybody reads."""
        while self._readers:
            try:
                await self._one_connection()
            except ServerUnavailable as error:
                self._broke(error)
            except AgentspanError as error:
                self._fail(error)
            except Exception as error:
                logger.exception("the stream of events can't be read")
                self._fail(ServerError(f"the stream of events is not of the expected shape: {error!r}"))
            finally:
                self._stream_id = None
            await asyncio.sleep(self._pause_s)
            self._pause_s = min(LONGEST_PAUSE_S, self._pause_s * 2)

    async def _one_connection(self) -> None:
        """Open the stream for all that is followed, and tell it of changes, until either breaks."""
        named = list(self._readers)[:MOST_AT_ONCE]
        self._unsaid = dict.fromkeys(list(self._readers)[MOST_AT_ONCE:])
        request = StreamRequest(follow=tuple(map(self._asked, named)))
        reading = asyncio.create_task(self._read(request))
        telling = asyncio.create_task(self._tell())
        try:
            await asyncio.wait({reading, telling}, return_when=asyncio.FIRST_COMPLETED)
            for done in (reading, telling):
                if done.done():
                    done.result()
        finally:
            reading.cancel()
            telling.cancel()
            await asyncio.gather(reading, telling, return_exceptions=True)

    async def _read(self, request: StreamRequest) -> None:
        frames = self._http.sse("POST", "/streams", request)
        try:
            async for batch in frames:
                for frame in batch:
                    self._take(frame)
        finally:
            await frames.aclose()

    async def _tell(self) -> None:
        """What changed since the stream was opened, all of it in one request after the other."""
        while True:
            await self._changed.wait()
            self._changed.clear()
            while self._unsaid and self._stream_id is not None:
                named = list(self._unsaid)[:MOST_AT_ONCE]
                for execution_id in named:
                    del self._unsaid[execution_id]
                request = StreamRequest(
                    follow=tuple(self._asked(name) for name in named if name in self._readers),
                    unfollow=tuple(name for name in named if name not in self._readers),
                )
                try:
                    await self._http.request("POST", f"/streams/{self._stream_id}", request, retry=False)
                except NotFound as error:
                    raise ServerUnavailable(f"the stream is not known where it was asked for: {error}") from error

    def _asked(self, execution_id: str) -> Follow:
        """What the server is to send so that each reader of the execution gets what it lacks."""
        readers = self._readers[execution_id]
        return Follow(
            execution_id=execution_id,
            after=min(reader.after for reader in readers),
            position=next((reader.position for reader in reversed(readers) if reader.position), None),
            deltas=any(reader.deltas for reader in readers),
        )

    def _opened(self) -> None:
        if self._is_told and self._http.outage.ends():
            logger.warning("the server is back, and events go on")
        self._pause_s, self._failing_since, self._is_told = FIRST_PAUSE_S, None, False
        self._changed.set()

    def _broke(self, error: ServerUnavailable) -> None:
        """It is opened again, for a while. Readers of a server that is away are told once."""
        now = time.monotonic()
        self._failing_since = now if self._failing_since is None else self._failing_since
        away_s = now - self._failing_since
        if away_s > self._reconnect_for_s:
            self._is_told = False  # by the error, from here
            self._http.outage.ends()
            self._fail(error)
        elif away_s > TOLD_AFTER_S and not self._is_told:
            self._is_told = True
            level = logging.WARNING if self._http.outage.begins() else logging.INFO
            words = "no events come; if the server is back within %g s they go on: %s"
            logger.log(level, words, self._reconnect_for_s, error)
        else:
            logger.info("the stream of events broke, opening it again: %s", error)

    def _fail(self, error: AgentspanError) -> None:
        for execution_id in list(self._readers):
            self._end(execution_id, error)

    # What comes

    def _take(self, frame: ServerSentEvent) -> None:
        match frame.event:
            case "open":
                self._stream_id = StreamOpened.model_validate_json(frame.data).stream_id
                self._opened()
            case "delta":
                delta = Delta.model_validate_json(frame.data)
                for reader in self._readers.get(delta.execution_id, ()):
                    if reader.deltas:
                        reader.put(delta_view(delta))
            case "end":
                self._end(StreamEnd.model_validate_json(frame.data).execution_id)
            case "problem":
                self._take_problem(StreamProblem.model_validate_json(frame.data))
            case _:
                self._take_event(frame)

    def _take_event(self, frame: ServerSentEvent) -> None:
        execution_id, _, seq = frame.id.rpartition(":")
        readers = [reader for reader in self._readers.get(execution_id, ()) if reader.after == int(seq) - 1]
        if not readers:
            return
        event = read_event(frame.data)
        for reader in readers:
            if event is not None:
                reader.put(event)
            else:
                reader.after = int(seq)
        if frame.event in ENDS:
            self._end_those_at(execution_id, int(seq))

    def _end_those_at(self, execution_id: str, seq: int) -> None:
        for reader in list(self._readers.get(execution_id, ())):
            if reader.after == seq:
                reader.end()
                self._remove(reader)

    def _take_problem(self, said: StreamProblem) -> None:
        error = error_of(said.problem)
        if isinstance(error, ServerUnavailable) and said.execution_id in self._readers:
            logger.info("events of %s can't be read now, asking again: %s", said.execution_id, error)
            asyncio.get_running_loop().call_later(LONGEST_PAUSE_S, self._say_again, said.execution_id)
        else:
            self._end(said.execution_id, error)

    def _say_again(self, execution_id: str) -> None:
        if execution_id in self._readers:
            self._say(execution_id)


def _follow(execution_id: str, after: int, position: str | None, deltas: bool) -> Follow:
    try:
        return Follow(execution_id=execution_id, after=after, position=position, deltas=deltas)
    except ValidationError as error:
        raise InvalidRequest(f"{execution_id!r} behind {after!r} can't be followed: {describe(error)}") from error
