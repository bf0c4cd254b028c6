"""What a failed check prints, as exact text: what was expected, what was found, and the story with the point marked."""

from collections.abc import Callable
from typing import Any

import pytest

from agentspan.agents import Agent, tool
from agentspan.agents.testing import Expectation, MockEvent, approve, expect, mock_run, reject, story


@tool
def look_up(email: str) -> str:
    """Find a customer."""
    raise AssertionError(email)


@tool(approval_required=True)
def refund(amount_usd: float) -> str:
    """Pay back."""
    raise AssertionError(amount_usd)


AGENT = Agent("support", "anthropic/claude-sonnet-4-6", tools=[look_up, refund])

RESULT = mock_run(
    AGENT,
    "Refund me",
    [
        MockEvent.tool_call("look_up", {"email": "a@b"}),
        MockEvent.tool_result("look_up", "c1"),
        MockEvent.says("A large one."),
        MockEvent.tool_call("refund", {"amount_usd": 99.0}),
        MockEvent.tool_call("refund", {"amount_usd": 5.0}),
        MockEvent.tool_result("refund", "paid"),
        MockEvent.tool_call("look_up", {"email": 7}),
        MockEvent.done("Half of it."),
    ],
    approvals=[reject("refund", args={"amount_usd": 99.0}, reason="too much"), approve()],
)

BROKEN = "the arguments of 'look_up' break its schema: email: 7 is not of type 'string'"

LINES = [
    "the run of 'support' (completed):",
    '    1 started        "Refund me"',
    "    2 model_called   turn 1",
    "    3 model_replied  asks for look_up",
    '    4 tool_call      look_up {"email": "a@b"}',
    '    5 tool_result    look_up -> "c1"',
    "    6 model_called   turn 2",
    '    7 model_replied  "A large one." asks for refund, refund',
    '    8 tool_call      refund {"amount_usd": 99.0}',
    '    9 tool_call      refund {"amount_usd": 5.0}',
    '   10 waiting        refund {"amount_usd": 99.0}',
    '   11 waiting        refund {"amount_usd": 5.0}',
    '   12 rejected       refund by user:reviewer: "too much"',
    "   13 approved       refund by user:reviewer",
    "   14 tool_started   refund",
    '   15 tool_result    refund -> "paid"',
    "   16 model_called   turn 3",
    "   17 model_replied  asks for look_up",
    '   18 tool_call      look_up {"email": 7}',
    f"   19 tool_result    look_up failed: {BROKEN}",
    "   20 model_called   turn 4",
    '   21 model_replied  "Half of it."',
    '   22 done           "Half of it."',
]

END = ">     here it ended, completed"


def marked(point: int | None) -> str:
    """The story with the mark where it belongs; None: behind its end."""
    if point is None:
        return "\n".join([*LINES, END])
    return "\n".join(f">{line[1:]}" if number == point else line for number, line in enumerate(LINES))


def test_the_story_by_itself_has_no_mark() -> None:
    assert story(RESULT) == "\n".join(LINES)


