"""A handle on a run: what it waits for, says of the run and answers, and the result that it gives."""

import asyncio
from datetime import date
from decimal import Decimal
from enum import IntEnum
from typing import Any

import pytest

from agentspan.agents import (
    AgentHandle,
    AgentRuntime,
    AgentspanError,
    ConfigurationError,
    InvalidRequest,
    NotFound,
    ResultTimeout,
    SeveralPending,
    TokenUsage,
    start,
    start_async,
)
from agentspan_schemas import commands as c
from tests.unit.sdk_server import SmallServer
from tests.unit.sdk_surface.conftest import AGENT, TWO, waiting


class Amount(IntEnum):
    SMALL = 5


async def test_a_handle_can_be_awaited_on_any_loop(direct: SmallServer) -> None:
    handle = await start_async(AGENT, "pay")

    def elsewhere() -> str:
        return asyncio.run(handle.join_async()).status

    assert await asyncio.to_thread(elsewhere) == (await handle.result_async()).status == "completed"


async def test_an_awaited_call_that_meets_the_end_of_its_runtime_says_so(server: SmallServer) -> None:
    runtime = AgentRuntime()
    handle = await runtime.start_async(AGENT, "pay")
    joining = asyncio.create_task(handle.join_async())
    async for event in handle.stream_async():
        if event.type == "waiting":
            break
    await runtime.close_async()
    with pytest.raises(AgentspanError, match="closed meanwhile"):
        await joining


async def test_a_join_that_takes_too_long_leaves_the_run_alone(server: SmallServer) -> None:
    handle = await start_async(AGENT, "pay")
    with pytest.raises(ResultTimeout, match=r"had not ended after 0.05 s; it goes on"):
        await handle.join_async(timeout=0.05)
    assert not (await handle.get_status_async()).is_complete


@pytest.mark.parametrize("given", ["", ".", "..", "../x", "exec-a/b", "exec-a?x=1", "exec-a#b", "exec a", 5, None])
def test_a_handle_needs_an_id(given: Any) -> None:
    with pytest.raises(ConfigurationError) as error:
        AgentHandle(given, AgentRuntime())
    assert str(error.value) == f"AgentHandle takes a run's id, not {given!r}: start() gives a handle"


@pytest.mark.parametrize("key", ["", " ", "a\nb", "x\x00", "\ud800", 5, b"x"])
def test_a_key_that_names_nothing_is_refused_and_starts_nothing(server: SmallServer, key: Any) -> None:
    with pytest.raises(InvalidRequest, match=r"idempotency_key: .* is none; write what names this piece") as error:
        start(AGENT, "pay", idempotency_key=key)
    assert error.value.field == "idempotency_key"


def test_what_is_no_object_is_refused_with_its_field(server: SmallServer) -> None:
    with pytest.raises(InvalidRequest, match="start: metadata: ") as error:
        start(AGENT, "pay", metadata="ticket")  # type: ignore[arg-type]
    assert error.value.field == "metadata"
    handle = waiting(start(AGENT, "pay"))
    with pytest.raises(InvalidRequest, match=r"^approve: args: ") as error:
        handle.approve(args="amount")  # type: ignore[arg-type]
    assert error.value.field == "args"
    with pytest.raises(ConfigurationError, match=r"a response is an object, as \{'approved': True\}, not 'yes'"):
        handle.respond("yes")  # type: ignore[arg-type]


def test_metadata_and_args_may_be_written_as_python_has_them(server: SmallServer) -> None:
    handle = waiting(start(AGENT, "pay", metadata={"due": date(2026, 2, 3), "limit": Decimal("9.90")}))
    assert handle.get_status().metadata == {"due": "2026-02-03", "limit": "9.90"}
    with pytest.raises(InvalidRequest, match=r"^approve: args\.amount_usd: "):
        handle.approve(args={"amount_usd": object()})
    handle.approve(args={"amount_usd": Amount.SMALL})
    assert handle.join().tool_calls[0].args == {"amount_usd": 5}


