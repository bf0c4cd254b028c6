"""mock_run: scripted lines are facts, the core fills in what they leave out, and no tool runs unless asked."""

from dataclasses import dataclass
from typing import Any

import pytest

from agentspan.agents import Agent, ToolContext, current_context, tool
from agentspan.agents.testing import MockEvent, ScriptError, expect, mock_run

RAN: list[str] = []


@dataclass
class Answer:
    refunded: bool


@tool
def look_up(email: str) -> dict[str, str]:
    """Find a customer."""
    RAN.append(email)
    return {"id": "c1", "key": current_context().idempotency_key}


@tool(approval_required=True)
def refund(customer_id: str, amount_usd: float, ctx: ToolContext) -> dict[str, Any]:
    """Pay back."""
    RAN.append(f"{customer_id} {amount_usd} {ctx.metadata['ticket']}")
    return {"paid": amount_usd}


@tool(retries=2)
async def flaky(times: int, ctx: ToolContext) -> str:
    """Fail at first."""
    if ctx.attempt <= times:
        raise RuntimeError(f"attempt {ctx.attempt}")
    return f"attempt {ctx.attempt}"


AGENT = Agent("support", "anthropic/claude-sonnet-4-6", tools=[look_up, refund, flaky])
TYPED = Agent("typed", "anthropic/claude-sonnet-4-6", tools=[refund], output_type=Answer)
REFUND = {"customer_id": "c1", "amount_usd": 10.0}


@pytest.fixture(autouse=True)
def _nothing_ran() -> None:
    RAN.clear()


def types(result: Any) -> list[str]:
    return [str(event.type) for event in result.events]


def test_the_core_fills_in_what_the_script_leaves_out() -> None:
    result = mock_run(
        AGENT,
        "hello",
        events=[
            MockEvent.tool_call("refund", REFUND),
            MockEvent.approved(),
            MockEvent.tool_result("refund", {"paid": 10.0}),
            MockEvent.done("paid"),
        ],
    )
    assert types(result) == [
        "started", "model_called", "model_replied", "tool_call", "waiting", "approved", "tool_started", "tool_result",
        "model_called", "model_replied", "done",
    ]  # fmt: skip
    assert [event.seq for event in result.events] == list(range(1, 12))
    assert result.output == "paid"
    expect(result).completed().waited_for("refund").approved("refund").ran_tool("refund").called_once("refund")
    assert not RAN


def test_two_runs_of_one_script_are_equal() -> None:
    script = [MockEvent.tool_call("look_up", {"email": "a@b"}), MockEvent.done("ok")]
    assert mock_run(AGENT, "hello", script) == mock_run(AGENT, "hello", script)


def test_a_gated_call_without_more_lines_waits() -> None:
    result = mock_run(AGENT, "hello", events=[MockEvent.tool_call("refund", REFUND)])
    expect(result).waiting().waited_for("refund").did_not_use_tool("look_up")
    assert result.totals.waiting_on == ("refund",)


def test_calls_in_a_row_are_one_turn_and_results_pair_with_the_oldest() -> None:
    result = mock_run(
        AGENT,
        "hello",
        events=[
            MockEvent.tool_call("look_up", {"email": "first"}),
            MockEvent.tool_call("look_up", {"email": "second"}),
            MockEvent.tool_result("look_up", 1),
            MockEvent.tool_result("look_up", 2),
            MockEvent.done("ok"),
        ],
    )
    assert [(e.call_id, e.output) for e in result.events if e.type == "tool_result"] == [("1-0", 1), ("1-1", 2)]
    assert result.totals.turns == 2


def test_the_scripted_line_stands_in_place_of_the_one_that_the_core_would_add() -> None:
    result = mock_run(
        AGENT,
        "hello",
        events=[
            MockEvent.tool_call("unheard_of", {}),
            MockEvent.tool_result("unheard_of", "as the script says"),
            MockEvent.done("ok"),
        ],
    )
    [came] = [e for e in result.events if e.type == "tool_result"]
    assert came.output == "as the script says"


def test_a_call_that_breaks_its_schema_gets_the_error_that_production_gives() -> None:
    result = mock_run(AGENT, "hello", events=[MockEvent.tool_call("refund", {"customer_id": 7}), MockEvent.done("ok")])
    [came] = [e for e in result.events if e.type == "tool_result"]
    assert "break its schema" in (came.reason or "")
    assert not [e for e in result.events if e.type == "waiting"]


def test_a_rejected_run_goes_on() -> None:
    result = mock_run(
        AGENT,
        "hello",
        events=[
            MockEvent.tool_call("refund", REFUND),
            MockEvent.waiting(),
            MockEvent.rejected("too much"),
            MockEvent.tool_call("look_up", {"email": "a@b"}),
            MockEvent.tool_error("look_up", "no such customer"),
            MockEvent.done("sorry"),
        ],
    )
    expect(result).completed().rejected("refund", "too much").tool_order("refund", "look_up").output("sorry")


def test_an_approver_may_change_the_args() -> None:
    events = [
        MockEvent.tool_call("refund", REFUND),
        MockEvent.approved(args={**REFUND, "amount_usd": 5.0}),
        MockEvent.done("ok"),
    ]
    result = mock_run(AGENT, "hello", events, tools="real", metadata={"ticket": "t1"})
    assert RAN == ["c1 5.0 t1"]
    expect(result).completed().ran_tool("refund")


