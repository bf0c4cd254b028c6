"""`AgentHandle`: an execution by its id, in any process that can reach the server."""

import re
from collections.abc import AsyncGenerator, Iterator, Mapping
from typing import TYPE_CHECKING, Any, Literal, Never, overload

from agentspan.agents._absent import missing_method, takes
from agentspan.agents._errors import ConfigurationError, ResultTimeout
from agentspan.agents._events import AgentDelta, AgentEvent
from agentspan.agents._handle_async import AsyncTwins
from agentspan.agents._respond import read_response
from agentspan.agents._result import AgentResult
from agentspan.agents._status import AgentStatus
from agentspan.agents._stream import AgentStream, AsyncAgentStream

if TYPE_CHECKING:
    from agentspan.agents._runtime import AgentRuntime


_ID = re.compile(r"[\w.:@-]*[\w-][\w.:@-]*")
"""What may stand in an address as it is."""


class AgentHandle(AsyncTwins):
    """A run: follow it, decide its calls, wait for its result. It holds nothing: the run goes on without it.

    Every method that asks the server has a twin to await: `join_async`, `approve_async` and so on.

    Args:
        execution_id: As `start` gave it.
        runtime: How to reach the server; None: the default runtime.
    """

    @takes("AgentHandle()")
    def __init__(self, execution_id: str, runtime: "AgentRuntime | None" = None) -> None:
        from agentspan.agents._default import default_runtime  # here: a runtime makes handles

        given: object = execution_id
        if not (isinstance(given, str) and _ID.fullmatch(given)):
            raise ConfigurationError(f"AgentHandle takes a run's id, not {execution_id!r}: start() gives a handle")
        self._runtime = runtime or default_runtime()
        self._execution = self._runtime.execution(execution_id)

    def __repr__(self) -> str:
        return f"<run {self.execution_id!r}>"

    if not TYPE_CHECKING:

        def __getattr__(self, name: str) -> Never:
            raise missing_method("AgentHandle", name)

    @property
    def execution_id(self) -> str:
        """The run's id: enough to make another handle of it, anywhere."""
        return self._execution.execution_id

    @overload
    def stream(self, after: int | None = None, *, deltas: Literal[False] = False) -> AgentStream[AgentEvent]: ...

    @overload
    def stream(self, after: int | None = None, *, deltas: Literal[True]) -> AgentStream[AgentEvent | AgentDelta]: ...

    def stream(self, after: int | None = None, *, deltas: bool = False) -> AgentStream[Any]:
        """The run's events until it ends; a server that restarts meanwhile is waited for.

        A handle from `start` begins with the first event. One made from an id begins with what it wrote last, or,
        where it has written nothing, with the calls that wait now. `after=n` begins behind event n: `after=0` replays
        all. With `deltas` the model's words come too, as AgentDelta, while they are generated.
        """
        return AgentStream(self, self._iterate(after, deltas))

    def _iterate(self, after: int | None, deltas: bool) -> Iterator[Any]:
        yield from self._runtime.iterate(self._execution.stream(after, deltas=deltas))

    @overload
    def stream_async(
        self, after: int | None = None, *, deltas: Literal[False] = False
    ) -> AsyncAgentStream[AgentEvent]: ...

    @overload
    def stream_async(
        self, after: int | None = None, *, deltas: Literal[True]
    ) -> AsyncAgentStream[AgentEvent | AgentDelta]: ...

    def stream_async(self, after: int | None = None, *, deltas: bool = False) -> AsyncAgentStream[Any]:
        """`stream`, for `async for`."""
        return AsyncAgentStream(self, self._aiterate(after, deltas))

    async def _aiterate(self, after: int | None, deltas: bool) -> AsyncGenerator[Any, None]:
        items = self._runtime.aiterate(self._execution.stream(after, deltas=deltas))
        try:
            async for item in items:
                yield item
        finally:
            await items.aclose()

    def approve(
        self, call_id: str | None = None, reason: str | None = None, args: Mapping[str, Any] | None = None
    ) -> None:
        """Let the waiting call run, with the args that it waits with, or with `args` in their place.

        Raises SeveralPending when more than one call waits and none is named, AlreadyDecided (with `.winner`) when
        somebody was first, NothingPending when no call waits.
        """
        self._runtime.call(self._execution.decide("approve", call_id, reason, args))

    def reject(self, reason: str | None = None, call_id: str | None = None) -> None:
        """Do not run the waiting call; the agent reads the reason and goes on. Raises as `approve` does.

        Say why: without a reason the agent reads only that the call was rejected, and by whom.
        """
        self._runtime.call(self._execution.decide("reject", call_id, reason))

    def respond(self, response: Mapping[str, Any], call_id: str | None = None) -> None:
        """Answer as a form or a webhook has it: `{"approved": true}`, `{"approved": false, "reason": "too much"}`,
        `{"approved": true, "args": {...}}`, or `{"message": "..."}`. What is not one of these is refused.
        """
        answer = read_response(response, call_id)
        self._runtime.call(self._execution.respond(answer))

    def join(self, timeout: float | None = None) -> AgentResult:
        """The result, when the run has ended; for as long as it takes, or `timeout` seconds (ResultTimeout)."""
        try:
            return self._runtime.call(self._execution.result(), timeout)
        except TimeoutError as error:
            raise ResultTimeout(
                f"{self.execution_id!r} had not ended after {timeout} s; it goes on: see get_status()"
            ) from error

    def result(self, timeout: float | None = None) -> AgentResult:
        """`join`, under a shorter name."""
        return self.join(timeout)

    def get_status(self) -> AgentStatus:
        """The run as it is now: `.status`, `.is_waiting`, `.pending`, `.output`."""
        return self._runtime.call(self._execution.status())

    def pause(self, reason: str | None = None) -> None:
        """Start nothing new until resumed; what runs may finish."""
        self._runtime.call(self._execution.control("pause", reason))

    def resume(self, reason: str | None = None) -> None:
        """Let a paused run go on."""
        self._runtime.call(self._execution.control("resume", reason))

    def cancel(self, reason: str | None = None) -> None:
        """End the run; a call that is running under a grant is waited for."""
        self._runtime.call(self._execution.control("cancel", reason))

    def send(self, text: str) -> None:
        """Tell the agent something; it reads it before its next turn."""
        self._runtime.call(self._execution.send(text))
