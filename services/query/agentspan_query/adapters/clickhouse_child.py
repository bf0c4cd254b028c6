"""The embedded ClickHouse: keeps one child process alive that answers ClickHouse's HTTP interface over chDB.

The parent owns the listening socket and hands it to each child, so that the address never changes and nobody else can
sit on it: a client that asks while the child restarts waits in the socket's queue.
"""

import asyncio
import contextlib
import logging
import secrets
import shutil
import socket
import sys
from asyncio.subprocess import PIPE
from collections.abc import Awaitable, Callable, Sequence
from pathlib import Path
from typing import Protocol

from agentspan_query.adapters.chdb_server import READY, UNOPENED
from agentspan_query.adapters.clickhouse import Address

logger = logging.getLogger(__name__)

MEMORY_BYTES = 1024 * 1024 * 1024
"""The engine's limit; the process itself takes some 300 MB more."""

START_WITHIN_S = 60.0
STOP_WITHIN_S = 10.0
FIRST_PAUSE_S = 0.2
LONGEST_PAUSE_S = 30.0

UNOPENED_TIMES = 3
"""A folder that so many children in turn could not open is damaged, as a loss of power may leave it."""

ROOM_BYTES = 64 * 1024 * 1024
"""With less on the disk, that is why."""


class Child(Protocol):
    """What is needed of a process: asyncio's has it."""

    @property
    def pid(self) -> int: ...
    @property
    def stdin(self) -> asyncio.StreamWriter | None: ...
    @property
    def stdout(self) -> asyncio.StreamReader | None: ...
    @property
    def returncode(self) -> int | None: ...
    async def wait(self) -> int: ...
    def kill(self) -> None: ...


Spawn = Callable[[Sequence[str], int], Awaitable[Child]]
"""Start a command that inherits one file descriptor, with pipes for stdin and stdout."""
Sleep = Callable[[float], Awaitable[None]]


async def spawn_process(command: Sequence[str], fd: int) -> Child:
    """A real process, in a session of its own: the terminal's Ctrl-C is for the parent, which stops it in turn."""
    return await asyncio.create_subprocess_exec(
        *command, stdin=PIPE, stdout=PIPE, pass_fds=(fd,), start_new_session=True
    )


class ClickHouseChild:
    """One database folder and the process that serves it, for as long as `run` runs."""

    def __init__(
        self,
        path: Path,
        *,
        memory_bytes: int = MEMORY_BYTES,
        spawn: Spawn = spawn_process,
        sleep: Sleep = asyncio.sleep,
    ) -> None:
        self._listener = socket.create_server(("127.0.0.1", 0))
        self._path = path
        self._command = _command(path, self._listener.fileno(), memory_bytes)
        self._spawn = spawn
        self._sleep = sleep
        self._ready = asyncio.Event()
        self._child: Child | None = None
        host, port = self._listener.getsockname()
        self.address = Address(host=host, port=port, password=secrets.token_urlsafe(32))

    @property
    def pid(self) -> int | None:
        """The process that serves now."""
        return self._child.pid if self._child and self._ready.is_set() else None

    async def ready(self) -> None:
        """Return when a child serves."""
        await self._ready.wait()

    async def run(self) -> None:
        """Keep a child alive until cancelled, then stop it; start anew, ever less eagerly, when it ends by itself.

        A folder that the first of them can't open is put aside: all that it held is written again from the log.
        """
        pause_s, unopened = FIRST_PAUSE_S, 0
        try:
            while True:
                if await self._serve_once():
                    pause_s, unopened = FIRST_PAUSE_S, -sys.maxsize
                elif self._child is not None and self._child.returncode == UNOPENED:
                    unopened += 1
                    if unopened == UNOPENED_TIMES:
                        self._put_aside()
                logger.warning("the embedded ClickHouse ended; it starts again in %.1f s", pause_s)
                await self._sleep(pause_s)
                pause_s = min(2 * pause_s, LONGEST_PAUSE_S)
        finally:
            self._listener.close()

    async def _serve_once(self) -> bool:
        """One child from start to end; whether it ever served."""
        try:
            child = self._child = await self._spawn(self._command, self._listener.fileno())
        except OSError as error:
            self._child = None
            logger.error("the embedded ClickHouse could not be started: %s", error)
            return False
        try:
            if not await self._started(child):
                return False
            self._ready.set()
            logger.info("the embedded ClickHouse serves on port %d as process %d", self.address.port, child.pid)
            await child.wait()
            return True
        finally:
            self._ready.clear()
            await _stop(child)

    def _put_aside(self) -> None:
        aside = self._path.with_name(f"{self._path.name}.damaged")
        if aside.exists() or shutil.disk_usage(self._path.parent).free < ROOM_BYTES:
            logger.error("the embedded ClickHouse can't open %s: make room there, and remove %s", self._path, aside)
            return
        self._path.rename(aside)
        logger.error("the embedded ClickHouse can't open its folder: it is %s now, history is made anew", aside)

    async def _started(self, child: Child) -> bool:
        assert child.stdin
        assert child.stdout
        child.stdin.write(self.address.password.encode() + b"\n")
        try:
            async with asyncio.timeout(START_WITHIN_S):
                return await child.stdout.readline() == READY
        except TimeoutError:
            logger.error("the embedded ClickHouse did not start within %.0f s", START_WITHIN_S)
            return False


def _command(path: Path, fd: int, memory_bytes: int) -> Sequence[str]:
    module = "agentspan_query.adapters.chdb_server"
    # -P: nothing of the folder that the server was started in is imported
    return (
        sys.executable, "-P", "-m", module, "--path", str(path), "--fd", str(fd), "--memory-bytes", str(memory_bytes),
    )  # fmt: skip


async def _stop(child: Child) -> None:
    """End of stdin asks it to stop; whoever does not is killed."""
    if child.stdin:
        child.stdin.close()
    try:
        async with asyncio.timeout(STOP_WITHIN_S):
            await child.wait()
    except TimeoutError:
        with contextlib.suppress(ProcessLookupError):
            child.kill()
        await child.wait()
