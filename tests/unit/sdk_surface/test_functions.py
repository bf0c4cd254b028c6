"""The functions of the package and the methods of a runtime: what they start and serve, and that each has its twin to
await."""

import asyncio
import inspect
from typing import Any

import pytest

import agentspan.agents as sdk
from agentspan.agents import (
    AgentEvent,
    AgentHandle,
    AgentRuntime,
    ConfigurationError,
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
)
from tests.unit.sdk_server import SmallServer
from tests.unit.sdk_surface.conftest import AGENT, Paid


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


@pytest.mark.parametrize("wrong", ["support", None, AGENT.definition])
def test_what_is_no_agent_is_refused(wrong: Any, server: SmallServer) -> None:
    with AgentRuntime() as runtime:
        with pytest.raises(ConfigurationError, match=r"start\(\) takes an Agent, not"):
            runtime.start(wrong, "pay")
        with pytest.raises(ConfigurationError, match=r"serve\(\) takes an Agent, not"):
            runtime.serve(wrong)


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
