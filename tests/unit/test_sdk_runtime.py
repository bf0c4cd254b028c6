"""Runs through the SDK and HTTP: start, stream, decide, serve, a server that restarts under all of it."""

import gc
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import pytest

from agentspan.agents import (
    Agent,
    AgentHandle,
    AgentRuntime,
    AgentspanError,
    AlreadyDecided,
    ConfigurationError,
    InvalidRequest,
    NotFound,
    NothingPending,
    ResultTimeout,
    ServerUnavailable,
    SeveralPending,
    ToolContext,
    tool,
)
from agentspan_schemas import commands as c
from agentspan_schemas.http import Problem
from agentspan_schemas.ids import execution_id_for
from tests.unit.sdk_core import Reply
from tests.unit.sdk_server import SmallServer


@dataclass
class Resolution:
    paid: float


PAID: list[tuple[float, str]] = []


@tool
def look_up(email: str) -> dict[str, str]:
    """Find a customer."""
    return {"id": email}


@tool(approval_required=True)
async def refund(amount_usd: float, ctx: ToolContext) -> dict[str, Any]:
    """Pay back."""
    PAID.append((amount_usd, ctx.idempotency_key))
    return {"paid": amount_usd}


AGENT = Agent("support", "test/model", tools=[look_up, refund], output_type=Resolution)

SCRIPT: list[Reply] = [
    ("", [("look_up", {"email": "a@b"})]),
    ("", [("refund", {"amount_usd": 10})]),
    ('{"paid": 10}', []),
]

TWO: list[Reply] = [("", [("refund", {"amount_usd": 1}), ("refund", {"amount_usd": 2})]), ('{"paid": 3}', [])]


def playing(script: list[Reply]) -> Callable[[int], Reply]:
    return lambda turn: script[turn]


@pytest.fixture
def server() -> Iterator[SmallServer]:
    PAID.clear()
    server = SmallServer(playing(SCRIPT))
    yield server
    server.close()


@pytest.fixture
def runtime(server: SmallServer) -> Iterator[AgentRuntime]:
    with AgentRuntime(server_url=server.url) as runtime:
        yield runtime


def until_waiting(handle: AgentHandle) -> list[str]:
    seen = []
    for event in handle.stream():
        seen.append(str(event.type))
        if event.type == "waiting":
            break
    return seen


def test_a_run_from_start_to_its_typed_result(server: SmallServer, runtime: AgentRuntime) -> None:
    handle = runtime.start(AGENT, "refund me", metadata={"ticket": "t1"})
    seen = []
    for event in handle.stream():
        seen.append(str(event.type))
        if event.type == "waiting":
            assert (event.tool_name, event.args) == ("refund", {"amount_usd": 10})
            handle.approve(reason="fine")
    assert seen == [
        "started", "model_called", "model_replied", "tool_call", "tool_result", "model_called", "model_replied",
        "tool_call", "waiting", "approved", "tool_started", "tool_result", "model_called", "model_replied", "done",
    ]  # fmt: skip
    result = handle.result()
    assert result.status == "completed"
    assert result.output == Resolution(paid=10)
    assert [(10.0, f"{handle.execution_id}.2-0")] == PAID
    approved = next(e.data for e in result.events if e.type == "approved")
    assert (approved.type, getattr(approved, "channel", None)) == ("approved", "sdk")


def test_a_handle_from_start_streams_from_the_first_event_and_after_resumes_anywhere(runtime: AgentRuntime) -> None:
    handle = runtime.start(AGENT, "refund me")
    assert until_waiting(handle)[0] == "started"
    handle.approve()
    handle.result(timeout=10)
    assert [e.seq for e in handle.stream(after=13)] == [14, 15]
    assert list(handle.stream(after=15)) == []
    assert next(iter(handle.stream(after=0))).type == "started"


def test_a_stream_and_a_result_ask_whoever_answers_to_have_seen_ones_own_write(
    server: SmallServer, runtime: AgentRuntime
) -> None:
    handle = runtime.start(AGENT, "refund me")
    until_waiting(handle)
    handle.approve()
    handle.result(timeout=10)
    started, decided = server.streamed_from
    assert started is not None
    assert decided is not None
    assert started != decided


def test_a_handle_from_an_id_streams_from_the_calls_that_wait_then_from_its_own_write(
    server: SmallServer, runtime: AgentRuntime
) -> None:
    started = runtime.start(AGENT, "refund me")
    until_waiting(started)
    handle = AgentHandle(execution_id=started.execution_id, runtime=runtime)
    assert next(iter(handle.stream())).type == "waiting"
    handle.approve()
    assert [str(e.type) for e in handle.stream()] == [
        "approved", "tool_started", "tool_result", "model_called", "model_replied", "done",
    ]  # fmt: skip
    fresh = AgentHandle(execution_id=started.execution_id, runtime=runtime)
    assert [e.type for e in fresh.stream()] == ["done"]


def test_a_rejected_run_goes_on(runtime: AgentRuntime) -> None:
    handle = runtime.start(AGENT, "refund me")
    until_waiting(handle)
    handle.reject("too much")
    first = next(iter(handle.stream()))
    assert (first.type, first.reason) == ("rejected", "too much")
    assert handle.result().status == "completed"
    assert PAID == []


