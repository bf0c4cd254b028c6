"""Whole programs that use the SDK, each a process of its own: they end when they are over, and say nothing besides.

Apart from the package's other tests, which end within this process.
"""

import os
import signal
import subprocess
import sys
import textwrap
import time
from collections.abc import Iterator

import pytest

from tests.unit.sdk_core import Reply
from tests.unit.sdk_server import SmallServer

ENDS_WITHIN_S = 60.0
"""Of a program that hangs there is no end; a slow machine may take its time."""

PROGRAM = """
    import sys, threading, time
    from agentspan.agents import Agent, AgentHandle, AgentRuntime, start, tool

    @tool
    def look_up(email: str) -> dict:
        "Find a customer."
        return {"id": email}

    @tool(approval_required=True)
    def refund(amount_usd: float) -> dict:
        "Pay back."
        return {"paid": amount_usd}

    @tool
    def stuck() -> None:
        "Never return."
        threading.Event().wait()

    agent = Agent("support", "test/model", tools=[look_up, refund, stuck])
"""

HANDLE_TICKET = """
    handle = start(agent, "refund me")
    for event in handle.stream():
        if event.type == "waiting":
            break
    print(handle.execution_id)
"""


def program(server: SmallServer, body: str) -> subprocess.Popen[str]:
    code = textwrap.dedent(PROGRAM) + textwrap.dedent(body)
    environ = {
        **os.environ,
        "AGENTSPAN_SERVER_URL": server.url.replace("127.0.0.1", "localhost"),
        "PYTHONWARNINGS": "error",
    }
    pipe = subprocess.PIPE
    return subprocess.Popen([sys.executable, "-c", code], stdout=pipe, stderr=pipe, text=True, env=environ)


@pytest.fixture
def server() -> Iterator[SmallServer]:
    script: list[Reply] = [("", [("look_up", {"email": "a"})]), ("", [("refund", {"amount_usd": 1})]), ("ok", [])]
    server = SmallServer(lambda turn: script[turn])
    yield server
    server.close()


def test_the_program_that_breaks_at_waiting_ends_at_once_and_cleanly(server: SmallServer) -> None:
    running = program(server, HANDLE_TICKET)
    out, err = running.communicate(timeout=ENDS_WITHIN_S)
    assert (running.returncode, err) == (0, "")
    assert out.startswith("exec-")
    assert len(server.goodbyes) == 1


def test_a_program_that_ends_right_after_start_does_not_hang(server: SmallServer) -> None:
    began = time.monotonic()
    running = program(server, 'print(start(agent, "x").execution_id)')
    _, err = running.communicate(timeout=ENDS_WITHIN_S)
    assert (running.returncode, err) == (0, "")
    assert time.monotonic() - began < ENDS_WITHIN_S / 2


def test_a_tool_that_never_returns_does_not_keep_its_program(server: SmallServer) -> None:
    server.model = lambda turn: ("", [("stuck", {})])
    body = """
    handle = start(agent, "x")
    for event in handle.stream():
        if event.type == "tool_call":
            break
    """
    running = program(server, body)
    _, err = running.communicate(timeout=ENDS_WITHIN_S)
    assert (running.returncode, err) == (0, "")


def test_an_error_in_the_program_is_its_exit_code(server: SmallServer) -> None:
    running = program(server, HANDLE_TICKET + "\n    sys.exit(3)")
    running.communicate(timeout=ENDS_WITHIN_S)
    assert running.returncode == 3


def test_a_serving_program_ends_cleanly_when_it_is_terminated(server: SmallServer) -> None:
    body = """
    with AgentRuntime() as runtime:
        runtime.serve(agent)
    print("bye")
    """
    running = program(server, body)
    server.wait(lambda: bool(server.followed))
    running.send_signal(signal.SIGTERM)
    out, err = running.communicate(timeout=ENDS_WITHIN_S)
    assert (running.returncode, out, err) == (0, "bye\n", "")
    assert len(server.goodbyes) == 1


def test_a_forked_child_has_a_runtime_of_its_own(server: SmallServer) -> None:
    body = """
    import os
    first = start(agent, "x")
    child = os.fork()
    if child == 0:
        second = start(agent, "y")
        sys.exit(0 if second.execution_id != first.execution_id else 1)
    _, status = os.waitpid(child, 0)
    sys.exit(os.waitstatus_to_exitcode(status))
    """
    running = program(server, body)
    _, err = running.communicate(timeout=ENDS_WITHIN_S)
    assert (running.returncode, err) == (0, "")
