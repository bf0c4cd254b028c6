"""Calls in doubt are resolved by whoever serves a tool that can find out what became of them."""

import asyncio
from collections.abc import Iterator
from datetime import timedelta
from typing import Any

import pytest

from agentspan.agents import Agent, AgentHandle, AgentRuntime, CallOutcome, ConfigurationError, ToolContext, tool
from agentspan.agents._client import Client
from agentspan.agents._http import Http
from agentspan.agents._reconcile import Reconciler
from agentspan.agents._tools import Tool
from agentspan.agents.worker import ToolThreads
from agentspan_schemas import commands as c
from tests.unit.sdk_core import Reply
from tests.unit.sdk_server import SmallServer

SCRIPT: list[Reply] = [("", [("refund", {"amount_usd": 10})]), ("paid", [])]
ASKED: list[tuple[float, str, dict[str, Any]]] = []
SAYS: list[Any] = []


def find_refund(amount_usd: float, ctx: ToolContext) -> Any:
    """Ask the payment provider."""
    ASKED.append((amount_usd, ctx.idempotency_key, dict(ctx.metadata)))
    said = SAYS.pop(0)
    if isinstance(said, Exception):
        raise said
    return said


@tool(approval_required=True, reconcile=find_refund)
def refund(amount_usd: float) -> dict[str, float]:
    """Pay back."""
    return {"paid": amount_usd}


AGENT = Agent("support", "test/model", tools=[refund])


@pytest.fixture
def server() -> Iterator[SmallServer]:
    ASKED.clear()
    SAYS.clear()
    server = SmallServer(lambda turn: SCRIPT[turn])
    yield server
    server.close()


def waiting(server: SmallServer) -> str:
    """A run whose refund waits for its approval."""
    idle = Agent("support", "test/model", tools=[refund])
    with AgentRuntime(server_url=server.url) as starter:
        handle = starter.start(idle, "pay", metadata={"ticket": "T-1"})
        next(event for event in handle.stream() if event.type == "waiting")
    return handle.execution_id


def in_doubt(server: SmallServer, waiting_run: str | None = None) -> str:
    """A run whose refund was granted to a worker that was then lost."""
    run = waiting_run or waiting(server)
    [record] = [record for record in server.records.values() if record.execution_id == run]
    common = {"by": "user:boss", "channel": "ui"}
    server.command(c.Decide, run, call_id="1-0", decision="approve", args_hash=record.args_hash, **common)
    server.command(c.Claim, run, call_id="1-0", attempt=1, claim_id="claim-x", worker="lost")
    server.ahead += timedelta(seconds=10)  # before that, the grant may still be on its way
    server.command(c.ReportLost, run, step="1-0", attempt=1, claim_id="claim-x")
    return run


def one_round(server: SmallServer, tools: tuple[Tool[..., Any], ...] = (refund,)) -> None:
    """Let a reconciler look once."""

    async def looking() -> None:
        threads, http = ToolThreads(), Http(server.url)
        looked = asyncio.Event()

        async def sleep(seconds: float) -> None:
            looked.set()
            await asyncio.Event().wait()

        served = [("support", one) for one in tools]
        running = asyncio.create_task(Reconciler(Client(http), lambda: served, threads, sleep=sleep).run())
        async with asyncio.timeout(10):
            await looked.wait()
        running.cancel()
        await asyncio.wait([running])
        threads.close()
        await http.close()

    asyncio.run(looking())


@pytest.mark.parametrize(
    ("said", "result", "types"),
    [
        (CallOutcome.succeeded({"paid": 10}, "found it"), {"paid": 10}, ["tool_result"]),
        (CallOutcome.failed("the card was refused"), None, ["tool_result"]),
        (CallOutcome.not_run("no refund has this key"), None, ["retry_scheduled"]),
    ],
)
def test_what_it_found_out_is_what_became_of_the_call(
    server: SmallServer, said: CallOutcome, result: Any, types: list[str]
) -> None:
    run = in_doubt(server)
    SAYS.append(said)
    one_round(server)
    assert [(10.0, f"{run}.1-0", {"ticket": "T-1"})] == ASKED
    after = server.events[run][next(i for i, e in enumerate(server.events[run]) if e.type == "in_doubt") + 1 :]
    assert [event.type for event in after][: len(types)] == types
    if types == ["tool_result"]:
        told = after[0]
        assert told.type == "tool_result"
        assert (told.value, told.resolved_by, told.reason) == (result, "user:test", said.reason)


@pytest.mark.parametrize("said", [None, RuntimeError("the provider is away"), "paid", CallOutcome.succeeded(object())])
def test_what_it_cannot_tell_stays_in_doubt_and_is_asked_again(server: SmallServer, said: Any) -> None:
    run = in_doubt(server)
    SAYS.append(said)
    one_round(server)
    assert server.events[run][-1].type == "in_doubt"
    SAYS.append(CallOutcome.succeeded({"paid": 10}))
    one_round(server)
    assert server.events[run][-1].type == "done"


def test_however_many_are_in_doubt_each_is_asked_about(server: SmallServer) -> None:
    runs = [in_doubt(server, run) for run in [waiting(server) for _ in range(3)]]
    server.page = 1
    SAYS.extend([None, RuntimeError("the provider is away"), CallOutcome.not_run("no refund has this key")])
    one_round(server)
    assert [key for _, key, _ in ASKED] == [f"{run}.1-0" for run in runs]
    assert [server.events[run][-1].type == "in_doubt" for run in runs] == [True, True, False]


def test_a_call_that_the_server_refuses_something_about_is_no_obstacle(server: SmallServer) -> None:
    gone, run = (in_doubt(server, run) for run in [waiting(server), waiting(server)])
    del server.states[gone]
    SAYS.append(CallOutcome.succeeded({"paid": 10}))
    one_round(server)
    assert server.events[run][-1].type == "done"


def test_whoever_serves_the_tool_asks_by_itself(server: SmallServer) -> None:
    run = in_doubt(server)
    SAYS.append(CallOutcome.succeeded({"paid": 10}))
    with AgentRuntime(server_url=server.url) as runtime:
        runtime.serve(AGENT, blocking=False)
        result = AgentHandle(run, runtime).join(timeout=10)
    assert [call.result for call in result.tool_calls] == [{"paid": 10}]


def other(amount: float) -> None:
    """Of other parameters."""


@pytest.mark.parametrize(
    ("options", "says"),
    [
        ({"reconcile": find_refund}, "reconcile needs effects='once'"),
        ({"reconcile": other, "effects": "once"}, r"reconcile takes \['amount'\], the tool \['amount_usd'\]"),
    ],
)
def test_a_reconcile_that_cannot_work_is_refused(options: dict[str, Any], says: str) -> None:
    with pytest.raises(ConfigurationError, match=says):
        _ = tool(**options)(refund.function).reconciler
