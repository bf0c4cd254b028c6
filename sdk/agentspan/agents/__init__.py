"""What an agent author imports.

    from agentspan.agents import Agent, tool, start

`agentspan.agents.testing` has `mock_run`, `MockEvent` and `expect`.
"""

from typing import TYPE_CHECKING, Any

from agentspan.agents import _absent
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


if not TYPE_CHECKING:

    def __getattr__(name: str) -> Any:
        """For names that comparable products have and this release does not: an error that says what to do instead."""
        raise _absent.missing_name(__name__, name)
