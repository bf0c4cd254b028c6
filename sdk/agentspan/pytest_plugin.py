"""What pytest learns from an installed `agentspan`: a server, a scripted model, and recordings of real runs.

    def test_refund(agentspan_runtime, agentspan_scripted):
        model = agentspan_scripted([MockEvent.tool_call("refund", {"amount_usd": 9.0}), "Refunded."])
        handle = agentspan_runtime.start(model.plays(agent), "Refund me")

pytest imports this module whenever it runs, so it imports nothing of ours before a test asks for a fixture.
"""

from collections.abc import Iterator
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from agentspan.agents import AgentRuntime
    from agentspan.agents.testing import LocalServer, Replayer
    from agentspan.agents.testing._fixtures import MakeModel

RECORD = "--agentspan-record"


def pytest_addoption(parser: pytest.Parser) -> None:
    """The option that makes recordings anew."""
    group = parser.getgroup("agentspan", "durable agents")
    group.addoption(
        RECORD,
        action="store_true",
        help="run what agentspan_replay replays for real, with the agents' own models, and write the recordings anew",
    )


@pytest.fixture(scope="session")
def agentspan_server(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> "Iterator[LocalServer]":
    """The real server on a free port and a temporary folder, one for the whole session.

    It reaches no model provider, except with `--agentspan-record`.
    """
    from agentspan.agents.testing import LocalServer
    from agentspan.agents.testing._fixtures import started

    recording = bool(request.config.getoption(RECORD))
    server = LocalServer(tmp_path_factory.mktemp("agentspan"), real_models=recording)
    with started(server):
        yield server


@pytest.fixture
def agentspan_runtime(agentspan_server: "LocalServer") -> "Iterator[AgentRuntime]":
    """A runtime on `agentspan_server`, closed after the test."""
    with agentspan_server.runtime() as runtime:
        yield runtime


@pytest.fixture
def agentspan_scripted(agentspan_server: "LocalServer") -> "MakeModel":
    """Makes models that say what the test says: `agentspan_scripted(turns, name=None)` is a ScriptedModel."""
    return agentspan_server.scripted


@pytest.fixture
def agentspan_replay(request: pytest.FixtureRequest) -> "Replayer":
    """Replays the recording of this test: `agentspan_replay(agent, prompt)` is the run's result.

    It lies in `recordings/<test file>/<test>.json` beside the test's file. With `--agentspan-record` the run happens
    for real, on `agentspan_server`, and is written there.
    """
    from agentspan.agents.testing._fixtures import replayer

    return replayer(request, recording=bool(request.config.getoption(RECORD)))
