"""What an agent author imports.

    from agentspan.agents import Agent, tool, start

`agentspan.agents.testing` has `mock_run`, `MockEvent` and `expect`.
"""

from agentspan.agents._agent import Agent
from agentspan.agents._context import ToolContext, current_context
from agentspan.agents._errors import (
    AgentspanError,
    AlreadyDecided,
    ConfigurationError,
    Conflict,
    InvalidRequest,
    NotAllowed,
    NotFound,
    NothingPending,
    RequestFailed,
    ResultTimeout,
    ServerError,
    ServerNotInstalled,
    ServerUnavailable,
    SeveralPending,
)
from agentspan.agents._events import AgentEvent, EventType
from agentspan.agents._handle import AgentHandle
from agentspan.agents._result import AgentResult
from agentspan.agents._runtime import AgentRuntime, start
from agentspan.agents._tools import Tool, tool
from agentspan_schemas.http import ExecutionView

__all__ = [
    "Agent",
    "AgentEvent",
    "AgentHandle",
    "AgentResult",
    "AgentRuntime",
    "AgentspanError",
    "AlreadyDecided",
    "ConfigurationError",
    "Conflict",
    "EventType",
    "ExecutionView",
    "InvalidRequest",
    "NotAllowed",
    "NotFound",
    "NothingPending",
    "RequestFailed",
    "ResultTimeout",
    "ServerError",
    "ServerNotInstalled",
    "ServerUnavailable",
    "SeveralPending",
    "Tool",
    "ToolContext",
    "current_context",
    "start",
    "tool",
]
