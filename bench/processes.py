"""The processes under measurement: server, worker and driver, started as their users would.

Apart because it alone starts and ends anything. Each has its own group, so that Ctrl-C reaches the benchmark first,
which then ends them all; what they say goes to files in the run's folder.
"""

from __future__ import annotations

import asyncio
import os
import socket
import sys
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Final, Self

from .errors import BenchError

ENDS_WITHIN_S: Final = 20.0
LOG_TAIL_CHARS: Final = 2000
ROOT: Final = Path(__file__).resolve().parent.parent


@dataclass(frozen=True, slots=True)
class Started:
    """A running process, and where it says things."""

    name: str
    process: asyncio.subprocess.Process
    log: Path

    @property
    def pid(self) -> int:
        """Its id."""
        return self.process.pid

    def check(self) -> None:
        """Raises BenchError when it has ended by itself, with the last that it said."""
        if self.process.returncode is not None:
            said = self.log.read_text(errors="replace")[-LOG_TAIL_CHARS:].strip()
            raise BenchError(
                f"the {self.name} ended with exit code {self.process.returncode}; the end of its log:\n{said}"
            )

    async def kill(self) -> None:
        """SIGKILL: it gets no chance to write, answer or say good-bye."""
        with suppress(ProcessLookupError):
            self.process.kill()
        await self.process.wait()

    async def end(self) -> None:
        """As a supervisor ends it."""
        if self.process.returncode is None:
            with suppress(ProcessLookupError):
                self.process.terminate()
            with suppress(TimeoutError):
                await asyncio.wait_for(self.process.wait(), ENDS_WITHIN_S)
        await self.kill()


class Processes:
    """Starts processes with one environment; leaving the context ends those that still run, the last one first."""

    def __init__(self, logs: Path, environment: Mapping[str, str]) -> None:
        self._logs = logs
        self._environment = {**_inherited(), **environment}
        self._started: list[Started] = []

    async def start(self, name: str, module: str, *arguments: str, talks: bool = False) -> Started:
        """Run `python -m module arguments`. `talks`: its stdin and stdout are pipes."""
        log = self._logs / f"{name}.log"
        with log.open("ab") as output:
            process = await asyncio.create_subprocess_exec(
                sys.executable, "-m", module, *arguments,
                stdin=asyncio.subprocess.PIPE if talks else asyncio.subprocess.DEVNULL,
                stdout=asyncio.subprocess.PIPE if talks else output,
                stderr=output, env=self._environment, cwd=ROOT, process_group=0, limit=2**28,
            )  # fmt: skip
        started = Started(name, process, log)
        self._started.append(started)
        return started

    async def end(self, started: Started) -> None:
        """End one of them, as a supervisor does."""
        self._started.remove(started)
        await started.end()

    def check(self) -> None:
        """Raises BenchError when one that nobody killed has ended."""
        for each in self._started:
            if each.process.returncode != -9:
                each.check()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        for each in reversed(self._started):
            await each.end()


def free_port() -> int:
    """A port that nobody listens on now."""
    with socket.create_server(("127.0.0.1", 0)) as listening:
        port: int = listening.getsockname()[1]
        return port


def _inherited() -> dict[str, str]:
    ours = ("AGENTSPAN_", "ANTHROPIC_", "BENCH_")
    return {name: value for name, value in os.environ.items() if not name.startswith(ours)}
