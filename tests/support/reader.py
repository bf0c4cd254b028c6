"""Somebody who does what a page says: its Python in this process, its commands in a shell, against a real server.

`exec-a1b2c3` on a page is the run that asked its model last, or the one that is named.
"""

import os
import re
import signal
import subprocess
import sys
import urllib.error
import urllib.request
from collections.abc import Callable
from pathlib import Path
from typing import Any

from agentspan.agents.testing import LocalServer, ScriptedModel
from tests.support.docs import ROOT, Block, blocks
from tests.support.docs_pages import MODEL, NAMES, SHELL
from tests.support.eventually import eventually

WITHIN_S = 120.0
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
            self.close()

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
        if "until stopped" in block.marks:
            self.leave_running(block)
        else:
            self.enter(block)

    def enter(self, block: Block, run: str = "") -> str:
        """Type the block's commands, and wait for them: what they printed."""
        command = self._command(block, run)
        if self.model.asked:
            eventually(lambda: self._listed(self.model.asked[-1].execution_id), "history has the run")
        done = subprocess.run(command, cwd=self.folder, env=self._environment(), capture_output=True, timeout=WITHIN_S)
        printed = done.stdout.decode() + done.stderr.decode()
        assert done.returncode == int(block.marks.get("exits with", 0)), f"{block}\n{command[-1]}\n{printed}"
        return printed

    def leave_running(self, block: Block) -> Callable[[], str]:
        """Type a command that goes on, once it has said that it does; what is returned reads what it printed."""
        log = self.folder / f"line-{block.line}.log"
        with log.open("wb") as output:
            process = subprocess.Popen(
                self._command(block),
                cwd=self.folder,
                env=self._environment(),
                stdout=output,
                stderr=output,
                start_new_session=True,
            )
        self._open.append(process)
        eventually(lambda: bool(UP.search(log.read_bytes())) or process.poll() is not None, f"{block} goes on")
        assert UP.search(log.read_bytes()), f"{block}: {log.read_text()}"
        return log.read_text

    def _listed(self, execution_id: str) -> bool:
        """Whether history, which is a moment late, has the run: a reader types more slowly than that."""
        try:
            with urllib.request.urlopen(f"{self.server.url}/api/v1/executions?limit=100") as answer:
                return execution_id in answer.read().decode()
        except urllib.error.HTTPError:
            return False

    def _command(self, block: Block, run: str = "") -> list[str]:
        text = block.text
        if block.language == "console":
            text = "\n".join(re.findall(r"^\$ ((?:.*\\\n)*.*)$", text, re.MULTILINE))
        text = text.replace("localhost:6767", self.server.url.removeprefix("http://"))
        if "exec-a1b2c3" in text:
            text = text.replace("exec-a1b2c3", run or self.model.asked[-1].execution_id)
        return ["bash", "-euo", "pipefail", "-c", text.replace("$PWD", str(ROOT)).replace(".venv/bin/", "")]

    def _environment(self) -> dict[str, str]:
        kept = {name: value for name, value in os.environ.items() if not name.startswith("AGENTSPAN_")}
        path = f"{Path(sys.executable).parent}:{kept.get('PATH', '')}"
        ours = {"AGENTSPAN_SERVER_URL": self.server.url, "PYTHONPATH": str(ROOT)}
        return {**kept, "PATH": path, **ours, "SUPPORT_TRIAGE_DB": str(self.folder / "support.sqlite3")}

    def close(self) -> None:
        """Press Ctrl-C wherever something goes on."""
        for process in self._open:
            if process.poll() is None:
                os.killpg(process.pid, signal.SIGINT)
            assert process.wait(WITHIN_S) in (0, 130, -signal.SIGINT)
