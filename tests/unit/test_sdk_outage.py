"""A server that goes away under a program that follows a run and serves its tools: one line says so, and one that it is
back."""

import logging
import threading
from collections.abc import Iterator

import pytest

from agentspan.agents import Agent, AgentRuntime, _streams, tool
from agentspan.agents._outage import Outage
from agentspan.agents.worker import _worker
from tests.unit.sdk_core import Reply
from tests.unit.sdk_server import SmallServer


@tool(approval_required=True)
def refund(amount_usd: float) -> dict[str, float]:
    """Pay back."""
    return {"paid": amount_usd}


AGENT = Agent("support", "test/model", tools=[refund])
SCRIPT: list[Reply] = [("", [("refund", {"amount_usd": 1})]), ("paid", [])]


class Noticed(logging.Handler):
    """How often the worker and the stream of events noticed that the server is away, aloud or not."""

    def __init__(self) -> None:
        super().__init__()
        self.warnings: list[str] = []
        self.by_worker, self.by_stream, self.back = threading.Event(), threading.Event(), threading.Event()

    def emit(self, record: logging.LogRecord) -> None:
        said = record.getMessage()
        if record.levelno >= logging.WARNING:
            self.warnings.append(said)
        seen = {"no calls": self.by_worker, "no events": self.by_stream, "the server": self.back}
        for opening, event in seen.items():
            if said.startswith(opening):
                event.set()


@pytest.fixture
def server() -> Iterator[SmallServer]:
    server = SmallServer(lambda turn: SCRIPT[turn])
    yield server
    server.close()


@pytest.fixture
def noticed(monkeypatch: pytest.MonkeyPatch) -> Iterator[Noticed]:
    monkeypatch.setattr(_streams, "TOLD_AFTER_S", 0.1)
    monkeypatch.setattr(_worker, "TOLD_AFTER", 2)
    handler, logger = Noticed(), logging.getLogger("agentspan.agents")
    level = logger.level
    logger.setLevel(logging.INFO)
    logger.addHandler(handler)
    yield handler
    logger.removeHandler(handler)
    logger.setLevel(level)


def test_a_program_that_follows_and_serves_says_once_that_the_server_is_away(
    server: SmallServer, noticed: Noticed
) -> None:
    with AgentRuntime(server.url) as runtime:
        handle = runtime.start(AGENT, "pay")
        events = iter(handle.stream())
        while next(events).type != "waiting":
            pass
        following = threading.Thread(target=lambda: next(events, None))
        following.start()
        server.stop()
        assert noticed.by_worker.wait(20)
        assert noticed.by_stream.wait(20)
        assert len(noticed.warnings) == 1
        server.start()
        assert noticed.back.wait(20)
        handle.cancel()  # which is heard by who follows, and by then both are back
        following.join(20)
        assert len(noticed.warnings) == 2


def test_each_outage_is_told_anew() -> None:
    outage = Outage()
    assert [outage.ends(), outage.begins(), outage.begins()] == [False, True, False]
    assert [outage.ends(), outage.ends(), outage.begins()] == [True, False, True]
