"""Approvals of a mock run: by tool, by args, by a function; the script's own lines go before them."""

from typing import Any

import pytest

from agentspan.agents import Agent, tool
from agentspan.agents.testing import (
    Approvals,
    MockEvent,
    PendingCall,
    ScriptError,
    Verdict,
    approve,
    expect,
    mock_run,
    reject,
)

PAID: list[float] = []


@tool(approval_required=True)
def refund(amount_usd: float) -> str:
    """Pay back."""
    PAID.append(amount_usd)
    return f"paid {amount_usd:g}"


@tool(approval_required=True)
def suspend(customer: str) -> str:
    """Lock an account."""
    raise AssertionError(customer)


AGENT = Agent("support", "anthropic/claude-sonnet-4-6", tools=[refund, suspend])


@pytest.fixture(autouse=True)
def _nothing_paid() -> None:
    PAID.clear()


def refunds(*amounts: float) -> list[MockEvent]:
    return [*(MockEvent.tool_call("refund", {"amount_usd": amount}) for amount in amounts), MockEvent.done("ok")]


def small(call: PendingCall) -> Verdict | None:
    return approve() if call.args["amount_usd"] <= 25 else None


@pytest.mark.parametrize(
    ("approvals", "paid"),
    [
        (approve(), [10.0, 99.0]),
        (approve("refund"), [10.0, 99.0]),
        (approve("suspend"), []),
        (approve("refund", args={"amount_usd": 10}), [10.0]),
        (approve(args=lambda args: args["amount_usd"] > 50), [99.0]),
        (reject("refund"), []),
        ([reject(args={"amount_usd": 99.0}), approve()], [10.0]),
        ((approve("refund", edit={"amount_usd": 1.0}),), [1.0, 1.0]),
        (small, [10.0]),
        (lambda call: call.args["amount_usd"] > 50, [99.0]),
        (None, []),
    ],
)
def test_who_is_approved_runs(approvals: Approvals | None, paid: list[float]) -> None:
    mock_run(AGENT, "hi", refunds(10.0, 99.0), tools="real", approvals=approvals)
    assert paid == PAID


def test_a_call_that_nobody_decides_goes_on_waiting() -> None:
    result = mock_run(AGENT, "hi", refunds(99.0)[:-1], approvals=small)
    expect(result).waiting().waited_for("refund", {"amount_usd": 99.0})


def test_the_scripts_own_decision_goes_before_the_reviewers() -> None:
    script = [*refunds(10.0)[:-1], MockEvent.rejected("not today"), MockEvent.done("ok")]
    expect(mock_run(AGENT, "hi", script, approvals=approve())).rejected("refund", "not today").not_executed("refund")


def test_a_scripted_wait_is_followed_by_the_reviewers_decision() -> None:
    script = [*refunds(10.0)[:-1], MockEvent.waiting(), MockEvent.tool_result("refund", "paid"), MockEvent.done("ok")]
    result = mock_run(AGENT, "hi", script, approvals=approve(reason="small"))
    expect(result).completed().in_order("refund").ran_tool("refund").event_sequence(["waiting", "approved", "done"])


def test_a_reason_reaches_the_run() -> None:
    result = mock_run(AGENT, "hi", refunds(99.0), approvals=reject(reason="ask finance"))
    expect(result).completed().rejected(reason="ask finance")


def test_the_result_of_a_call_that_was_rejected_is_an_error_in_the_script() -> None:
    script = [*refunds(99.0)[:-1], MockEvent.tool_result("refund", "paid"), MockEvent.done("ok")]
    with pytest.raises(ScriptError, match=r"^events\[1\] tool_result\('refund'\), field 'name': no call"):
        mock_run(AGENT, "hi", script, approvals=reject())


def test_an_edit_that_breaks_the_schema_is_refused_as_in_production() -> None:
    wrong: dict[str, Any] = {"amount_usd": "lots"}
    with pytest.raises(ScriptError, match=r"^events\[0\] tool_call\('refund'\), field 'args': the edited arguments"):
        mock_run(AGENT, "hi", refunds(99.0), approvals=approve(edit=wrong))
