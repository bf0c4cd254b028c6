"""Each kind of line of a script, and what the core makes of it."""

import re
from datetime import date
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from agentspan.agents import Agent, TokenUsage, tool
from agentspan.agents.testing import MockEvent, ScriptError, approve, expect, mock_run

HOUR_S = 3600.0


@tool
def look_up(email: str) -> str:
    """Find a customer."""
    raise AssertionError(email)


@tool(approval_required=True, approval_expires_s=HOUR_S)
def refund(amount_usd: float) -> str:
    """Pay back."""
    raise AssertionError(amount_usd)


AGENT = Agent("support", "anthropic/claude-sonnet-4-6", tools=[look_up, refund])
LOOK_UP = MockEvent.tool_call("look_up", {"email": "a@b"})
REFUND = MockEvent.tool_call("refund", {"amount_usd": 10.0})


def types(result: Any) -> list[str]:
    return [str(event.type) for event in result.events]


def test_what_the_model_thinks_and_says_is_a_part_of_its_reply() -> None:
    script = [
        MockEvent.thinking("who is it?"),
        MockEvent.says("Let me look."),
        LOOK_UP,
        MockEvent.tool_result("look_up", "c1"),
        MockEvent.thinking("got it"),
        MockEvent.done("It is c1."),
    ]
    result = mock_run(AGENT, "hi", script)
    first, second = [event.data for event in result.events if event.type == "model_replied"]
    assert first.text == "Let me look."  # type: ignore[union-attr]
    assert first.blocks == ({"type": "thinking", "thinking": "who is it?"},)  # type: ignore[union-attr]
    assert second.blocks == ({"type": "thinking", "thinking": "got it"},)  # type: ignore[union-attr]
    expect(result).completed().output("It is c1.").max_turns(2)


def test_the_tokens_of_a_reply_are_those_that_its_lines_say() -> None:
    script = [
        MockEvent.used(input_tokens=900, output_tokens=40),
        MockEvent.used(cache_read_tokens=800),
        LOOK_UP,
        MockEvent.tool_result("look_up", "c1"),
        MockEvent.says("Found."),
        MockEvent.used(1000, 10, cache_write_tokens=100),
        MockEvent.done("It is c1."),
    ]
    result = mock_run(AGENT, "hi", script)
    assert result.usage == TokenUsage(1900, 50, cache_read_tokens=800, cache_write_tokens=100)
    assert (result.totals.input_tokens, result.totals.output_tokens) == (1900, 50)
    assert mock_run(AGENT, "hi", [MockEvent.done("Hello.")]).usage == TokenUsage()


@pytest.mark.parametrize(
    ("line", "says"),
    [
        (MockEvent.used(output_tokens=-1), "events[0] used, field 'output_tokens': -1 is no number of tokens. Next: "),
        (MockEvent.used("many"), "field 'input_tokens': 'many' is no number of tokens"),  # type: ignore[arg-type]
        (MockEvent.used(True), "field 'input_tokens': True is no number of tokens. Next: write a whole number of 0"),
        (MockEvent("used"), "events[0] used: None counts no tokens. Next: write MockEvent.used(input_tokens=900, "),
        (MockEvent("used", value={"tokens": 1}), "{'tokens': 1} counts no tokens"),
        (MockEvent.used(1), "events[0] used: the reply that it is a part of never comes"),
    ],
)
def test_what_counts_no_tokens_is_refused(line: MockEvent, says: str) -> None:
    with pytest.raises(ScriptError, match=re.escape(says)):
        mock_run(AGENT, "hi", [line])


def test_an_undecided_call_expires_by_the_clock() -> None:
    result = mock_run(AGENT, "hi", [REFUND, MockEvent.expired("refund"), MockEvent.done("nobody answered")])
    [expired] = [event for event in result.events if event.type == "expired"]
    assert (expired.at - result.events[0].at).total_seconds() >= HOUR_S
    expect(result).completed().expired("refund").not_executed("refund")


def test_a_lost_worker_leaves_a_once_call_in_doubt_until_somebody_finds_out() -> None:
    script = [REFUND, MockEvent.approved(), MockEvent.lost("refund")]
    expect(mock_run(AGENT, "hi", script)).waiting()
    result = mock_run(AGENT, "hi", [*script, MockEvent.resolved("refund", "succeeded", "paid"), MockEvent.done("ok")])
    assert types(result)[5:9] == ["approved", "tool_started", "in_doubt", "tool_result"]
    expect(result).completed().ran_tool("refund")


