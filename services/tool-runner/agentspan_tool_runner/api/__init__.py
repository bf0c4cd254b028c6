"""The doors of the tool-runner over HTTP."""

from agentspan_tool_runner.api.documentation import DOORS
from agentspan_tool_runner.api.routes import routes

__all__ = ["DOORS", "routes"]
