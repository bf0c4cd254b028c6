"""`LocalServer`: the real server for tests, as a process of its own on a free port and a folder of its own.

It calls no real model unless it is told to: the keys of providers are kept from it.
"""

import json
import os
import re
import signal
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Mapping, Sequence
from importlib.util import find_spec
from pathlib import Path
from typing import Final, Self

from agentspan.agents._agent import Agent
from agentspan.agents._errors import ServerNotInstalled, ServerUnavailable
from agentspan.agents._runtime import AgentRuntime
from agentspan.agents.testing._model_hub import ModelHub
from agentspan.agents.testing._scripted_model import ScriptedModel, Turn

NEEDS: Final = ("agentspan_standalone", "fastapi", "uvicorn", "chdb")
"""What only `agentspan[server]` brings."""

READY_WITHIN_S = 90.0
STOPS_WITHIN_S = 15.0
LOOK_S = 0.02
TAIL_BYTES = 3000

_OF_PROVIDERS: Final = re.compile(r"(ANTHROPIC|OPENAI|AWS|GOOGLE|AZURE|VERTEX|BEDROCK)_|.*_API_KEY$")


class LocalServer:
    """`with LocalServer(folder) as server:` starts it and stops it; its data stay in the folder.

    Args:
        folder: An empty folder, or the one of an earlier server, whose runs go on.
        real_models: Whether agents may call their providers, with the keys in this process's environment.
        environment: More settings, as `AGENTSPAN_LEASE_S`.
    """

    def __init__(
        self, folder: str | Path, *, real_models: bool = False, environment: Mapping[str, str] | None = None
    ) -> None:
        self.folder = Path(folder)
        self.log = self.folder / "server.log"
        self._real_models = real_models
        self._settings = dict(environment or {})
        self._hub: ModelHub | None = None
        self._process: subprocess.Popen[bytes] | None = None
        self._url = ""

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(self, *of_the_block: object) -> None:
        self.stop()

    @property
    def url(self) -> str:
        """Where it answers. Raises ServerUnavailable when it does not run."""
        if self._process is None:
            raise ServerUnavailable(
                f"the test server of {str(self.folder)!r} does not run; write `with LocalServer(folder) as server:`, "
                "or call its start()"
            )
        return self._url

    def runtime(self) -> AgentRuntime:
        """A runtime that talks to it: a context manager."""
        return AgentRuntime(server_url=self.url)

    def scripted(self, turns: Sequence[Turn], name: str | None = None) -> ScriptedModel:
        """A model that replies with these turns: `runtime.start(model.plays(agent), ...)`."""
        hub = self._open_hub()
        return hub.add(ScriptedModel(name or f"model-{len(hub.names) + 1}", turns))

    def plays(self, agent: Agent, turns: Sequence[Turn]) -> Agent:
        """The agent with a model that replies with these turns, named after it."""
        return self.scripted(turns, agent.name).plays(agent)

    def start(self) -> None:
        """Start it, and return when it takes work. Raises ServerNotInstalled, or ServerUnavailable with its log."""
        missing = [name for name in NEEDS if find_spec(name) is None]
        if missing:
            raise ServerNotInstalled(
                f"the real server cannot be started here: {', '.join(missing)} is missing; "
                "pip install 'agentspan[server]', or test with mock_run, which needs no server"
            )
        self.folder.mkdir(parents=True, exist_ok=True)
        port = self._url.rpartition(":")[2] or "0"
        command = [sys.executable, "-m", "agentspan_standalone", "start", "--data", str(self._data), "--port", port]
        self._standing.unlink(missing_ok=True)
        with self.log.open("ab") as log:
            self._process = subprocess.Popen(command, env=self.environment(), stdout=log, stderr=log)
        try:
            self._url = self._await_ready(self._process)
        except BaseException:
            self.kill()
            raise

    def environment(self) -> dict[str, str]:
        """The variables that it runs with."""
        given = {name: value for name, value in os.environ.items() if _is_kept(name)}
        if not self._real_models:
            given = {name: value for name, value in given.items() if not _OF_PROVIDERS.match(name)}
        return {**given, "AGENTSPAN_SCRIPTED_MODEL_URL": self._open_hub().url, **self._settings}

    def stop(self) -> None:
        """End it as an operator does, and the scripted models with it."""
        if self._process is not None:
            self._process.send_signal(signal.SIGTERM)
            try:
                self._process.wait(STOPS_WITHIN_S)
            except subprocess.TimeoutExpired:
                self._process.kill()
                self._process.wait()
            self._process = None
        if self._hub is not None:
            self._hub.close()
            self._hub = None

    def kill(self) -> None:
        """End it as a crash does; `start` brings it back on its folder and port."""
        if self._process is not None:
            self._process.kill()
            self._process.wait()
            self._process = None

    @property
    def _data(self) -> Path:
        return self.folder / "data"

    @property
    def _standing(self) -> Path:
        return self._data / "server.json"

    def _open_hub(self) -> ModelHub:
        if self._hub is None:
            self._hub = ModelHub()
        return self._hub

    def _await_ready(self, process: "subprocess.Popen[bytes]") -> str:
        deadline = time.monotonic() + READY_WITHIN_S
        while time.monotonic() < deadline:
            if process.poll() is not None:
                raise ServerUnavailable(f"the server ended with exit code {process.returncode}: {self._tail()}")
            if (url := self._standing_url()) and _is_ready(url):
                return url
            time.sleep(LOOK_S)  # another process's first answer and its end at once: nothing portable waits for both
        raise ServerUnavailable(f"the server took no work within {READY_WITHIN_S:g} s: {self._tail()}")

    def _standing_url(self) -> str | None:
        try:
            return str(json.loads(self._standing.read_text())["url"])
        except (OSError, ValueError):
            return None

    def _tail(self) -> str:
        return self.log.read_bytes()[-TAIL_BYTES:].decode(errors="replace").strip()


def _is_ready(url: str) -> bool:
    try:
        with urllib.request.urlopen(f"{url}/readyz", timeout=5) as response:
            return bool(response.status == 200)
    except (urllib.error.URLError, OSError):
        return False


def _is_kept(name: str) -> bool:
    """The settings of another server are not this one's; where recorded turns are is for whoever plays them."""
    return not name.startswith("AGENTSPAN_") or name == "AGENTSPAN_REPLAY_DIR"
