"""What a connected runtime has: a loop on a thread, HTTP, a client, a worker and a reconciler, all on that loop.

Apart from the runtime because aiohttp takes longer to import than the rest of the package together: this file is
imported when a runtime first talks to its server.
"""

import asyncio
import getpass
import logging
import os
import socket
import sys
import uuid
from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

from agentspan.agents._agent import Agent
from agentspan.agents._client import Client
from agentspan.agents._discovery import ensure_server, start_embedded
from agentspan.agents._gateway import Gateway
from agentspan.agents._http import Http
from agentspan.agents._loop import LoopThread
from agentspan.agents._reconcile import Reconciler, Served
from agentspan.agents._tools import Tool
from agentspan.agents.worker import SystemClock, ToolLimits, ToolRunner, ToolThreads, Worker

logger = logging.getLogger(__name__)

GOODBYE_S = 3.0


class Connection:
    """A connection to a server, for the agents of `agents`. Raises ServerUnavailable when none answers."""

    def __init__(self, url: str, agents: Mapping[str, Agent], *, autostart: bool) -> None:
        self.loop = LoopThread()
        self._agents = agents
        self._threads = ToolThreads()
        self._working: asyncio.Task[None] | None = None
        self._reconciling: asyncio.Task[None] | None = None
        try:
            self._parts = self.loop.call(_open(url, self._find_tool, self._threads, autostart))
        except BaseException:
            self.loop.close()
            raise

    @property
    def client(self) -> Client:
        """What asks the server."""
        return self._parts.client

    @property
    def worker(self) -> Worker:
        """What runs tools for it."""
        return self._parts.worker

    async def offer(self, tools: Mapping[str, Mapping[str, str]]) -> None:
        """Let the worker serve these too. Raises what ended the worker, if it has ended."""
        if self._working is None:
            self._working = asyncio.create_task(self.worker.run())
            self._working.add_done_callback(_say_the_end)
        elif self._working.done():
            await self._working
        self.worker.offer(tools)
        if self._reconciling is None and any(self._reconciled()):
            reconciler = Reconciler(self.client, self._reconciled, self._threads)
            self._reconciling = asyncio.create_task(reconciler.run())

    async def offered(self) -> None:
        """Return when the server knows what was offered. Raises what it is refused with, or ended the worker."""
        assert self._working is not None
        connected = asyncio.create_task(self.worker.connected())
        try:
            await asyncio.wait({connected, self._working}, return_when=asyncio.FIRST_COMPLETED)
            await (connected if connected.done() else self.served())
        finally:
            connected.cancel()

    async def served(self) -> None:
        """Return when the worker was stopped. Raises what ended it before."""
        assert self._working is not None
        await asyncio.shield(self._working)

    def close(self, timeout_s: float) -> None:
        """Flush and disconnect; an interrupted flush disconnects too."""
        try:
            with suppress(TimeoutError):
                self.loop.call(self._flush(timeout_s), timeout_s + GOODBYE_S)
        finally:
            with suppress(TimeoutError):
                self.loop.call(self._disconnect(), GOODBYE_S)
            self._threads.close()
            self.loop.close()

    async def _flush(self, timeout_s: float) -> None:
        if self._working is not None:
            await self.worker.stop(timeout_s)
            self._working.cancel()  # now: later it might hit what the worker does last, and `served` would be cancelled
            await asyncio.wait({self._working})

    async def _disconnect(self) -> None:
        tasks = [task for task in (self._working, self._reconciling) if task is not None]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        await self.client.close()
        await self._parts.http.close()

    def _find_tool(self, agent: str, name: str) -> Tool[..., Any] | None:
        served = self._agents.get(agent)
        return served.tool(name) if served else None

    def _reconciled(self) -> Iterator[Served]:
        for agent in tuple(self._agents.values()):
            for tool in agent.tools:
                if tool.reconciler is not None:
                    yield agent.name, tool


def _say_the_end(working: asyncio.Task[None]) -> None:
    if not working.cancelled() and (error := working.exception()) is not None:
        logger.error("the worker ended, and runs no tools any more", exc_info=error)


@dataclass(frozen=True, slots=True)
class _Parts:
    http: Http
    client: Client
    worker: Worker


async def _open(
    url: str, find_tool: Callable[[str, str], Tool[..., Any] | None], threads: ToolThreads, autostart: bool
) -> _Parts:
    http = Http(url)
    try:
        await ensure_server(url, http.answers, lambda: asyncio.to_thread(start_embedded), autostart=autostart)
    except BaseException:
        await http.close()
        raise

    def most(agent: str, name: str) -> int | None:
        tool = find_tool(agent, name)
        return tool.concurrency if tool else None

    worker = Worker(
        Gateway(http),
        SystemClock(),
        lambda: uuid.uuid4().hex,
        ToolRunner(find_tool, threads),
        name=_worker_name(),
        limit=ToolLimits(most),
        outage=http.outage,
    )
    return _Parts(http, Client(http), worker)


def _worker_name() -> str:
    """`<user>@<host>/<pid>`, for people."""
    try:
        user = getpass.getuser()
    except (OSError, KeyError):
        user = os.path.basename(sys.argv[0]) or "python"
    return f"{user}@{socket.gethostname()}/{os.getpid()}"
