"""Tests of agents without a server, a network or a model: `mock_run` plays a script, `expect` says what has to be true.

    result = mock_run(agent, "Refund me", events=[MockEvent.tool_call("refund", {...}), MockEvent.done("...")])
    expect(result).completed().used_tool("refund")

A mock run folds with the core that production runs on; it needs nothing that `pip install agentspan` does not bring.
"""

import typing

from agentspan.agents import _absent
from agentspan.agents.testing._approvals import Approvals, PendingCall, Verdict, approve, reject
from agentspan.agents.testing._assertions import (
    assert_agent_ran,
    assert_event_sequence,
    assert_events_contain,
    assert_guardrail_failed,
    assert_guardrail_passed,
    assert_handoff_to,
    assert_max_turns,
    assert_no_errors,
    assert_not_executed,
    assert_output_contains,
    assert_output_matches,
    assert_output_satisfies,
    assert_output_type,
    assert_status,
    assert_tool_call_order,
    assert_tool_called_with,
    assert_tool_not_used,
    assert_tool_used,
    assert_tools_used_exactly,
    assert_waited_for,
)
from agentspan.agents.testing._expect import Expectation, expect
from agentspan.agents.testing._local_server import LocalServer
from agentspan.agents.testing._mock_run import mock_run
from agentspan.agents.testing._recording import RecordingError
from agentspan.agents.testing._replay import DriftError, record, replay
from agentspan.agents.testing._replayer import Replayer
from agentspan.agents.testing._script import MockEvent, ScriptError
from agentspan.agents.testing._scripted_model import ModelAsked, ScriptedModel, recorded_turns
from agentspan.agents.testing._story import story

__all__ = [
    "Approvals",
    "DriftError",
    "Expectation",
    "LocalServer",
    "MockEvent",
    "ModelAsked",
    "PendingCall",
    "RecordingError",
    "Replayer",
    "ScriptError",
    "ScriptedModel",
    "Verdict",
    "approve",
    "assert_agent_ran",
    "assert_event_sequence",
    "assert_events_contain",
    "assert_guardrail_failed",
    "assert_guardrail_passed",
    "assert_handoff_to",
    "assert_max_turns",
    "assert_no_errors",
    "assert_not_executed",
    "assert_output_contains",
    "assert_output_matches",
    "assert_output_satisfies",
    "assert_output_type",
    "assert_status",
    "assert_tool_call_order",
    "assert_tool_called_with",
    "assert_tool_not_used",
    "assert_tool_used",
    "assert_tools_used_exactly",
    "assert_waited_for",
    "expect",
    "mock_run",
    "record",
    "recorded_turns",
    "reject",
    "replay",
    "story",
]


if not typing.TYPE_CHECKING:

    def __getattr__(name: str) -> object:
        """For names that comparable products have and this release does not: an error that says what to do instead."""
        raise _absent.missing_name(__name__, name, _absent.TESTING_NAMES)
