"""What the pytest plugin's fixtures do once a test asks for one: apart, so that the plugin imports nothing of ours."""

import re
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Protocol

import pytest

from agentspan.agents._errors import ServerNotInstalled
from agentspan.agents._runtime import AgentRuntime
from agentspan.agents.testing._local_server import LocalServer
from agentspan.agents.testing._replayer import Replayer
from agentspan.agents.testing._scripted_model import ScriptedModel, Turn


class MakeModel(Protocol):
    """What the fixture `agentspan_scripted` is."""

    def __call__(self, turns: Sequence[Turn], name: str | None = None) -> ScriptedModel:
        """A model that replies with these turns."""
        ...


@contextmanager
def started(server: LocalServer) -> Iterator[LocalServer]:
    """The server while it runs; without its packages the test fails with a sentence instead of a traceback."""
    try:
        server.start()
    except ServerNotInstalled as error:
        pytest.fail(str(error), pytrace=False)
    try:
        yield server
    finally:
        server.stop()


def replayer(request: pytest.FixtureRequest, *, recording: bool) -> Replayer:
    """The recordings of a test: of its file and its name, with its parameters."""

    def live() -> AgentRuntime:
        runtime: AgentRuntime = request.getfixturevalue("agentspan_runtime")
        return runtime

    file, name = Path(request.path), re.sub(r"[^\w.\-]+", "-", request.node.name).strip("-")
    path = file.parent / "recordings" / file.stem / f"{name}.json"
    return Replayer(path, live if recording else None)
