"""Whole pages, run from top to bottom as a reader would: their Python in one process, their commands in a shell.

The server is the real one; a scripted model stands in for the one that the pages name. `exec-a1b2c3` on a page is
the run that asked its model last.
"""

import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from agentspan.agents import Agent, AgentRuntime, shutdown
from agentspan.agents.testing import LocalServer
from tests.support.docs import ROOT, blocks
from tests.support.docs_pages import EXECUTED, reply
from tests.support.reader import Reader


@pytest.fixture
def reader(
    tmp_path: Path, agentspan_server: LocalServer, agentspan_scripted: Any, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Reader]:
    model = agentspan_scripted([reply] * 12)
    monkeypatch.setenv("AGENTSPAN_SERVER_URL", agentspan_server.url)
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(tmp_path)
    before = set(sys.modules)
    real = AgentRuntime.serve

    def serve(self: AgentRuntime, *agents: Agent, blocking: bool = True) -> None:
        real(self, *agents, blocking=False)  # a reader would press Ctrl-C

    monkeypatch.setattr(AgentRuntime, "serve", serve)
    yield Reader(tmp_path, agentspan_server, model)
    shutdown()
    for name in set(sys.modules) - before:
        if str(getattr(sys.modules[name], "__file__", "")).startswith(str(tmp_path)):
            del sys.modules[name]


@pytest.mark.parametrize("page", EXECUTED, ids=lambda page: str(page.relative_to(ROOT)))
def test_a_page_does_what_it_says(reader: Reader, page: Path) -> None:
    reader.follow(page)


def test_the_story_of_a_run(capsys: pytest.CaptureFixture[str]) -> None:
    page = ROOT / "docs" / "concepts.md"
    program, shown = (
        next(block.text for block in blocks(page) if block.language == language) for language in ("python", "text")
    )
    exec(compile(program, str(page), "exec"), {})
    assert capsys.readouterr().out == shown