def test_a_call_that_was_not_run_is_granted_again() -> None:
    script = [
        REFUND,
        MockEvent.approved(),
        MockEvent.lost("refund"),
        MockEvent.resolved("refund", "not_run", reason="the worker's log says so"),
        MockEvent.tool_result("refund", "paid"),
        MockEvent.done("ok"),
    ]
    result = mock_run(AGENT, "hi", script)
    assert types(result).count("tool_started") == 2
    expect(result).completed().ran_tool("refund").called_once("refund")


def test_a_lost_worker_lets_an_idempotent_call_run_again() -> None:
    script = [LOOK_UP, MockEvent.lost("look_up"), MockEvent.tool_result("look_up", "c1"), MockEvent.done("ok")]
    result = mock_run(AGENT, "hi", script)
    assert "retry_scheduled" in types(result)
    expect(result).completed().ran_tool("look_up")


def test_a_paused_run_goes_on_when_resumed() -> None:
    script = [
        LOOK_UP,
        MockEvent.paused("lunch"),
        MockEvent.tool_result("look_up", "c1"),
        MockEvent.resumed("back"),
        MockEvent.done("ok"),
    ]
    result = mock_run(AGENT, "hi", script)
    after = types(result).index("resumed")
    assert types(result).index("tool_result") < after < types(result).index("model_called", after)
    expect(result).completed().event_sequence(["paused", "resumed", "done"])


def test_a_cancelled_run_is_over() -> None:
    result = mock_run(AGENT, "hi", [REFUND, MockEvent.cancelled("not needed any more")])
    expect(result).cancelled().not_executed("refund").status("CANCELLED")


def test_an_error_is_a_failure() -> None:
    expect(mock_run(AGENT, "hi", [MockEvent.error("model is down")])).failed("is down")


def test_where_picks_the_call_that_is_meant() -> None:
    script = [
        MockEvent.tool_call("refund", {"amount_usd": 10.0}),
        MockEvent.tool_call("refund", {"amount_usd": 500.0}),
        MockEvent.rejected("too much", where={"amount_usd": 500}),
        MockEvent.approved("refund", where=lambda args: args["amount_usd"] < 100),
        MockEvent.tool_result("refund", "paid"),
        MockEvent.done("ok"),
    ]
    result = mock_run(AGENT, "hi", script)
    expect(result).completed().rejected("refund", "too much", args={"amount_usd": 500.0})
    expect(result).approved("refund", {"amount_usd": 10.0}).not_executed("refund", {"amount_usd": 500.0})


def test_a_gated_call_cannot_come_back_undecided() -> None:
    with pytest.raises(ScriptError) as caught:
        mock_run(AGENT, "hi", [REFUND, MockEvent.tool_result("refund", "paid")])
    assert (caught.value.index, caught.value.field) == (1, "name")
    assert "waits for a person, so that its code cannot have run" in str(caught.value)


@pytest.mark.parametrize(
    "script",
    [[REFUND, MockEvent.tool_result("refund", {})], [REFUND, MockEvent.approved(args={})], MockEvent.done("no list")],
)
def test_a_line_that_is_refused_is_shown_in_the_test_alone(script: Any) -> None:
    with pytest.raises(ScriptError) as caught:
        mock_run(AGENT, "x", script)
    assert {Path(entry.path).name for entry in caught.traceback.filter(caught)} == {Path(__file__).name}


def test_args_may_be_written_as_python_has_them() -> None:
    seen: list[Any] = []

    @tool(approval_required=True)
    def book(day: date, price: Decimal) -> None:
        """Book a day."""
        seen.append((day, price))

    day, other = date(2026, 2, 3), date(2026, 2, 4)
    script = [MockEvent.tool_call("book", {"day": day, "price": Decimal("9.90")}), MockEvent.done("Booked.")]
    edit = {"day": other, "price": Decimal(8)}
    agent, known = Agent("a", "p/m", tools=[book]), {"since": day}
    result = mock_run(agent, "x", script, tools="real", approvals=approve(edit=edit), metadata=known)
    expect(result).completed().waited_for("book", {"day": "2026-02-03", "price": "9.90"}).ran_tool("book")
    assert seen == [(other, Decimal(8))]
    assert result.events[0].data.model_dump()["metadata"] == {"since": "2026-02-03"}


def test_an_empty_script_is_a_run_whose_model_has_not_answered() -> None:
    assert types(mock_run(AGENT, "hi", [])) == ["started", "model_called"]
