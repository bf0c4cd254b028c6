"""A run's events as an iterator that also knows its run: what `handle.stream()` returns, sync and async."""

from collections.abc import AsyncGenerator, Iterator, Mapping
from typing import TYPE_CHECKING, Any, Generic, Self, TypeVar

from agentspan.agents._events import AgentDelta, AgentEvent
from agentspan.agents._result import AgentResult

if TYPE_CHECKING:
    from agentspan.agents._handle import AgentHandle

S = TypeVar("S", bound=AgentEvent | AgentDelta)


class AgentStream(Generic[S]):
    """The events of a run, up to the one that ends it. Iterate it once; leave it whenever you like: the run goes on."""

    def __init__(self, handle: "AgentHandle", items: Iterator[S]) -> None:
        self.handle = handle
        """The run."""
        self._items: Iterator[S] = items
        self._seen: list[AgentEvent] = []

    def __iter__(self) -> Self:
        return self

    def __next__(self) -> S:
        item = next(self._items)
        if isinstance(item, AgentEvent):
            self._seen.append(item)
        return item

    @property
    def execution_id(self) -> str:
        """The run's id."""
        return self.handle.execution_id

    @property
    def events(self) -> tuple[AgentEvent, ...]:
        """Those that were iterated until now."""
        return tuple(self._seen)

    def get_result(self) -> AgentResult:
        """The result, when the run has ended."""
        if _is_whole(self._seen):
            return self.handle._execution.result_of(self._seen)
        return self.handle.join()

    def approve(
        self, call_id: str | None = None, reason: str | None = None, args: Mapping[str, Any] | None = None
    ) -> None:
        """`handle.approve`."""
        self.handle.approve(call_id, reason, args)

    def reject(self, reason: str | None = None, call_id: str | None = None) -> None:
        """`handle.reject`."""
        self.handle.reject(reason, call_id)

    def send(self, text: str) -> None:
        """`handle.send`."""
        self.handle.send(text)


class AsyncAgentStream(Generic[S]):
    """The same, for `async for`."""

    def __init__(self, handle: "AgentHandle", items: AsyncGenerator[S, None]) -> None:
        self.handle = handle
        """The run."""
        self._items: AsyncGenerator[S, None] = items
        self._seen: list[AgentEvent] = []

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> S:
        item = await anext(self._items)
        if isinstance(item, AgentEvent):
            self._seen.append(item)
        return item

    async def aclose(self) -> None:
        """Stop following at once, where you leave before its end."""
        await self._items.aclose()

    @property
    def execution_id(self) -> str:
        """The run's id."""
        return self.handle.execution_id

    @property
    def events(self) -> tuple[AgentEvent, ...]:
        """Those that were iterated until now."""
        return tuple(self._seen)

    async def get_result(self) -> AgentResult:
        """The result, when the run has ended."""
        if _is_whole(self._seen):
            return self.handle._execution.result_of(self._seen)
        return await self.handle.join_async()

    async def approve(
        self, call_id: str | None = None, reason: str | None = None, args: Mapping[str, Any] | None = None
    ) -> None:
        """`handle.approve_async`."""
        await self.handle.approve_async(call_id, reason, args)

    async def reject(self, reason: str | None = None, call_id: str | None = None) -> None:
        """`handle.reject_async`."""
        await self.handle.reject_async(reason, call_id)

    async def send(self, text: str) -> None:
        """`handle.send_async`."""
        await self.handle.send_async(text)


def _is_whole(events: list[AgentEvent]) -> bool:
    """Whether these are all events of a run that has ended."""
    return bool(events) and events[0].seq == 1 and events[-1].ends and len(events) == events[-1].seq
