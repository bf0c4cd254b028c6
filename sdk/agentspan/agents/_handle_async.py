"""The methods of `AgentHandle` to await, on any event loop. Each does what the one without `_async` says.

Apart from the handle so that each of the two reads in one go.
"""

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from agentspan.agents._errors import ResultTimeout
from agentspan.agents._respond import read_response
from agentspan.agents._result import AgentResult
from agentspan.agents._status import AgentStatus

if TYPE_CHECKING:
    from agentspan.agents._execution import RemoteExecution
    from agentspan.agents._runtime import AgentRuntime


class AsyncTwins:
    """What `AgentHandle` can be asked asynchronously."""

    _runtime: "AgentRuntime"
    _execution: "RemoteExecution"

    async def approve_async(
        self, call_id: str | None = None, reason: str | None = None, args: Mapping[str, Any] | None = None
    ) -> None:
        """`approve`, awaited."""
        await self._runtime.call_async(self._execution.decide("approve", call_id, reason, args))

    async def reject_async(self, reason: str | None = None, call_id: str | None = None) -> None:
        """`reject`, awaited."""
        await self._runtime.call_async(self._execution.decide("reject", call_id, reason))

    async def respond_async(self, response: Mapping[str, Any], call_id: str | None = None) -> None:
        """`respond`, awaited."""
        answer = read_response(response, call_id)
        await self._runtime.call_async(self._execution.respond(answer))

    async def join_async(self, timeout: float | None = None) -> AgentResult:  # noqa: ASYNC109 (its twin's)
        """`join`, awaited."""
        try:
            return await self._runtime.call_async(self._execution.result(), timeout)
        except TimeoutError as error:
            raise ResultTimeout(
                f"{self._execution.execution_id!r} had not ended after {timeout} s; it goes on: see get_status_async()"
            ) from error

    async def result_async(self, timeout: float | None = None) -> AgentResult:  # noqa: ASYNC109 (its twin's)
        """`result`, awaited."""
        return await self.join_async(timeout)

    async def get_status_async(self) -> AgentStatus:
        """`get_status`, awaited."""
        return await self._runtime.call_async(self._execution.status())

    async def pause_async(self, reason: str | None = None) -> None:
        """`pause`, awaited."""
        await self._runtime.call_async(self._execution.control("pause", reason))

    async def resume_async(self, reason: str | None = None) -> None:
        """`resume`, awaited."""
        await self._runtime.call_async(self._execution.control("resume", reason))

    async def cancel_async(self, reason: str | None = None) -> None:
        """`cancel`, awaited."""
        await self._runtime.call_async(self._execution.control("cancel", reason))

    async def send_async(self, text: str) -> None:
        """`send`, awaited."""
        await self._runtime.call_async(self._execution.send(text))
