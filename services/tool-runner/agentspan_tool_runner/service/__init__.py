"""What runs: the model lane, the gateway of the workers, and the two together."""

from agentspan_tool_runner.service.gateway import Draining, Gateway, TaskStream, UnknownSession
from agentspan_tool_runner.service.model_lane import ModelLane
from agentspan_tool_runner.service.runner import ToolRunner

__all__ = ["Draining", "Gateway", "ModelLane", "TaskStream", "ToolRunner", "UnknownSession"]