def test_a_call_that_does_not_wait_is_told_with_those_that_do(
    server: SmallServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("agentspan.agents._execution.SETTLE_S", 0.0)
    handle = waiting(start(AGENT, "pay"))
    with pytest.raises(NotFound, match=r"has no call '9-9' that waits; it waits with '1-0' \(refund\)"):
        handle.approve("9-9")


def test_status_says_what_waits(server: SmallServer) -> None:
    server.model = lambda turn: TWO[turn]
    handle = waiting(start(AGENT, "pay", metadata={"ticket": "T-1"}))
    now = handle.get_status()
    assert (now.status, now.is_waiting, now.is_running, now.is_complete) == ("waiting", True, False, False)
    assert [(call.call_id, call.tool_name, call.args) for call in now.pending] == [
        ("1-0", "refund", {"amount_usd": 1}),
        ("1-1", "refund", {"amount_usd": 2}),
    ]
    with pytest.raises(SeveralPending, match=r"'1-0' \(refund\), '1-1' \(refund\)"):
        handle.respond({"approved": True})
    for call in now.pending:
        handle.approve(call.call_id)
    handle.join(timeout=10)
    then = handle.get_status()
    assert (then.is_complete, then.pending, then.usage) == (True, (), TokenUsage())


@pytest.mark.parametrize(
    ("response", "calls", "state"),
    [
        ({"approved": True}, [1.0], "succeeded"),
        ({"approved": True, "args": {"amount_usd": 5}, "reason": "half"}, [5.0], "succeeded"),
        ({"approved": False, "reason": "too much"}, [], "rejected"),
    ],
)
def test_a_response_as_a_form_has_it(
    server: SmallServer, response: dict[str, Any], calls: list[float], state: str
) -> None:
    handle = waiting(start(AGENT, "pay"))
    handle.respond(response)
    result = handle.join(timeout=10)
    [call] = result.tool_calls
    assert (call.tool_name, call.state) == ("refund", state)
    assert [call.result["paid"] for call in result.tool_calls if call.result] == calls


def test_a_response_may_be_a_message(server: SmallServer) -> None:
    handle = waiting(start(AGENT, "pay"))
    handle.respond({"message": "hurry"})
    assert "message" in [event.type for event in server.events[handle.execution_id]]


@pytest.mark.parametrize(
    ("response", "says"),
    [
        ({}, "approved: True or approved: False, not None"),
        ({"approved": "yes"}, "not 'yes'"),
        ({"approve": True}, "has no 'approve'; it has approved, reason, args, message"),
        ({"approved": False, "args": {}}, "go with approved: True"),
        ({"approved": True, "reason": 1}, "reason is a text, not 1"),
        ({"message": "x", "approved": True}, "a text and nothing else"),
    ],
)
def test_a_wrong_response_approves_nothing(response: dict[str, Any], says: str) -> None:
    with pytest.raises(ConfigurationError, match=says):
        AgentHandle("exec-1", AgentRuntime()).respond(response)


def test_a_result_has_the_conversation_the_calls_and_the_tokens(server: SmallServer) -> None:
    handle = waiting(start(AGENT, "pay"))
    handle.approve()
    result = handle.join(timeout=10)
    assert [message.role for message in result.messages] == ["user", "assistant", "tool", "assistant"]
    [call] = result.tool_calls
    assert (call.call_id, call.args, call.state, call.result, call.error) == (
        "1-0", {"amount_usd": 1}, "succeeded", {"paid": 1.0}, None,
    )  # fmt: skip
    assert len(result.events_of("tool_result")) == 1
    assert result.usage.total_tokens == result.usage.prompt_tokens + result.usage.completion_tokens


def test_a_rejected_call_keeps_the_reason_and_the_model_reads_it(server: SmallServer) -> None:
    handle = waiting(start(AGENT, "pay"))
    handle.reject("too much")
    result = handle.join(timeout=10)
    [call] = result.tool_calls
    assert (call.state, call.error, call.result) == ("rejected", "too much", None)
    [said] = [message for message in result.messages if message.role == "tool"]
    assert said.error is not None
    assert said.error.message == "too much"


def test_a_cancelled_run_is_failed_and_has_no_output(server: SmallServer) -> None:
    handle = waiting(start(AGENT, "pay"))
    server.command(c.Cancel, handle.execution_id, by="user:boss", channel="ui")
    result = handle.join(timeout=10)
    assert (result.is_failed, result.is_success, result.output) == (True, False, None)
