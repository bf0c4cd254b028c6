"""What an author can ask for: the functions, the runtime and the handle, blocking and awaited, and what they answer."""

import asyncio
import inspect
import threading
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import pytest

import agentspan.agents as sdk
from agentspan.agents import (
    Agent,
    AgentEvent,
    AgentHandle,
    AgentRuntime,
    AgentspanError,
    ConfigurationError,
    ResultTimeout,
    SeveralPending,
    TokenUsage,
    configure,
    run,
    run_async,
    serve,
    serve_async,
    shutdown,
    shutdown_async,
    start,
    start_async,
    stream,
    stream_async,
    tool,
)
from agentspan_schemas import commands as c
from tests.unit.sdk_server import Reply, SmallServer


@dataclass
class Paid:
    paid: float


@tool(approval_required=True)
def refund(amount_usd: float) -> dict[str, float]:
    """Pay back."""
    return {"paid": amount_usd}


AGENT = Agent("support", "test/model", tools=[refund], output_type=Paid)
GATED: list[Reply] = [("", [("refund", {"amount_usd": 1})]), ('{"paid": 1}', [])]
TWO: list[Reply] = [("", [("refund", {"amount_usd": 1}), ("refund", {"amount_usd": 2})]), ('{"paid": 3}', [])]
DIRECT: list[Reply] = [('{"paid": 0}', [])]


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator[SmallServer]:
    server = SmallServer(lambda turn: GATED[turn])
    monkeypatch.setenv("AGENTSPAN_SERVER_URL", server.url)
    yield server
    shutdown()
    server.close()


@pytest.fixture
def direct(server: SmallServer) -> SmallServer:
    """One whose model answers at once."""
    server.model = lambda turn: DIRECT[turn]
    return server


def waiting(handle: AgentHandle) -> AgentHandle:
    next(event for event in handle.stream() if event.type == "waiting")
    return handle


# The functions


def test_run_gives_the_typed_result_and_tells_every_event(direct: SmallServer) -> None:
    seen: list[str] = []
    result = run(AGENT, "pay", on_event=lambda event: seen.append(event.type))
    assert (result.status, result.output, result.is_success, result.is_failed) == ("completed", Paid(0), True, False)
    assert seen == ["started", "model_called", "model_replied", "done"]


def test_run_can_ask_for_approval_as_it_goes(server: SmallServer) -> None:
    def ask(event: AgentEvent) -> None:
        if event.type == "waiting":
            AgentHandle(event.execution_id).approve(event.call_id)

    assert run(AGENT, "pay", on_event=ask).output == Paid(1)


def test_stream_starts_and_iterates_and_knows_its_run(server: SmallServer) -> None:
    events = stream(AGENT, "pay")
    for event in events:
        if event.type == "waiting":
            events.approve(reason="fine")
    assert [event.seq for event in events.events] == list(range(1, len(events.events) + 1))
    assert events.execution_id == events.handle.execution_id
    assert events.get_result().output == Paid(1)


def test_a_stream_that_is_left_early_still_has_a_result(server: SmallServer) -> None:
    events = stream(AGENT, "pay")
    next(event for event in events if event.type == "waiting")
    events.send("go on")
    events.reject("too much")
    assert events.get_result().status == "completed"


async def test_the_functions_have_twins_to_await(direct: SmallServer) -> None:
    assert (await run_async(AGENT, "pay")).output == Paid(0)
    handle = await start_async(AGENT, "pay")
    assert (await handle.join_async()).status == "completed"
    events = await stream_async(AGENT, "pay")
    assert [event.type async for event in events][-1] == "done"
    assert (await events.get_result()).output == Paid(0)
    await serve_async(AGENT, blocking=False)
    assert len(direct.sessions) == 1
    await shutdown_async()
    assert len(direct.goodbyes) == 1


def test_serve_and_shutdown_use_the_default_runtime_and_the_next_use_makes_another(direct: SmallServer) -> None:
    serve(AGENT, blocking=False)
    assert len(direct.sessions) == 1
    shutdown()
    shutdown()
    assert len(direct.goodbyes) == 1
    assert start(AGENT, "pay").join(timeout=10).status == "completed"


