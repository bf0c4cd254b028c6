"""Another program of a test, as a real process: what it prints is waited for, and it is killed as a crash would."""

import os
import selectors
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from types import TracebackType
from typing import Self

LINE_WITHIN_S = 120.0
ENDS_WITHIN_S = 60.0


class Program:
    """`with Program([...]) as program:`; its standard input is open until `end`, its errors go to the test's."""

    def __init__(self, arguments: Sequence[str], environment: Mapping[str, str]) -> None:
        self._process = subprocess.Popen(
            [sys.executable, *arguments], env=dict(environment), stdin=subprocess.PIPE, stdout=subprocess.PIPE
        )
        self._read = b""

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        if self._process.poll() is None:
            self.kill()
        for pipe in (self._process.stdin, self._process.stdout):
            if pipe is not None:
                pipe.close()

    def line(self, within_s: float = LINE_WITHIN_S) -> str:
        """The next line that it prints; empty when it ended."""
        assert self._process.stdout is not None
        deadline = time.monotonic() + within_s
        with selectors.DefaultSelector() as selector:
            selector.register(self._process.stdout, selectors.EVENT_READ)
            while b"\n" not in self._read:
                ready = selector.select(deadline - time.monotonic())
                assert ready, f"the program printed no line within {within_s} s; before: {self._read!r}"
                chunk = os.read(self._process.stdout.fileno(), 65536)
                if not chunk:
                    return ""
                self._read += chunk
        line, _, self._read = self._read.partition(b"\n")
        return line.decode()

    def lines(self) -> list[str]:
        """What it prints until its end."""
        found = []
        while line := self.line():
            found.append(line)
        return found

    def kill(self) -> None:
        """SIGKILL: nothing is said, nothing is flushed."""
        self._process.kill()
        self._process.wait(ENDS_WITHIN_S)

    def end(self) -> int:
        """Close its standard input and wait for its end; the exit code."""
        assert self._process.stdin is not None
        self._process.stdin.close()
        return self._process.wait(ENDS_WITHIN_S)
