"""`AgentHandle`: an execution by its id, in any process that can reach the server."""

from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any

from agentspan.agents._errors import ResultTimeout
from agentspan.agents._events import AgentEvent
from agentspan.agents._result import AgentResult
from agentspan_schemas.http import ExecutionView

if TYPE_CHECKING:
    from agentspan.agents._execution import RemoteExecution
    from agentspan.agents._runtime import AgentRuntime


class AgentHandle:
    """A run: follow it, decide its calls, wait for its result. It holds nothing: the run goes on without it.

    Args:
        execution_id: As `start` gave it.
        runtime: How to reach the server; None: the default runtime.
    """

    def __init__(self, execution_id: str, runtime: "AgentRuntime | None" = None) -> None:
        from agentspan.agents._runtime import default_runtime

        self._runtime = runtime or default_runtime()
        self._execution: RemoteExecution = self._runtime.execution(execution_id)

    def __repr__(self) -> str:
        return f"<run {self.execution_id!r}>"

    @property
    def execution_id(self) -> str:
        """The run's id: enough to make another handle of it, anywhere."""
        return self._execution.execution_id

    def stream(self, after: int | None = None) -> Iterator[AgentEvent]:
        """The run's events until it ends; a server that restarts meanwhile is waited for.

        A handle from `start` begins with the first event, one made from an id with its own last write, else with the
        calls that wait now. `after=n` begins behind event n: `after=0` replays all.
        """
        return self._runtime.iterate(self._execution.stream(after))

    def approve(
        self, call_id: str | None = None, reason: str | None = None, args: Mapping[str, Any] | None = None
    ) -> None:
        """Let the waiting call run, with the args that it waits with, or with `args` in their place.

        Raises SeveralPending when more than one call waits and none is named, AlreadyDecided (with `.winner`) when
        somebody was first, NothingPending when no call waits.
        """
        self._runtime.call(self._execution.decide("approve", call_id, reason, args))

    def reject(self, reason: str | None = None, call_id: str | None = None) -> None:
        """Do not run the waiting call; the agent reads the reason and goes on. Raises as `approve` does."""
        self._runtime.call(self._execution.decide("reject", call_id, reason))

    def result(self, timeout: float | None = None) -> AgentResult:
        """The result, when the run has ended; for as long as it takes, or `timeout` seconds (ResultTimeout)."""
        try:
            return self._runtime.call(self._execution.result(), timeout)
        except TimeoutError as error:
            raise ResultTimeout(
                f"{self.execution_id!r} had not ended after {timeout} s; it goes on: see get_status()"
            ) from error

    def get_status(self) -> ExecutionView:
        """The run as it is now: `.status`, `.totals`, `.output`."""
        return self._runtime.call(self._execution.status())

    def pause(self, reason: str | None = None) -> None:
        """Start nothing new until resumed; what runs may finish."""
        self._runtime.call(self._execution.control("pause", reason))

    def resume(self, reason: str | None = None) -> None:
        """Go on."""
        self._runtime.call(self._execution.control("resume", reason))

    def cancel(self, reason: str | None = None) -> None:
        """End the run; a call that is running under a grant is waited for."""
        self._runtime.call(self._execution.control("cancel", reason))

    def send(self, text: str) -> None:
        """Tell the agent something; it reads it before its next turn."""
        self._runtime.call(self._execution.send(text))
