"""A process of the tests' own that can be frozen and killed, and says what it does line by line."""

import asyncio
import contextlib
import os
import signal
import sys
from collections.abc import Callable
from types import TracebackType
from typing import Self

PATIENCE_S = 60.0


class Program:
    """`python -m module arguments…`; killed on leaving."""

    def __init__(self, module: str, *arguments: str) -> None:
        self._arguments = ("-m", module, *arguments)
        self.lines: list[str] = []

    async def __aenter__(self) -> Self:
        self._process = await asyncio.create_subprocess_exec(
            sys.executable, *self._arguments, stdout=asyncio.subprocess.PIPE
        )
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        with contextlib.suppress(ProcessLookupError):
            self._process.kill()
        await self.rest()

    def signal(self, number: signal.Signals) -> None:
        os.kill(self._process.pid, number)

    async def until(self, wanted: Callable[[str], bool]) -> str:
        """The next line that is wanted."""
        async with asyncio.timeout(PATIENCE_S):
            while line := await self._line():
                if wanted(line):
                    return line
        raise AssertionError(f"the program ended without it; it said {self.lines[-5:]!r}")

    async def rest(self) -> list[str]:
        """All that it said, once it has ended."""
        async with asyncio.timeout(PATIENCE_S):
            while await self._line():
                pass
            await self._process.wait()
        return self.lines

    async def _line(self) -> str:
        assert self._process.stdout is not None
        line = (await self._process.stdout.readline()).decode().rstrip("\n")
        if line:
            self.lines.append(line)
        return line
