"""How a client learns what happens to its executions: one connection carries the events of all of them.

Apart from the API because it alone knows frames and reconnects, and alone changes when there is a better way.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, Final

import aiohttp

from .errors import BenchError, WrongResult

ENDS: Final = frozenset({"done", "failed", "cancelled"})
PAUSE_S: Final = 0.02
QUIET_S: Final = 60.0
AWAY: Final = (aiohttp.ClientConnectionError, aiohttp.ClientPayloadError, TimeoutError)
AGAIN: Final = 503
"""Of a problem: history can't be read now, ask again."""


@dataclass(frozen=True, slots=True)
class Started:
    """An execution that was started, and where on the log: whoever answers has to have seen that."""

    execution_id: str
    position: str | None


@dataclass(frozen=True, slots=True)
class Request:
    """A request for a decision, as its approver saw it."""

    approval_id: str
    args_hash: str
    seq: int


@dataclass(frozen=True, slots=True)
class Sent:
    """One event as it came: its JSON is read by whoever needs it."""

    seq: int
    type: str
    data: bytes


class Followed:
    """An execution and its events so far, each of which has to be the next one."""

    def __init__(self, execution: Started, after: int) -> None:
        self.execution = execution
        self.types: list[str] = []
        self.seq = after
        self._coming: asyncio.Queue[Sent | BenchError] = asyncio.Queue()

    @property
    def wish(self) -> dict[str, Any]:
        """What the server is asked for."""
        position = {"position": self.execution.position} if self.execution.position else {}
        return {"execution_id": self.execution.execution_id, "after": self.seq, **position}

    def put(self, coming: Sent | BenchError) -> None:
        """Take the next event; one that came before, over another connection, is no news."""
        if isinstance(coming, Sent):
            if coming.seq <= self.seq:
                return
            if coming.seq != self.seq + 1:
                coming = WrongResult(f"{self._id}: event {coming.seq} came where {self.seq + 1} was due")
            else:
                self.seq = coming.seq
        self._coming.put_nowait(coming)

    async def until_waiting(self) -> Request:
        """The request for the refund."""
        waiting = await self._until("waiting")
        found = json.loads(waiting.data)
        return Request(approval_id=found["approval_id"], args_hash=found["args_hash"], seq=waiting.seq)

    async def until_done(self) -> Any:
        """The execution's output."""
        return json.loads((await self._until("done")).data)["output"]

    async def _until(self, kind: str) -> Sent:
        while True:
            coming = await self._coming.get()
            if isinstance(coming, BenchError):
                raise coming
            self.types.append(coming.type)
            if coming.type == kind:
                return coming
            if coming.type in ENDS:
                raise WrongResult(f"{self._id} ended before it was {kind}: {coming.data.decode()}")

    @property
    def _id(self) -> str:
        return self.execution.execution_id


class Watch:
    """One stream of the server, opened anew when it breaks. `run` it as a task."""

    def __init__(self, session: aiohttp.ClientSession, api: str) -> None:
        self._session = session
        self._streams = f"{api}/streams"
        self._followed: dict[str, Followed] = {}
        self._stream_id: str | None = None
        self._unsaid: dict[str, None] = {}
        self._changed = asyncio.Event()

    @contextmanager
    def follow(self, execution: Started, after: int = 0) -> Iterator[Followed]:
        """The events of an execution behind `after`."""
        followed = self._followed[execution.execution_id] = Followed(execution, after)
        self._say(execution.execution_id)
        try:
            yield followed
        finally:
            del self._followed[execution.execution_id]
            if not followed.types or followed.types[-1] not in ENDS:
                self._say(execution.execution_id)

    async def run(self) -> None:
        """Read and reconnect, until cancelled."""
        async with asyncio.TaskGroup() as group:
            group.create_task(self._tell())
            while True:
                try:
                    await self._read()
                except AWAY:
                    self._stream_id = None
                await asyncio.sleep(PAUSE_S)

    def _say(self, execution_id: str) -> None:
        self._unsaid[execution_id] = None
        self._changed.set()

    async def _tell(self) -> None:
        """Name what is new to the open stream; what comes up meanwhile goes into the next request."""
        while True:
            await self._changed.wait()
            self._changed.clear()
            if self._stream_id is None:
                continue  # it will be opened with all that is followed
            unsaid, self._unsaid = self._unsaid, {}
            try:
                url = f"{self._streams}/{self._stream_id}"
                async with self._session.post(url, json=self._wishes(list(unsaid))) as response:
                    await response.read()
            except AWAY:  # this connection: the stream's own may live on
                self._unsaid = {**unsaid, **self._unsaid}
                self._changed.set()
                await asyncio.sleep(PAUSE_S)

    def _wishes(self, execution_ids: list[str]) -> dict[str, Any]:
        follow = [self._followed[each].wish for each in execution_ids if each in self._followed]
        return {"follow": follow, "unfollow": [each for each in execution_ids if each not in self._followed]}

    async def _read(self) -> None:
        timeout = aiohttp.ClientTimeout(total=None, sock_read=QUIET_S)
        self._unsaid.clear()
        wishes = self._wishes(list(self._followed))
        async with self._session.post(self._streams, json=wishes, timeout=timeout) as response:
            if response.status != 200:
                return
            async for fields in _frames(response.content):
                self._take(fields)
        self._stream_id = None

    def _take(self, fields: dict[bytes, bytes]) -> None:
        kind, data = fields[b"event"].decode(), fields[b"data"]
        match kind:
            case "open":
                self._stream_id = json.loads(data)["stream_id"]
                self._changed.set()
            case "problem":
                self._trouble(json.loads(data))
            case "end" | "delta":
                pass
            case _:
                execution_id, _, seq = fields[b"id"].decode().partition(":")
                if followed := self._followed.get(execution_id):
                    followed.put(Sent(int(seq), kind, data))

    def _trouble(self, told: dict[str, Any]) -> None:
        execution_id, problem = told["execution_id"], told["problem"]
        if problem["status"] == AGAIN:
            self._say(execution_id)
        elif followed := self._followed.get(execution_id):
            followed.put(BenchError(f"{execution_id} can't be followed: {problem['detail']}"))


async def _frames(content: aiohttp.StreamReader) -> AsyncIterator[dict[bytes, bytes]]:
    rest = b""
    async for chunk in content.iter_any():
        *blocks, rest = (rest + chunk.replace(b"\r", b"")).split(b"\n\n")
        for block in blocks:
            fields = dict(line.split(b": ", 1) for line in block.split(b"\n") if not line.startswith(b":"))
            if b"data" in fields:
                yield fields
