"""What an agent author imports.

    from agentspan.agents import Agent, tool, start

`agentspan.agents.testing` has `mock_run`, `MockEvent` and `expect`.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from agentspan.agents._agent import Agent
    from agentspan.agents._context import ToolContext, current_context
    from agentspan.agents._default import (
        configure,
        run,
        run_async,
        serve,
        serve_async,
        shutdown,
        shutdown_async,
        start,
        start_async,
        stream,
        stream_async,
    )
    from agentspan.agents._errors import (
        AgentspanError,
        AlreadyDecided,
        ConfigurationError,
        Conflict,
        InvalidRequest,
        NotAllowed,
        NotFound,
        NothingPending,
        NotSupported,
        RequestFailed,
        ResultTimeout,
        ServerError,
        ServerNotInstalled,
        ServerUnavailable,
        SeveralPending,
    )
    from agentspan.agents._events import AgentDelta, AgentEvent, EventType
    from agentspan.agents._handle import AgentHandle
    from agentspan.agents._outcome import CallOutcome
    from agentspan.agents._result import AgentResult, TokenUsage, ToolCall
    from agentspan.agents._runtime import AgentRuntime
    from agentspan.agents._status import AgentStatus, PendingCall
    from agentspan.agents._stream import AgentStream, AsyncAgentStream
    from agentspan.agents._tools import Tool, tool
    from agentspan_schemas.http import ExecutionView

__all__ = [
    "Agent",
    "AgentDelta",
    "AgentEvent",
    "AgentHandle",
    "AgentResult",
    "AgentRuntime",
    "AgentStatus",
    "AgentStream",
    "AgentspanError",
    "AlreadyDecided",
    "AsyncAgentStream",
    "CallOutcome",
    "ConfigurationError",
    "Conflict",
    "EventType",
    "ExecutionView",
    "InvalidRequest",
    "NotAllowed",
    "NotFound",
    "NotSupported",
    "NothingPending",
    "PendingCall",
    "RequestFailed",
    "ResultTimeout",
    "ServerError",
    "ServerNotInstalled",
    "ServerUnavailable",
    "SeveralPending",
    "TokenUsage",
    "Tool",
    "ToolCall",
    "ToolContext",
    "configure",
    "current_context",
    "run",
    "run_async",
    "serve",
    "serve_async",
    "shutdown",
    "shutdown_async",
    "start",
    "start_async",
    "stream",
    "stream_async",
    "tool",
]

# A name's module is imported when the name is first asked for: who catches an error or declares an agent need not wait
# for what follows runs. Type checkers read the imports above.
_HOMES = {
    "agentspan.agents._agent": ("Agent",),
    "agentspan.agents._context": (
        "ToolContext",
        "current_context",
    ),
    "agentspan.agents._default": (
        "configure",
        "run",
        "run_async",
        "serve",
        "serve_async",
        "shutdown",
        "shutdown_async",
        "start",
        "start_async",
        "stream",
        "stream_async",
    ),
    "agentspan.agents._errors": (
        "AgentspanError",
        "AlreadyDecided",
        "ConfigurationError",
        "Conflict",
        "InvalidRequest",
        "NotAllowed",
        "NotFound",
        "NothingPending",
        "NotSupported",
        "RequestFailed",
        "ResultTimeout",
        "ServerError",
        "ServerNotInstalled",
        "ServerUnavailable",
        "SeveralPending",
    ),
    "agentspan.agents._events": (
        "AgentDelta",
        "AgentEvent",
        "EventType",
    ),
    "agentspan.agents._handle": ("AgentHandle",),
    "agentspan.agents._outcome": ("CallOutcome",),
    "agentspan.agents._result": (
        "AgentResult",
        "TokenUsage",
        "ToolCall",
    ),
    "agentspan.agents._runtime": ("AgentRuntime",),
    "agentspan.agents._status": (
        "AgentStatus",
        "PendingCall",
    ),
    "agentspan.agents._stream": (
        "AgentStream",
        "AsyncAgentStream",
    ),
    "agentspan.agents._tools": (
        "Tool",
        "tool",
    ),
    "agentspan_schemas.http": ("ExecutionView",),
}
"""Module to the names that it has."""

_HOME = {name: home for home, names in _HOMES.items() for name in names}


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})


if not TYPE_CHECKING:

    def __getattr__(name: str) -> Any:
        """A public name, from its module; for a name of comparable products, an error that says what to do instead."""
        if home := _HOME.get(name):
            found = globals()[name] = getattr(import_module(home), name)
            return found
        from agentspan.agents._absent import missing_name

        raise missing_name(__name__, name)
