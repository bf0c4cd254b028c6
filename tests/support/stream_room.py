"""A client's stream beside a real orchestrator and tail; its history is the log itself, as if ClickHouse had it all.

Apart from the tests because it is a world of its own: they say what a client is sent, this is where it comes from.
"""

import asyncio
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

from agentspan.eventlog import BEGINNING, Log, Position
from agentspan.eventlog.memory import MemoryLog
from agentspan.eventlog.messages import stored_events
from agentspan_query.domain.filters import ExecutionFilter
from agentspan_query.domain.story import PendingCall
from agentspan_query.domain.views import HistoryPage, StoredEvent
from agentspan_query.errors import HistoryUnavailable
from agentspan_query.service import Query
from agentspan_query.streams import EventStream, Logged, Sent
from agentspan_query.tail import Tail
from agentspan_schemas.codec import EVENTS
from agentspan_schemas.events import Event, Started, Status
from agentspan_schemas.http import ExecutionView
from tests.support.eventually import WITHIN_S
from tests.support.orchestration import Process, World, process, say, start

NOT_ASKED = "a stream asks history for the events of one execution alone"


@dataclass
class LogHistory:
    """History as the log has it."""

    log: Log
    reads: list[str] = field(default_factory=list)
    away: bool = False
    gate: asyncio.Event | None = None
    """Where there is one, reads wait for it."""
    asked: asyncio.Event = field(default_factory=asyncio.Event)
    lacks: frozenset[int] = frozenset()
    """Events of these numbers, which ClickHouse refused."""

    async def all(self, execution_id: str) -> list[StoredEvent]:
        end = await self.log.partition(0).end()
        found = []
        async for outcome in self.log.partition(0).follow(BEGINNING, until=Position(end, 0, 0)):
            for stored, event in stored_events(outcome):
                if event.execution_id == execution_id and event.seq not in self.lacks:
                    found.append(StoredEvent(event.seq, event.type, stored.record.value.decode()))
        return found

    async def events(self, execution_id: str, *, after: int = 0, limit: int = 500) -> Sequence[StoredEvent]:
        self.reads.append(execution_id)
        self.asked.set()
        if self.gate is not None:
            await self.gate.wait()
        if self.away:
            raise HistoryUnavailable("ClickHouse does not answer; try again")
        return [stored for stored in await self.all(execution_id) if stored.seq > after][:limit]

    async def edges(self, execution_id: str) -> tuple[Started, Event] | None:
        found = [EVENTS.decode(stored.payload.encode()) for stored in await self.all(execution_id)]
        if not found:
            return None
        assert isinstance(found[0], Started)
        return found[0], found[-1]

    async def executions(self, chosen: ExecutionFilter, *, cursor: str | None = None, limit: int = 50) -> HistoryPage:
        raise AssertionError(NOT_ASKED)

    async def pending(self, views: Sequence[ExecutionView]) -> Mapping[str, Sequence[PendingCall]]:
        raise AssertionError(NOT_ASKED)

    async def status_counts(self, chosen: ExecutionFilter) -> Mapping[Status, int]:
        raise AssertionError(NOT_ASKED)

    async def agents(self) -> Sequence[str]:
        raise AssertionError(NOT_ASKED)


@dataclass
class Room:
    """An orchestrator, the tail over its log, and streams of it."""

    here: Process
    tail: Tail
    history: LogHistory
    query: Query
    log: Log

    async def seen(self) -> None:
        """Return when the tail has all that is on the log, and history too."""
        end = await self.log.partition(0).end()
        await self.tail.reached(0, end - 1)
        self.tail.project(0, end)

    async def begin(self, *execution_ids: str) -> None:
        for execution_id in execution_ids:
            await self.here.send(start(execution_id))

    async def finish(self, *execution_ids: str) -> None:
        for execution_id in execution_ids:
            await self.here.send(say("Hello.", turn=1, execution_id=execution_id))

    async def whole_run(self, execution_id: str) -> None:
        await self.begin(execution_id)
        await self.finish(execution_id)


@asynccontextmanager
async def room(*, keep: int = 2_000) -> AsyncIterator[Room]:
    world = World(MemoryLog(1))
    async with process(world) as here:
        tail = Tail(world.log, keep=keep)
        history = LogHistory(world.log)
        following = asyncio.create_task(tail.run())
        one = Room(
            here, tail, history, Query(log=world.log, history=history, tail=tail, now=world.clock.now), world.log
        )
        try:
            await one.seen()
            yield one
        finally:
            following.cancel()
            await asyncio.wait([following])


class Client:
    """Whoever reads a stream: until it has seen what a test waits for."""

    def __init__(self, stream: EventStream) -> None:
        self.stream = stream
        self.sent: list[Sent] = []
        self._batches = stream.batches()

    def seqs(self, execution_id: str) -> list[int]:
        return [sent.seq for sent in self.sent if isinstance(sent, Logged) and sent.execution_id == execution_id]

    async def until(self, count: int) -> list[Sent]:
        async with asyncio.timeout(WITHIN_S):
            while len(self.sent) < count:
                self.sent += await anext(self._batches)
        return self.sent