def test_an_approver_may_change_the_args(runtime: AgentRuntime) -> None:
    handle = runtime.start(AGENT, "refund me")
    until_waiting(handle)
    handle.approve(args={"amount_usd": 5})
    handle.result(timeout=10)
    assert [amount for amount, _ in PAID] == [5.0]


def test_with_several_calls_waiting_one_is_named(server: SmallServer, runtime: AgentRuntime) -> None:
    server.model = playing(TWO)
    handle = runtime.start(AGENT, "refund me twice")
    until_waiting(handle)
    with pytest.raises(SeveralPending, match=r"'1-0' \(refund\), '1-1' \(refund\); name one") as caught:
        handle.approve()
    assert caught.value.call_ids == ("1-0", "1-1")
    handle.approve("1-1")
    handle.reject("no", call_id="1-0")
    with pytest.raises(AlreadyDecided, match="'1-1' of 'refund' was approved by user:reviewer") as decided:
        handle.reject("no", call_id="1-1")
    assert decided.value.winner is not None
    assert decided.value.winner.by == "user:reviewer"
    assert handle.result(timeout=10).output == Resolution(paid=3)


def test_with_nothing_waiting_the_state_is_told(server: SmallServer, runtime: AgentRuntime) -> None:
    server.model = playing([('{"paid": 0}', [])])
    handle = runtime.start(AGENT, "hello")
    handle.result(timeout=10)
    with pytest.raises(NothingPending, match="is completed"):
        handle.approve()
    with pytest.raises(NotFound, match="no call '7-7'"):
        handle.approve("7-7")
    with pytest.raises(NotFound, match="no execution 'exec-none'"):
        AgentHandle("exec-none", runtime).approve()


def test_a_second_decision_is_told_who_was_first(runtime: AgentRuntime) -> None:
    handle = runtime.start(AGENT, "refund me")
    until_waiting(handle)
    handle.reject("no")
    with pytest.raises(AlreadyDecided, match="was rejected by user:reviewer"):
        handle.approve()


def test_approvals_that_lag_behind_the_stream_are_waited_for(server: SmallServer, runtime: AgentRuntime) -> None:
    handle = runtime.start(AGENT, "refund me")
    until_waiting(handle)
    server.hidden_approvals = 3
    handle.approve()
    assert handle.result(timeout=10).status == "completed"


def test_a_call_in_doubt_is_not_approved_again(server: SmallServer, runtime: AgentRuntime) -> None:
    handle = runtime.start(AGENT, "refund me")
    until_waiting(handle)
    [record] = server.records.values()
    server.records[record.approval_id] = record.model_copy(update={"state": "in_doubt"})
    with pytest.raises(NothingPending, match="is in doubt: its worker was lost"):
        handle.approve()


def test_what_the_server_would_not_read_is_refused_with_its_field(runtime: AgentRuntime) -> None:
    with pytest.raises(InvalidRequest, match="start: prompt: Input should be a valid string"):
        runtime.start(AGENT, 5)  # type: ignore[arg-type]
    handle = runtime.start(AGENT, "refund me")
    assert "waiting" in until_waiting(handle)
    with pytest.raises(InvalidRequest, match="send: text: Input should be a valid string"):
        handle.send(None)  # type: ignore[arg-type]
    with pytest.raises(InvalidRequest, match="reject: reason: Input should be a valid string"):
        handle.reject(5)  # type: ignore[arg-type]
    with pytest.raises(InvalidRequest, match="cancel: reason: Input should be a valid string"):
        handle.cancel(5)  # type: ignore[arg-type]


def test_pause_resume_send_and_cancel(server: SmallServer, runtime: AgentRuntime) -> None:
    handle = runtime.start(AGENT, "refund me")
    until_waiting(handle)
    handle.pause("lunch")
    assert handle.get_status().status == "paused"
    handle.resume()
    handle.send("hurry")
    assert next(iter(handle.stream())).type == "message"
    handle.cancel("never mind")
    assert [e.type for e in handle.stream()] == ["cancelled"]
    assert handle.result().status == "cancelled"
    writes = [
        head
        for method, path, head in server.requests
        if method == "POST" and "/gateway/" not in path and "/streams" not in path
    ]
    assert len({head["Idempotency-Key"] for head in writes}) == len(writes) == 5


def test_a_result_that_does_not_come_in_time(runtime: AgentRuntime) -> None:
    handle = runtime.start(AGENT, "refund me")
    until_waiting(handle)
    with pytest.raises(ResultTimeout, match=r"had not ended after 0.05 s"):
        handle.result(timeout=0.05)
    handle.approve()
    assert handle.result(timeout=10).status == "completed"


def test_the_same_idempotency_key_is_the_same_run(runtime: AgentRuntime) -> None:
    first = runtime.start(AGENT, "refund me", idempotency_key="k")
    assert runtime.start(AGENT, "refund me", idempotency_key="k").execution_id == first.execution_id


