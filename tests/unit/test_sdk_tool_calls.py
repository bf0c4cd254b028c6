"""What one call of a tool comes to: its context, whatever code raises, arguments that do not fit, time and grants."""

import asyncio
import logging
import threading
import traceback
from collections.abc import AsyncIterator, Iterator
from datetime import datetime
from typing import Any

import pytest

from agentspan.agents import AgentspanError, Tool, ToolContext, current_context, tool
from agentspan.agents._serialise import Raised, Returned
from agentspan.agents.worker import Outcome, TooLate, ToolRunner, ToolThreads
from tests.unit.called_tools import run, task_for


def test_the_context_reaches_threads_loops_and_generators() -> None:
    @tool
    def in_thread() -> list[str]:
        """Run in a thread."""
        return [current_context().idempotency_key, threading.current_thread().name]

    @tool
    async def on_loop() -> str:
        """Run on the loop."""
        await asyncio.sleep(0)
        return str(current_context().metadata["ticket"])

    @tool
    def lazily() -> Iterator[int]:
        """Run while it is iterated."""
        yield current_context().attempt

    @tool
    async def slowly() -> AsyncIterator[int]:
        """Run while it is iterated, on the loop."""
        yield current_context().attempt

    assert run(in_thread, {}) == Returned(["exec-1.1-0", "agentspan-tool"], 31)
    assert run(on_loop, {}) == Returned("t", 3)
    assert run(lazily, {}) == Returned([1], 3)
    assert run(slowly, {}) == Returned([1], 3)
    with pytest.raises(AgentspanError, match="outside of a tool call"):
        current_context()


@pytest.mark.parametrize("is_async", [False, True])
def test_the_log_of_what_a_tool_raised_begins_in_its_own_code(caplog: pytest.LogCaptureFixture, is_async: bool) -> None:
    def fail() -> None:
        raise LookupError("no such customer")

    @tool(name="find")
    def in_thread() -> None:
        fail()

    @tool(name="find")
    async def on_loop() -> None:
        fail()

    run(on_loop if is_async else in_thread, {})
    [record] = caplog.records
    assert record.exc_info is not None
    frames = traceback.extract_tb(record.exc_info[2])
    assert [frame.name for frame in frames] == ["on_loop" if is_async else "in_thread", "fail"]


def test_whatever_a_tool_raises_is_an_error_for_the_model(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.CRITICAL, logger="agentspan")  # a parallel run can't carry a report with a lone surrogate

    def failing(error: BaseException, *, on_loop: bool) -> Tool[..., Any]:
        @tool(name="fail")
        def in_thread() -> None:
            raise error

        @tool(name="fail")
        async def asynchronously() -> None:
            raise error

        return asynchronously if on_loop else in_thread

    for on_loop in (False, True):
        for error in (ValueError("bad \ud800"), SystemExit(3), asyncio.CancelledError("mine"), KeyError("k")):
            outcome = run(failing(error, on_loop=on_loop), {})
            assert isinstance(outcome, Raised), (error, on_loop)
            assert outcome.error.kind == "exception"
            assert outcome.error.message.startswith(type(error).__name__)


def test_a_generator_that_raises_is_the_tools_own_error() -> None:
    @tool
    def broken() -> Iterator[int]:
        """Break."""
        yield 1
        raise KeyError("gone")

    outcome = run(broken, {})
    assert isinstance(outcome, Raised)
    assert outcome.error.message == "KeyError: 'gone'"


def test_arguments_that_do_not_fit_the_annotations_run_nothing() -> None:
    @tool
    def strict(when: datetime) -> None:
        """Never run."""
        raise AssertionError

    outcome = run(strict, {"when": "yesterday"})
    assert isinstance(outcome, Raised)
    assert outcome.error.kind == "invalid_args"
    assert "when" in outcome.error.message
    assert isinstance(run(strict, {}, admitted=False), Raised)


def test_a_grant_that_is_over_runs_nothing() -> None:
    @tool
    def sync() -> None:
        """Never run."""
        raise AssertionError

    @tool
    async def asynchronous() -> None:
        """Never run."""
        raise AssertionError

    assert run(sync, {}, admitted=False) == TooLate()
    assert run(asynchronous, {}, admitted=False) == TooLate()


def test_an_idempotent_tool_that_takes_too_long_is_a_timeout() -> None:
    release = threading.Event()

    @tool
    def stuck() -> None:
        """Never return."""
        release.wait(10)

    @tool
    async def sleepy() -> None:
        """Never return."""
        await asyncio.Event().wait()

    for made, says in ((stuck, "its code may still be running"), (sleepy, "it was cancelled")):
        outcome = run(made, {}, timeout_s=0.02)
        assert isinstance(outcome, Raised)
        assert outcome.error.kind == "timeout"
        assert "within 0.02 s" in outcome.error.message
        assert says in outcome.error.message
    release.set()


def test_a_once_tool_is_never_cut_off_here() -> None:
    @tool(effects="once")
    async def slow() -> str:
        """Take longer than allowed: the core says what that means."""
        await asyncio.sleep(0.05)
        return "done"

    assert run(slow, {}, effects="once", timeout_s=0.01) == Returned("done", 6)


def test_a_timeout_that_the_tool_raises_is_its_own() -> None:
    @tool
    async def late() -> None:
        """Raise a TimeoutError."""
        raise TimeoutError("upstream")

    outcome = run(late, {}, timeout_s=5)
    assert isinstance(outcome, Raised)
    assert (outcome.error.kind, outcome.error.message) == ("exception", "TimeoutError: upstream")


def test_a_tool_that_is_not_here() -> None:
    @tool
    def here() -> None:
        """Be here."""

    runner = ToolRunner(lambda agent, name: None, ToolThreads())
    outcome = asyncio.run(runner(task_for("gone", {}), lambda: True))
    assert isinstance(outcome, Raised)
    assert outcome.error.kind == "unknown_tool"
    here()


def test_state_is_shared_by_the_calls_of_one_execution() -> None:
    @tool
    def counting(ctx: ToolContext) -> int:
        """Count."""
        ctx.state["n"] = ctx.state.get("n", 0) + 1
        return int(ctx.state["n"])

    threads = ToolThreads()
    runner = ToolRunner(lambda agent, name: counting, threads)

    async def calls() -> list[Outcome]:
        other = task_for("counting", {}).model_copy(update={"execution_id": "exec-2"})
        return [await runner(t, lambda: True) for t in (task_for("counting", {}), task_for("counting", {}), other)]

    assert asyncio.run(calls()) == [Returned(1, 1), Returned(2, 1), Returned(1, 1)]
    threads.close()


def test_threads_are_used_again() -> None:
    threads = ToolThreads()
    names = {threads.submit(lambda: threading.get_ident()).result(5) for _ in range(20)}
    assert len(names) <= 2
    threads.close()