def test_edited_args_that_break_the_schema_are_refused_as_in_production() -> None:
    events = [MockEvent.tool_call("refund", REFUND), MockEvent.approved(args={"amount_usd": "lots"})]
    with pytest.raises(ScriptError, match=r"events\[1\] approved, field 'args': .*can't be used"):
        mock_run(AGENT, "hello", events)


def test_real_tools_run_where_the_script_gives_no_result_and_gated_ones_only_when_approved() -> None:
    events = [
        MockEvent.tool_call("look_up", {"email": "a@b"}),
        MockEvent.tool_call("look_up", {"email": "scripted"}),
        MockEvent.tool_call("refund", REFUND),
    ]
    result = mock_run(AGENT, "hello", events, tools="real")
    assert RAN == ["a@b", "scripted"]
    expect(result).waiting()
    RAN.clear()
    mock_run(AGENT, "hello", [events[0], MockEvent.tool_result("look_up", None)], tools="real")
    assert not RAN


async def test_a_real_async_tool_is_retried_as_in_production_inside_a_running_loop() -> None:
    result = mock_run(AGENT, "hello", [MockEvent.tool_call("flaky", {"times": 2}), MockEvent.done("ok")], tools="real")
    assert types(result).count("retry_scheduled") == 2
    assert next(e for e in result.events if e.type == "tool_result").output == "attempt 3"


def test_the_output_is_typed_where_it_fits() -> None:
    assert mock_run(TYPED, "x", [MockEvent.done('{"refunded": true}')]).output == Answer(refunded=True)
    assert mock_run(TYPED, "x", [MockEvent.done({"refunded": False})]).output == Answer(refunded=False)
    assert mock_run(TYPED, "x", [MockEvent.done(Answer(refunded=True))]).output == Answer(refunded=True)
    wrong = mock_run(TYPED, "x", [MockEvent.done('{"refunded": 12}')])
    assert wrong.output == '{"refunded": 12}'
    assert wrong.output_error
    with pytest.raises(AssertionError, match="of type Answer, got str"):
        expect(wrong).completed().output_type(Answer)


def test_a_message_and_a_failure() -> None:
    result = mock_run(AGENT, "hello", [MockEvent.message("hurry"), MockEvent.failed("model is down")])
    expect(result).failed("model is down")
    assert result.error is not None
    assert "message" in types(result)


def test_calls_that_join_an_open_turn_keep_their_own_ids() -> None:
    result = mock_run(
        AGENT,
        "hello",
        [
            MockEvent.tool_call("refund", REFUND),
            MockEvent.waiting(),
            MockEvent.tool_call("look_up", {"email": "a@b"}),
            MockEvent.tool_result("look_up", {}),
            MockEvent.approved(),
            MockEvent.tool_result("refund", {}),
            MockEvent.done("ok"),
        ],
    )
    assert [call.call_id for call in result.tool_calls] == ["1-0", "1-1"]
    expect(result).completed()


@pytest.mark.parametrize(
    ("script", "says"),
    [
        (
            [MockEvent.tool_result("look_up", 1)],
            r"events\[0\] tool_result\('look_up'\), field 'name': no call of 'look_up'",
        ),
        ([MockEvent.done("a"), MockEvent.done("b")], r"events\[1\] done: the run is completed already"),
        (
            [MockEvent.tool_call("look_up", {"email": "x"}), MockEvent.tool_result("look_up", {1, object()})],
            "JSON form",
        ),
        ([MockEvent.tool_call("look_up", {"email": "x"}), MockEvent.approved()], "no open call waits for a decision"),
    ],
)
def test_a_line_that_no_run_could_come_to_is_named(script: list[MockEvent], says: str) -> None:
    with pytest.raises(ScriptError, match=says):
        mock_run(AGENT, "hello", script)


def test_a_failed_expectation_tells_the_story() -> None:
    result = mock_run(AGENT, "hello", [MockEvent.tool_call("look_up", {"email": "a@b"}), MockEvent.done("ok")])
    with pytest.raises(AssertionError) as caught:
        expect(result).completed().used_tool("refund")
    story = """\
expected a call of 'refund', got none (called: 'look_up')
the run of 'support' (completed):
    1 started        "hello"
    2 model_called   turn 1
    3 model_replied  asks for look_up
    4 tool_call      look_up {"email": "a@b"}
    5 done           "ok"
>     here it ended, completed"""
    assert str(caught.value) == story


@pytest.mark.parametrize(
    "check",
    [
        lambda e: e.failed(),
        lambda e: e.waiting(),
        lambda e: e.cancelled(),
        lambda e: e.used_tool("look_up", {"email": "other"}),
        lambda e: e.used_tool("look_up", times=2),
        lambda e: e.called_once("refund"),
        lambda e: e.did_not_use_tool("look_up"),
        lambda e: e.tool_order("refund", "look_up"),
        lambda e: e.waited_for("look_up"),
        lambda e: e.approved("look_up"),
        lambda e: e.rejected("look_up"),
        lambda e: e.ran_tool("refund"),
        lambda e: e.output("other"),
        lambda e: e.output(satisfies=lambda text: "z" in text),
        lambda e: e.output_contains("zz"),
        lambda e: e.output_type(int),
    ],
)
def test_each_check_fails_where_it_does_not_hold(check: Any) -> None:
    result = mock_run(AGENT, "hello", [MockEvent.tool_call("look_up", {"email": "a@b"}), MockEvent.done("ok")])
    with pytest.raises(AssertionError, match="expected "):
        check(expect(result))