CHECKS: list[tuple[Callable[[Expectation], Any], str, int | None]] = [
    (lambda e: e.failed(), "status 'failed', got 'completed'", 22),
    (lambda e: e.waiting(), "status 'waiting', got 'completed'", 22),
    (lambda e: e.cancelled(), "status 'cancelled', got 'completed'", 22),
    (lambda e: e.status("PAUSED"), "status 'paused', got 'completed'", 22),
    (
        lambda e: e.no_errors(),
        f"no errors, got 1, the first: {BROKEN}",
        19,
    ),
    (lambda e: e.max_turns(2), "at most 2 turns, got 4", 17),
    (
        lambda e: e.used_tool("refnd"),
        "a call of 'refnd', got none (called: 'look_up', 'refund'); did you mean 'refund'?",
        None,
    ),
    (
        lambda e: e.used_tool("refund", {"amount_usd": 7}),
        "a call of 'refund' with args {'amount_usd': 7}, got 2 calls with other args",
        9,
    ),
    (lambda e: e.used_tool("refund", times=1), "1 call of 'refund', got 2", 9),
    (lambda e: e.used_tool("refund", times=3), "3 calls of 'refund', got 2", None),
    (lambda e: e.called_once("refund"), "one call of 'refund', got 2", 9),
    (lambda e: e.called_once("suspend"), "one call of 'suspend', got none (called: 'look_up', 'refund')", None),
    (lambda e: e.did_not_use_tool("look_up"), "no call of 'look_up', got 2", 4),
    (
        lambda e: e.tools_used_exactly(["look_up"]),
        "calls of exactly 'look_up', got 'look_up', 'refund'",
        8,
    ),
    (
        lambda e: e.tools_used_exactly(["look_up", "refund", "suspend"]),
        "calls of exactly 'look_up', 'refund', 'suspend', got 'look_up', 'refund'; missing: 'suspend'",
        None,
    ),
    (
        lambda e: e.in_order("refund", "look_up", "refund"),
        "calls in the order 'refund', 'look_up', 'refund', got no call of 'refund' behind event 18",
        9,
    ),
    (
        lambda e: e.tool_call_order(["suspend", "refund"]),
        "calls in the order 'suspend', 'refund', got no call of 'suspend'",
        None,
    ),
    (
        lambda e: e.waited_for("look_up"),
        "that a call of 'look_up' waits for a person, got 2 calls that never waited",
        18,
    ),
    (
        lambda e: e.waited_for("refund", {"amount_usd": 1}),
        "that a call of 'refund' with args {'amount_usd': 1} waits for a person, "
        "got 2 calls that waited, with other args",
        11,
    ),
    (
        lambda e: e.approved("refund", {"amount_usd": 99.0}),
        "an approval of 'refund' with args {'amount_usd': 99.0}, got an approval of 'refund' by 'user:reviewer'",
        13,
    ),
    (
        lambda e: e.approved("refund", by="user:ada"),
        "an approval of 'refund' by 'user:ada', got an approval of 'refund' by 'user:reviewer'",
        13,
    ),
    (
        lambda e: e.approved("look_up"),
        "an approval of 'look_up', got a call of 'look_up' that nobody had to decide",
        18,
    ),
    (
        lambda e: e.rejected("refund", reason="too late"),
        "a rejection of 'refund' because 'too late', got a rejection of 'refund' because 'too much'",
        12,
    ),
    (lambda e: e.rejected("suspend"), "a rejection of 'suspend', got none", None),
    (
        lambda e: e.expired("refund"),
        "that a call of 'refund' expires, got an approval of 'refund' by 'user:reviewer'",
        13,
    ),
    (lambda e: e.ran_tool("suspend"), "a value of 'suspend', got none (called: 'look_up', 'refund')", None),
    (lambda e: e.not_executed("refund"), "that 'refund' never runs, got 1 call that ran", 14),
    (lambda e: e.output("All of it."), "the output 'All of it.', got 'Half of it.'", 22),
    (lambda e: e.output(satisfies=str.isdigit), "an output that isdigit accepts, got 'Half of it.'", 22),
    (lambda e: e.output_contains("All"), "an output with 'All' in it, got 'Half of it.'", 22),
    (lambda e: e.output_matches("^All"), "an output matching '^All', got 'Half of it.'", 22),
    (lambda e: e.output_type(dict), "an output of type dict, got str", 22),
    (
        lambda e: e.events_contain("waiting", tool_name="look_up"),
        "a waiting event, tool_name='look_up', got started, model_called, model_replied, tool_call, tool_result, "
        "waiting, rejected, approved, tool_started, done",
        11,
    ),
    (lambda e: e.events_contain("rejected", expected=False), "no rejected event, got 1", 12),
    (
        lambda e: e.event_sequence(["done", "started"]),
        "events in the order 'done', 'started', got 1 of them and no started behind event 22",
        None,
    ),
    (lambda e: e.agent_ran("billing"), "that agent 'billing' runs, got 'support': a run has one agent", 1),
    (
        lambda e: e.handoff_to("billing"),
        "a handoff to 'billing', got none: there are no handoffs yet, a run has one agent",
        None,
    ),
    (
        lambda e: e.guardrail_passed("pii"),
        "that guardrail 'pii' passes, got none: there are no guardrails yet",
        None,
    ),
    (lambda e: e.guardrail_failed("pii"), "that guardrail 'pii' fails, got none: there are no guardrails yet", None),
]


@pytest.mark.parametrize(("check", "wanted", "point"), CHECKS, ids=[wanted for _, wanted, _ in CHECKS])
def test_a_failed_check_says_what_it_found_and_marks_where(
    check: Callable[[Expectation], Any], wanted: str, point: int | None
) -> None:
    with pytest.raises(AssertionError) as caught:
        check(expect(RESULT))
    assert str(caught.value) == f"expected {wanted}\n{marked(point)}"


def test_what_holds_chains() -> None:
    (
        expect(RESULT)
        .completed()
        .max_turns(4)
        .used_tool("refund", {"amount_usd": 5})
        .used_tool("refund", lambda args: args["amount_usd"] > 50, times=1)
        .did_not_use_tool("suspend")
        .tools_used_exactly(["refund", "look_up"])
        .in_order("look_up", "refund", "look_up")
        .tool_order("look_up", "refund")
        .waited_for("refund", {"amount_usd": 99.0})
        .approved("refund", {"amount_usd": 5.0}, by="user:reviewer")
        .rejected(reason="too much")
        .ran_tool("refund")
        .not_executed("refund", {"amount_usd": 99.0})
        .output("Half of it.", satisfies=lambda text: "Half" in text)
        .output_contains("half", case_sensitive=False)
        .output_matches(r"of it\.$")
        .output_type(str)
        .events_contain("waiting", tool_name="refund")
        .events_contain("expired", expected=False)
        .event_sequence(["started", "rejected", "done"])
        .agent_ran("support")
    )


def test_a_run_that_still_waits_is_marked_where_it_stands() -> None:
    waiting = mock_run(AGENT, "Refund me", [MockEvent.tool_call("refund", {"amount_usd": 99.0})])
    with pytest.raises(AssertionError) as caught:
        expect(waiting).completed()
    assert str(caught.value).splitlines()[0] == "expected status 'completed', got 'waiting'"
    assert str(caught.value).splitlines()[-1] == '>   5 waiting        refund {"amount_usd": 99.0}'
    with pytest.raises(AssertionError) as caught:
        expect(waiting).used_tool("look_up")
    assert str(caught.value).splitlines()[-1] == ">     here it stands, waiting"


def test_the_error_of_a_failed_run_stands_beside_what_was_expected() -> None:
    failed = mock_run(AGENT, "Refund me", [MockEvent.failed("the model is down")])
    with pytest.raises(AssertionError, match="expected status 'completed', got 'failed' \\(the model is down\\)"):
        expect(failed).completed()


def test_a_long_event_is_cut() -> None:
    long = mock_run(AGENT, "x" * 1000, [])
    assert all(len(line) <= 181 for line in story(long).splitlines())
    assert "xxx..." in story(long)
