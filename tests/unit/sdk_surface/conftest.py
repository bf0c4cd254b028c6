"""What every test of the SDK's surface has: a small server, and an agent whose refund waits for a person."""

from collections.abc import Iterator
from dataclasses import dataclass

import pytest

from agentspan.agents import Agent, AgentHandle, shutdown, tool
from tests.unit.sdk_core import Reply
from tests.unit.sdk_server import SmallServer


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