def test_an_idempotency_key_arrives_as_the_text_that_it_is(runtime: AgentRuntime) -> None:
    key = "Müller №5"
    assert runtime.start(AGENT, "refund me", idempotency_key=key).execution_id == execution_id_for("test", key)


def test_a_server_that_restarts_under_the_stream_and_the_worker(server: SmallServer, runtime: AgentRuntime) -> None:
    handle = runtime.start(AGENT, "refund me")
    seen = []
    for event in handle.stream():
        seen.append(event.seq)
        if event.type == "waiting":
            server.stop()
            threading.Timer(0.2, server.start).start()
            handle.approve()
    assert seen == list(range(1, 16))
    assert len(PAID) == 1


def test_a_restarted_server_that_does_not_know_the_agent_is_told(server: SmallServer, runtime: AgentRuntime) -> None:
    server.model = playing([('{"paid": 0}', [])])
    runtime.start(AGENT, "hello").result(timeout=10)
    server.definitions.clear()
    assert runtime.start(AGENT, "hello again").result(timeout=10).status == "completed"


def test_a_reviewers_process_serves_and_approves(server: SmallServer) -> None:
    with AgentRuntime(server_url=server.url) as starter:
        handle = starter.start(AGENT, "refund me")
        until_waiting(handle)
    with AgentRuntime(server_url=server.url) as reviewer:
        reviewer.serve(AGENT, blocking=False)
        again = AgentHandle(execution_id=handle.execution_id, runtime=reviewer)
        again.approve()
        assert again.result(timeout=10).output == Resolution(paid=10)
    assert len(PAID) == 1
    assert len(server.goodbyes) == 2


def test_serve_blocks_until_closed(server: SmallServer) -> None:
    runtime = AgentRuntime(server_url=server.url)
    thread = threading.Thread(target=runtime.serve, args=(AGENT,))
    thread.start()
    server.wait(lambda: bool(server.sessions))
    runtime.close()
    thread.join(10)
    assert not thread.is_alive()
    with pytest.raises(ConfigurationError, match="closed"):
        runtime.start(AGENT, "x")


def test_a_worker_outlives_a_page_in_place_of_an_answer(server: SmallServer, runtime: AgentRuntime) -> None:
    server.pages = 2
    handle = runtime.start(AGENT, "refund me")
    until_waiting(handle)
    server.pages = 2
    handle.approve()
    assert handle.result(timeout=10).output == Resolution(paid=10)


def test_work_that_meets_a_closed_runtime_is_refused_and_not_left_unawaited() -> None:
    runtime = AgentRuntime(server_url="http://127.0.0.1:1")
    runtime.close()

    async def work() -> None: ...

    with pytest.raises(ConfigurationError, match="closed"):
        runtime.call(work())
    gc.collect()  # a warning about a coroutine that nobody awaited fails the test


def test_serving_nothing_is_an_error(runtime: AgentRuntime) -> None:
    with pytest.raises(ConfigurationError, match="at least one agent"):
        runtime.serve()


def test_no_server_is_said_at_once_and_clearly() -> None:
    runtime = AgentRuntime(server_url="http://127.0.0.1:1")
    with pytest.raises(ServerUnavailable, match=r"no Agentspan server answers at http://127\.0\.0\.1:1; start one"):
        runtime.start(AGENT, "hello")


def test_a_server_that_is_briefly_unable_is_asked_again(server: SmallServer, runtime: AgentRuntime) -> None:
    handle = runtime.start(AGENT, "refund me")
    until_waiting(handle)
    full = Problem(type="about:blank", title="full", status=503, detail="the disk is full", code="unavailable")
    server.fail_next = [full, full]
    handle.send("hurry")
    assert "message" in [event.type for event in server.events[handle.execution_id]]


def test_a_blocking_call_from_an_async_tool_is_a_clear_error(server: SmallServer, runtime: AgentRuntime) -> None:
    said: list[str] = []

    @tool
    async def nested() -> str:
        """Ask the runtime from its own loop."""
        try:
            AgentHandle("exec-1", runtime).get_status()
        except AgentspanError as error:
            said.append(str(error))
        return "ok"

    server.model = playing([("", [("nested", {})]), ("done", [])])
    runtime.start(Agent("nesting", "test/model", tools=[nested]), "x").result(timeout=10)
    assert "asyncio.to_thread" in said[0]


def test_an_output_of_an_agent_that_this_process_does_not_know_stays_json(server: SmallServer) -> None:
    server.model = playing([('{"paid": 0}', [])])
    with AgentRuntime(server_url=server.url) as one, AgentRuntime(server_url=server.url) as other:
        handle = one.start(AGENT, "hello")
        assert AgentHandle(handle.execution_id, other).result(timeout=10).output == {"paid": 0}


def test_a_cancelled_run_from_elsewhere_ends_the_stream(server: SmallServer, runtime: AgentRuntime) -> None:
    handle = runtime.start(AGENT, "refund me")
    seen = []
    for event in handle.stream():
        seen.append(str(event.type))
        if event.type == "waiting":
            server.command(c.Cancel, handle.execution_id, by="user:boss", channel="ui")
    assert seen[-1] == "cancelled"
