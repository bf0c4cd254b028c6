"""Models: the provider port, what finds providers, and those that come with the server."""

from agentspan_tool_runner.models._reading import mended, mended_text
from agentspan_tool_runner.models.ports import ModelError, ModelProvider, ModelRequest, ModelResponse, ModelSettings
from agentspan_tool_runner.models.providers import Providers

__all__ = [
    "ModelError",
    "ModelProvider",
    "ModelRequest",
    "ModelResponse",
    "ModelSettings",
    "Providers",
    "mended",
    "mended_text",
]
