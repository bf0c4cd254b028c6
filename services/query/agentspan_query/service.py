"""Every read: what ClickHouse has, continued by the live end of the log, so that one's own write is always seen."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Mapping, Sequence
from typing import assert_never

from agentspan.eventlog import Log, partition_for
from agentspan_query.domain.filters import ExecutionFilter
from agentspan_query.domain.later import ReadEvent
from agentspan_query.domain.story import PendingCall
from agentspan_query.domain.views import StoredEvent, execution_view
from agentspan_query.errors import BadPosition, HistoryUnavailable
from agentspan_query.items import TailEvent
from agentspan_query.ports import History, Now
from agentspan_query.streams import At as At
from agentspan_query.streams import Broken, Ended, EventStream, Following, Logged, Passing
from agentspan_query.tail import Tail
from agentspan_schemas.events import Started, Status
from agentspan_schemas.http import Delta, ExecutionPage, ExecutionView

SEEN_WITHIN_S = 5.0
"""How long a read waits to see the write that it asks for, or for history to be there at all."""

PAGE = 500
"""So many events are shown at a time."""


class Query:
    """History and the live end together. Raises HistoryUnavailable where it needs a history that is not there, or finds
    nothing and has not seen the write that it was asked to see."""

    def __init__(self, *, log: Log, history: History, tail: Tail, now: Now) -> None:
        self._log = log
        self._history = history
        self._tail = tail
        self._now = now

    async def executions(
        self, chosen: ExecutionFilter, *, cursor: str | None, limit: int, at: At | None = None
    ) -> ExecutionPage:
        """A page of the list, complete up to its `as_of`."""
        if at is not None:
            await self.lists(at)
        as_of = self._tail.complete_up_to(self._now())
        page = await self._history.executions(chosen, cursor=cursor, limit=limit)
        return ExecutionPage(items=page.items, cursor=page.cursor, as_of=as_of)

    async def lists(self, at: At) -> None:
        """Return when lists have that place of the log, or after a while in which they have not. Raises BadPosition."""
        self._check(at)
        await _within(self._tail.is_projected(at.partition, at.offset + 1))

    async def pending(self, page: ExecutionPage) -> Mapping[str, Sequence[PendingCall]]:
        """The calls that the executions of a page wait with, by execution, as far as history has them."""
        return await self._history.pending([view for view in page.items if view.totals.waiting_on])

    async def status_counts(self, chosen: ExecutionFilter) -> Mapping[Status, int]:
        """How many executions of the agent and the time have each status."""
        return await self._history.status_counts(chosen)

    async def agents(self) -> Sequence[str]:
        """The names of all agents that ever ran."""
        return await self._history.agents()

    async def execution(self, execution_id: str, *, at: At | None = None) -> ExecutionView | None:
        """One execution as it stands now; None: there is none."""
        seen = await self.see(at)
        newest = self._tail.events(execution_id)
        if newest and isinstance(newest[0].event, Started):
            return execution_view(newest[0].event, newest[-1].event)
        edges = await self._edges(execution_id)
        if edges is None:
            _found_nothing(seen)
            return None
        first, last = edges
        newest = self._tail.events(execution_id)
        return execution_view(first, newest[-1].event if newest else last)

    async def events(self, execution_id: str, *, after: int, limit: int, at: At | None = None) -> Sequence[StoredEvent]:
        """The events of an execution with a seq above `after`, in order."""
        seen = await self.see(at)
        found = await self._events(execution_id, after, limit)
        if not found:
            _found_nothing(seen)
        return found

    async def _events(self, execution_id: str, after: int, limit: int) -> Sequence[StoredEvent]:
        newest = self._tail.events(execution_id)
        if newest and newest[0].event.seq <= after + 1:
            return [_stored(item) for item in newest if item.event.seq > after][:limit]
        await self._complete(execution_id)
        newest = self._tail.events(execution_id)  # what it lets go of from now on, history has
        found = list(await self._history.events(execution_id, after=after, limit=limit))
        last = found[-1].seq if found else after
        found += [_stored(item) for item in newest if item.event.seq > last]
        return found[:limit]

    def open_stream(self) -> EventStream:
        """A client's stream of as many executions as it likes."""
        return EventStream(self._tail, self)

    async def stream(self, asked: Following) -> AsyncIterator[Logged | Passing]:
        """Every event of one execution behind `after`, what was and what comes, up to the one that ends it."""
        stream = self.open_stream()
        stream.follow(asked)
        try:
            async for batch in stream.batches():
                for sent in batch:
                    match sent:
                        case Logged() | Passing():
                            yield sent
                        case Ended():
                            return
                        case Broken():
                            raise sent.error
                        case _:
                            assert_never(sent)
                if not len(stream):
                    return
        finally:
            stream.close()

    def publish(self, delta: Delta) -> None:
        """Words of a model's reply as they are generated, to the streams that asked for them."""
        self._tail.publish(delta)

    def wanted(self, execution_id: str) -> bool:
        """Whether anybody follows this execution word by word now."""
        return self._tail.wanted(execution_id)

    async def exists(self, execution_id: str, *, at: At | None = None) -> bool:
        """Whether there is such an execution."""
        seen = await self.see(at)
        found = bool(self._tail.events(execution_id)) or await self._edges(execution_id) is not None
        if not found:
            _found_nothing(seen)
        return found

    async def _edges(self, execution_id: str) -> tuple[Started, ReadEvent] | None:
        await self._complete(execution_id)
        return await self._history.edges(execution_id)

    async def see(self, at: At | None) -> bool:
        """Whether that place on the log was seen, now or within a while. Raises BadPosition."""
        if at is None:
            return True
        self._check(at)
        return await _within(self._tail.reached(at.partition, at.offset))

    def _check(self, at: At) -> None:
        if at.partition >= self._log.partitions:
            raise BadPosition(
                f"min_position: there is no partition {at.partition}, the log has {self._log.partitions};"
                " take the Agentspan-Position of a write's answer"
            )

    async def _complete(self, execution_id: str) -> None:
        """Return when history and the tail overlap: nothing of the execution is missing between them."""
        partition = partition_for(execution_id, self._log.partitions)
        if not await _within(self._tail.meets_history(partition)):
            raise HistoryUnavailable(
                "history is still being written from the log; try again in a moment (GET /readyz says if it waits)"
            )


def _found_nothing(seen: bool) -> None:
    """Nobody hears that there is none of what he has just written: while brokers are away, nothing new is seen."""
    if not seen:
        raise HistoryUnavailable(
            f"nothing is there yet: the log was not read up to the position of your write within {SEEN_WITHIN_S:g} s;"
            " try again in a moment"
        )


async def _within(condition: Awaitable[None]) -> bool:
    try:
        async with asyncio.timeout(SEEN_WITHIN_S):
            await condition
            return True
    except TimeoutError:
        return False


def _stored(item: TailEvent) -> StoredEvent:
    return StoredEvent(item.event.seq, item.event.type, item.raw.decode())
