"""The checks as functions, for tests that are written without chains: `assert_tool_used(result, "refund")`.

Each is one check of `expect`, and fails with the same text.
"""

from collections.abc import Callable, Sequence
from typing import Any

from agentspan.agents._result import AgentResult
from agentspan.agents.testing._expect import expect
from agentspan.agents.testing._script import ArgsMatch
from agentspan.agents.testing._traceback import of_the_test

__tracebackhide__ = of_the_test(AssertionError)


def assert_status(result: AgentResult, status: str) -> None:
    """The run has this status."""
    expect(result).status(status)


def assert_no_errors(result: AgentResult) -> None:
    """Nothing failed."""
    expect(result).no_errors()


def assert_max_turns(result: AgentResult, turns: int) -> None:
    """The model was asked in at most this many turns."""
    expect(result).max_turns(turns)


def assert_tool_used(result: AgentResult, name: str) -> None:
    """The agent called the tool."""
    expect(result).used_tool(name)


def assert_tool_called_with(result: AgentResult, name: str, args: ArgsMatch) -> None:
    """The agent called the tool with args that match these."""
    expect(result).used_tool(name, args)


def assert_tool_not_used(result: AgentResult, name: str) -> None:
    """The agent never called the tool."""
    expect(result).did_not_use_tool(name)


def assert_tool_call_order(result: AgentResult, names: Sequence[str]) -> None:
    """The agent called these tools in this order; others may stand between."""
    expect(result).tool_call_order(names)


def assert_tools_used_exactly(result: AgentResult, names: Sequence[str]) -> None:
    """The agent called these tools and no others."""
    expect(result).tools_used_exactly(names)


def assert_output_contains(result: AgentResult, text: str, *, case_sensitive: bool = True) -> None:
    """The answer, as text, contains this."""
    expect(result).output_contains(text, case_sensitive=case_sensitive)


def assert_output_matches(result: AgentResult, pattern: str) -> None:
    """The regular expression is found in the answer, as text."""
    expect(result).output_matches(pattern)


def assert_output_type(result: AgentResult, expected: type) -> None:
    """The answer is of this type."""
    expect(result).output_type(expected)


def assert_output_satisfies(result: AgentResult, check: Callable[[Any], bool]) -> None:
    """The function says yes to the answer."""
    expect(result).output(satisfies=check)


def assert_events_contain(result: AgentResult, type: str, *, expected: bool = True, **attributes: Any) -> None:
    """An event of this type, with these attributes, is there; or, `expected=False`, is not."""
    expect(result).events_contain(type, expected=expected, **attributes)


def assert_event_sequence(result: AgentResult, types: Sequence[str]) -> None:
    """Events of these types are there in this order."""
    expect(result).event_sequence(types)


def assert_agent_ran(result: AgentResult, name: str) -> None:
    """The agent of this name ran."""
    expect(result).agent_ran(name)


def assert_handoff_to(result: AgentResult, name: str) -> None:
    """Always fails: there are no handoffs yet."""
    expect(result).handoff_to(name)


def assert_guardrail_passed(result: AgentResult, name: str) -> None:
    """Always fails: there are no guardrails yet."""
    expect(result).guardrail_passed(name)


def assert_guardrail_failed(result: AgentResult, name: str) -> None:
    """Always fails: there are no guardrails yet."""
    expect(result).guardrail_failed(name)


def assert_waited_for(result: AgentResult, name: str, args: ArgsMatch | None = None) -> None:
    """A call of the tool waited for a person."""
    expect(result).waited_for(name, args)


def assert_not_executed(result: AgentResult, name: str, args: ArgsMatch | None = None) -> None:
    """The tool's code never ran."""
    expect(result).not_executed(name, args)
