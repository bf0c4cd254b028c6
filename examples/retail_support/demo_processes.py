"""The processes of the demo: one server, and a worker for each agent, as a user would start them in terminals of
their own.

Apart because it alone starts and ends anything. Each process has its own group, so that Ctrl-C reaches the demo first,
which then ends them all; what they print goes to files in the demo's folder.
"""

from __future__ import annotations

import asyncio
import json
import os
import socket
import sys
import time
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from types import TracebackType
from typing import Final, Self

import aiohttp

from .demo_errors import DemoError

READY_WITHIN_S: Final = 60.0
ENDS_WITHIN_S: Final = 10.0
POLL_S: Final = 0.05
LOG_TAIL_CHARS: Final = 1500
USUAL_PORT: Final = 6767


class Processes:
    """Started processes by name; leaving the context ends those that still run."""

    def __init__(self, logs: Path, environment: Mapping[str, str]) -> None:
        self._logs = logs
        self._environment = {**os.environ, **environment}
        self._running: dict[str, asyncio.subprocess.Process] = {}

    async def start(self, name: str, module: str, *arguments: str) -> None:
        """Run `python -m module arguments` until it is killed or the context is left."""
        with (self._logs / f"{name}.log").open("ab") as log:
            self._running[name] = await asyncio.create_subprocess_exec(
                sys.executable, "-m", module, *arguments,
                stdin=asyncio.subprocess.DEVNULL, stdout=log, stderr=log, env=self._environment, process_group=0,
            )  # fmt: skip

    async def kill(self, name: str) -> None:
        """SIGKILL: it gets no chance to write, answer or say good-bye."""
        process = self._running.pop(name)
        process.kill()
        await process.wait()

    def check(self) -> None:
        """Raises DemoError when one has ended by itself, with the last that it said."""
        for name, process in self._running.items():
            if process.returncode is not None:
                log = self._logs / f"{name}.log"
                said = log.read_text(errors="replace")[-LOG_TAIL_CHARS:].strip()
                raise DemoError(f"the {name} ended with exit code {process.returncode}; the end of {log}:\n{said}")

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        for process in reversed(self._running.values()):  # workers before the server
            if process.returncode is None:
                process.terminate()
                with suppress(TimeoutError):
                    await asyncio.wait_for(process.wait(), ENDS_WITHIN_S)
            if process.returncode is None:
                process.kill()
                await process.wait()


class Server:
    """The demo's server: one data folder, one port, any number of lives."""

    def __init__(self, processes: Processes, session: aiohttp.ClientSession, data: Path, port: int) -> None:
        self.url = f"http://localhost:{port}"
        self._processes = processes
        self._session = session
        self._arguments = ("start", "--data", str(data), "--port", str(port))

    async def start(self) -> float:
        """Start it; the seconds until it takes work."""
        began = time.monotonic()
        await self._processes.start("server", "agentspan_standalone", *self._arguments)
        while not await self._is_ready():
            self._processes.check()
            if time.monotonic() - began > READY_WITHIN_S:
                raise DemoError(f"the server at {self.url} takes no work after {READY_WITHIN_S:g} s")
            await asyncio.sleep(POLL_S)
        return time.monotonic() - began

    async def kill(self) -> None:
        """End it as a power cut would."""
        await self._processes.kill("server")

    async def _is_ready(self) -> bool:
        try:
            async with self._session.get(f"{self.url}/readyz") as response:
                return response.status == 200
        except (aiohttp.ClientError, TimeoutError):
            return False


def choose_port() -> int:
    """The usual port when it is free, else any free one."""
    with suppress(OSError), socket.create_server(("127.0.0.1", USUAL_PORT)):
        return USUAL_PORT
    with socket.create_server(("127.0.0.1", 0)) as free:
        port: int = free.getsockname()[1]
        return port


def is_served(data: Path) -> bool:
    """Whether a server process runs on the data folder."""
    try:
        pid = int(json.loads((data / "server.json").read_text())["pid"])
        os.kill(pid, 0)
    except (OSError, ValueError, KeyError):
        return False
    return True
