"""Tests of agents without a server, a network or a model: `mock_run` plays a script, `expect` says what has to be true.

    result = mock_run(agent, "Refund me", events=[MockEvent.tool_call("refund", {...}), MockEvent.done("...")])
    expect(result).completed().used_tool("refund")

A mock run folds with the core that production runs on; it needs nothing that `pip install agentspan` does not bring.
"""

from agentspan.agents.testing._expect import Expectation, expect
from agentspan.agents.testing._mock_run import mock_run
from agentspan.agents.testing._script import MockEvent, ScriptError

__all__ = ["Expectation", "MockEvent", "ScriptError", "expect", "mock_run"]