def test_configure_says_which_server_and_only_before_the_first_use(
    direct: SmallServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AGENTSPAN_SERVER_URL", "http://127.0.0.1:1")
    monkeypatch.setattr(sdk._default, "_DEFAULT", sdk._default._Default())
    configure(server_url=direct.url)
    assert run(AGENT, "pay").status == "completed"
    with pytest.raises(ConfigurationError, match=r"after the default runtime was first used; .* shutdown\(\) first"):
        configure(server_url="http://elsewhere:1")
    shutdown()
    configure(autostart=False)
    assert run(AGENT, "pay").status == "completed"
    shutdown()
    with pytest.raises(ConfigurationError, match="'elsewhere': it begins with http"):
        configure(server_url="elsewhere")


# The runtime


async def test_a_runtime_is_an_asynchronous_context_too(direct: SmallServer) -> None:
    async with AgentRuntime() as runtime:
        assert (await runtime.run_async(AGENT, "pay")).status == "completed"
    assert runtime.is_closed
    assert len(direct.goodbyes) == 1
    with pytest.raises(ConfigurationError, match="is closed; make another one"):
        await runtime.start_async(AGENT, "pay")


async def test_the_callers_loop_is_free_while_it_waits(server: SmallServer) -> None:
    async with AgentRuntime() as runtime:
        handle = await runtime.start_async(AGENT, "pay")
        joining = asyncio.create_task(handle.join_async())
        async for event in handle.stream_async():
            if event.type == "waiting":
                await handle.approve_async()
        assert (await joining).output == Paid(1)


async def test_serving_can_be_awaited_until_it_is_closed_or_cancelled(server: SmallServer) -> None:
    runtime = AgentRuntime()
    serving = asyncio.create_task(runtime.serve_async(AGENT))
    await asyncio.to_thread(lambda: server.wait(lambda: bool(server.sessions)))
    await runtime.close_async()
    await serving
    other = AgentRuntime()
    cancelled = asyncio.create_task(other.serve_async(AGENT))
    await asyncio.to_thread(lambda: server.wait(lambda: bool(server.sessions)))
    cancelled.cancel()
    with pytest.raises(asyncio.CancelledError):
        await cancelled
    assert other.is_closed


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


@pytest.mark.parametrize("wrong", ["support", None, AGENT.definition])
def test_what_is_no_agent_is_refused(wrong: Any, server: SmallServer) -> None:
    with AgentRuntime() as runtime:
        with pytest.raises(ConfigurationError, match=r"start\(\) takes an Agent, not"):
            runtime.start(wrong, "pay")
        with pytest.raises(ConfigurationError, match=r"serve\(\) takes an Agent, not"):
            runtime.serve(wrong)


def test_a_handle_needs_an_id() -> None:
    with pytest.raises(ConfigurationError, match=r"takes a run's id, not ''"):
        AgentHandle("", AgentRuntime())


# The handle


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


async def test_every_method_that_asks_the_server_has_a_twin_that_does_the_same(server: SmallServer) -> None:
    handle = await start_async(AGENT, "pay")
    async for event in handle.stream_async():
        if event.type == "waiting":
            break
    await handle.pause_async("lunch")
    assert (await handle.get_status_async()).status == "paused"
    await handle.resume_async()
    await handle.send_async("hurry")
    await handle.respond_async({"approved": False, "reason": "no"})
    assert (await handle.join_async(timeout=10)).status == "completed"
    other = await start_async(AGENT, "pay again")
    async for event in other.stream_async():
        if event.type == "waiting":
            await other.reject_async("no")
    third = await start_async(AGENT, "and again")
    await third.cancel_async("never mind")
    assert (await third.join_async(timeout=10)).status == "cancelled"


SYNC_ONLY = {
    "AgentHandle": {"execution_id"},
    "AgentRuntime": {"is_closed", "execution", "call", "call_async", "iterate", "aiterate"},
}


@pytest.mark.parametrize("kind", [AgentHandle, AgentRuntime])
def test_every_public_method_has_its_twin_with_the_same_parameters(kind: type) -> None:
    public = {name for name in dir(kind) if not name.startswith("_")} - SYNC_ONLY[kind.__name__]
    plain = {name for name in public if not name.endswith("_async")}
    assert {f"{name}_async" for name in plain} == public - plain
    for name in plain:
        assert _parameters(getattr(kind, name)) == _parameters(getattr(kind, f"{name}_async")), name


def _parameters(method: Any) -> list[tuple[str, Any]]:
    return [(p.name, p.default) for p in inspect.signature(method).parameters.values()]


def test_the_functions_take_what_the_methods_take() -> None:
    for name in ("start", "run", "stream", "serve"):
        for twin in (name, f"{name}_async"):
            assert _parameters(getattr(sdk, twin)) == _parameters(getattr(AgentRuntime, twin))[1:], twin


# The result


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


# Instructions and limits


def test_instructions_may_be_a_function_that_is_asked_at_each_start(direct: SmallServer) -> None:
    asked: list[int] = []

    def instructions() -> str:
        asked.append(1)
        return f"Today is day {len(asked)}."

    agent = Agent("daily", "test/model", instructions)
    assert asked == []
    first, second = start(agent, "go"), start(agent, "go")
    texts = [definition.instructions for definition in direct.definitions.values()]
    assert texts == ["Today is day 1.", "Today is day 2."]
    versions = [direct.events[handle.execution_id][0].agent_version for handle in (first, second)]
    assert len(set(versions)) == 2


@pytest.mark.parametrize(
    ("instructions", "says"),
    [
        (lambda prompt: "x", "is called without arguments"),
        (test_a_handle_can_be_awaited_on_any_loop, "is an async function; make it a plain one"),
    ],
)
def test_instructions_that_cannot_be_called_are_refused_at_once(instructions: Any, says: str) -> None:
    with pytest.raises(ConfigurationError, match=says):
        Agent("a", "p/m", instructions)


def test_instructions_that_return_no_text_are_refused() -> None:
    with pytest.raises(ConfigurationError, match=r"instructions\(\) returned a NoneType; return the text"):
        _ = Agent("a", "p/m", lambda: None).definition  # type: ignore[arg-type, return-value]


def test_temperature_and_time_go_with_the_agent_and_change_its_version() -> None:
    plain = Agent("a", "p/m").definition
    warm = Agent("a", "p/m", temperature=0.7, timeout_s=60).definition
    assert (warm.temperature, warm.timeout_s) == (0.7, 60)
    assert warm.version != plain.version
    assert plain.version == "a752608fbd88"  # what it was before there were such fields
    with pytest.raises(ConfigurationError, match="temperature"):
        Agent("a", "p/m", temperature=3)


def test_an_agents_time_limits_its_runs_and_a_starts_own_goes_before_it(server: SmallServer) -> None:
    agent = Agent("slow", "test/model", timeout_s=60, tools=[refund])
    deadlines = []
    for timeout_s in (None, 5):
        handle = start(agent, "pay", timeout_s=timeout_s)
        started = handle.stream(after=0).__next__().data
        assert started.type == "started"
        assert started.deadline_at is not None
        deadlines.append(round((started.deadline_at - started.started_at).total_seconds()))
    assert deadlines == [60, 5]


# Tools: how many at once


def test_a_tool_with_a_limit_runs_no_more_at_once(server: SmallServer) -> None:
    lock, now, most = threading.Lock(), [0], [0]
    gate = threading.Barrier(2, timeout=10)

    @tool(concurrency=2)
    def narrow(number: int) -> int:
        "Two at a time."
        with lock:
            now[0] += 1
            most[0] = max(most[0], now[0])
        gate.wait()
        with lock:
            now[0] -= 1
        return number

    script: list[Reply] = [("", [("narrow", {"number": n}) for n in range(6)]), ("done", [])]
    server.model = lambda turn: script[turn]
    result = run(Agent("narrow", "test/model", tools=[narrow]), "go")
    assert [call.result for call in result.tool_calls] == list(range(6))
    assert most == [2]


def test_a_limit_of_none_is_refused() -> None:
    with pytest.raises(ConfigurationError, match="concurrency=0 runs none; it is at least 1"):
        tool(concurrency=0)(refund.function)
