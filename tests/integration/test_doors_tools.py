"""What comes back from tools and models through the worker's door: whatever it is, the model reads why, and goes on."""

import threading
from collections.abc import Iterator
from typing import Any

import pytest

from agentspan.agents import Agent, AgentRuntime, Tool, tool
from tests.support.server import Json, Server, turn

NEVER = threading.Event()
"""Set at the end, so that no thread outlives the tests."""


@tool
def returns_a_lock() -> Any:
    """Return what is no JSON."""
    return {"lock": threading.Lock()}


@tool
def returns_too_much() -> str:
    """Return more than a result may have."""
    return "x" * (256 * 1024 + 1)


@tool
def raises(text: str) -> str:
    """Raise."""
    raise LookupError(text)


@tool
def exits() -> str:
    """Try to end the worker."""
    raise SystemExit(3)


@tool(timeout_s=0.3)
def never_returns() -> str:
    """Block for ever."""
    NEVER.wait()
    return "late"


@tool(approval_required=True, timeout_s=0.1)
def never_returns_from_a_refund() -> str:
    """Block for ever, under a grant."""
    NEVER.wait()
    return "late"


TOOLS: list[Tool[..., Any]] = [
    returns_a_lock,
    returns_too_much,
    raises,
    exits,
    never_returns,
    never_returns_from_a_refund,
]
agent = Agent(name="clumsy", model="replay/shop", tools=TOOLS)


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    with Server(tmp_path_factory.mktemp("tools")) as running, AgentRuntime(running.url) as runtime:
        runtime.serve(agent, blocking=False)
        yield running
        NEVER.set()


@pytest.mark.parametrize(
    ("name", "args", "kind", "says"),
    [
        ("returns_a_lock", {}, "unserialisable_result", "'returns_a_lock'"),
        ("returns_too_much", {}, "result_too_large", "262144"),
        ("raises", {"text": "no such customer"}, "exception", "LookupError: no such customer"),
        ("exits", {}, "exception", "SystemExit"),
        ("never_returns", {}, "timeout", "0.3 s"),
        ("raises", {"text": 5}, "invalid_args", "text"),
        ("raises", {}, "invalid_args", "text"),
        ("rises", {}, "unknown_tool", "the tools are: exits"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_what_goes_wrong_in_a_tool_is_a_result_that_says_what_and_the_run_goes_on(
    server: Server, name: str, args: Json, kind: str, says: str
) -> None:
    recording = f"{name}-{len(args)}-{args.get('text', '')}"
    server.record(recording, turn("", (name, args)), turn("So be it."))
    execution_id = server.begin(recording, agent="clumsy")
    assert server.await_end(execution_id)["output"] == "So be it."
    result = server.await_event(execution_id, "tool_result")
    assert (result["ok"], result["error"]["kind"]) == (False, kind), result
    assert says in result["error"]["message"], result


def test_a_granted_tool_that_never_returns_is_in_doubt_after_its_time_and_says_what_to_do(server: Server) -> None:
    server.record("doubt", turn("", ("never_returns_from_a_refund", {})), turn("So be it."))
    execution_id = server.begin("doubt", agent="clumsy")
    server.await_event(execution_id, "waiting")
    assert server.decide(execution_id, "1-0").is_success
    doubt = server.await_event(execution_id, "in_doubt")
    assert "0.1 s" in doubt["reason"]
    assert "find out whether the call ran, then resolve it" in doubt["reason"]
    server.post(
        f"/executions/{execution_id}/calls/1-0/resolve", {"attempt": 1, "outcome": "failed", "error": "no trace of it"}
    )
    assert server.await_end(execution_id)["output"] == "So be it."


def test_a_recording_that_is_not_there_fails_the_run_and_names_the_file_to_make(server: Server) -> None:
    failed = server.await_end(server.begin("nowhere", agent="clumsy"))
    assert failed["type"] == "failed"
    assert "nowhere.json" in failed["error"]["message"]
    assert "put the file there" in failed["error"]["message"]
