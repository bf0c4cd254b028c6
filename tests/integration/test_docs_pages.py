"""Whole pages, run from top to bottom as a reader would: their Python in one process, their commands in a shell.

The server is the real one; a scripted model stands in for the one that the pages name. `exec-a1b2c3` on a page is
the run that asked its model last.
"""

import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from agentspan.agents import Agent, AgentRuntime, shutdown
from agentspan.agents.testing import LocalServer, ScriptedModel
from tests.support.docs import ROOT, Block, blocks
from tests.support.docs_pages import EXECUTED, MODEL, NAMES, SHELL, reply

WITHIN_S = 60.0
UP = re.compile(rb"serving |agent respond ")


class Reader:
    """Somebody who does what a page says, in a folder of their own."""

    def __init__(self, folder: Path, server: LocalServer, model: ScriptedModel) -> None:
        self.folder = folder
        self.server = server
        self.model = model
        self.names: dict[str, Any] = {"__name__": "page"}
        self._open: list[subprocess.Popen[bytes]] = []

    def follow(self, page: Path) -> None:
        """Every block of the page that is not tested elsewhere."""
        exec(NAMES.get(page.name, ""), self.names)
        try:
            for block in blocks(page):
                if not {"file", "tested", "shown"} & block.marks.keys():
                    self._do(block, shell=page in SHELL)
        finally:
            self._close()

    def _do(self, block: Block, *, shell: bool) -> None:
        if block.language == "python":
            text = block.text.replace(MODEL, f"scripted/{self.model.name}")
            if name := block.marks.get("save as"):
                (self.folder / name).write_text(text)
            # blank lines in front, so that a traceback names the page's line
            exec(compile("\n" * (block.line - 1) + text, str(block.page), "exec"), self.names)
        elif name := block.marks.get("save as"):
            (self.folder / name).write_text(block.text)
        elif block.language in ("sh", "console") and shell:
            self._type(block)

    def _type(self, block: Block) -> None:
        text = block.text
        if block.language == "console":
            text = "\n".join(re.findall(r"^\$ ((?:.*\\\n)*.*)$", text, re.MULTILINE))
        text = text.replace("localhost:6767", self.server.url.removeprefix("http://"))
        if "exec-a1b2c3" in text:
            text = text.replace("exec-a1b2c3", self.model.asked[-1].execution_id)
        command = ["bash", "-euo", "pipefail", "-c", text]
        if "until stopped" in block.marks:
            self._open.append(self._started(command, block))
        else:
            done = subprocess.run(
                command, cwd=self.folder, env=self._environment(), capture_output=True, timeout=WITHIN_S
            )
            assert done.returncode == 0, f"{block}\n{text}\n{done.stdout.decode()}\n{done.stderr.decode()}"

    def _started(self, command: list[str], block: Block) -> subprocess.Popen[bytes]:
        log = self.folder / f"line-{block.line}.log"
        with log.open("wb") as output:
            process = subprocess.Popen(
                command, cwd=self.folder, env=self._environment(), stdout=output, stderr=output, start_new_session=True
            )
        eventually(lambda: bool(UP.search(log.read_bytes())) or process.poll() is not None)
        assert UP.search(log.read_bytes()), f"{block}: {log.read_text()}"
        return process

    def _environment(self) -> dict[str, str]:
        kept = {name: value for name, value in os.environ.items() if not name.startswith("AGENTSPAN_")}
        path = f"{Path(sys.executable).parent}:{kept.get('PATH', '')}"
        return {**kept, "PATH": path, "AGENTSPAN_SERVER_URL": self.server.url, "PYTHONPATH": str(ROOT)}

    def _close(self) -> None:
        for process in self._open:
            if process.poll() is None:
                os.killpg(process.pid, signal.SIGINT)
            assert process.wait(WITHIN_S) in (0, 130, -signal.SIGINT)


def eventually(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + WITHIN_S
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.05)


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
