"""`AgentRuntime`: this process's connection to a server, and the worker that runs its agents' tools.

Everything asynchronous runs on one daemon thread. `start` on the module uses the default runtime, the one piece of
global state here: it is made when first needed, and anew in a forked child.
"""

import asyncio
import atexit
import getpass
import logging
import os
import signal
import socket
import sys
import threading
import uuid
from collections.abc import AsyncGenerator, Callable, Coroutine, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from types import FrameType, TracebackType
from typing import TYPE_CHECKING, Any, Self, TypeVar

from agentspan.agents._agent import Agent
from agentspan.agents._discovery import ensure_server, server_url, start_embedded
from agentspan.agents._errors import AgentspanError, ConfigurationError
from agentspan.agents._handle import AgentHandle
from agentspan.agents._loop import LoopThread
from agentspan.agents._tools import Tool

if TYPE_CHECKING:
    from agentspan.agents._client import Client
    from agentspan.agents._execution import RemoteExecution
    from agentspan.agents._http import Http
    from agentspan.agents.worker import ToolThreads, Worker

log = logging.getLogger(__name__)

T = TypeVar("T")

CLOSE_S = 10.0
"""How long `close` waits for tools in hand."""

GOODBYE_S = 3.0

EXIT_S = 2.0
"""How long the end of the program waits for them."""


class AgentRuntime:
    """A connection to a server; use it as a context manager, or `close` it.

    Args:
        server_url: Its address; None: AGENTSPAN_SERVER_URL, else http://localhost:6767, where an embedded server is
            started when none answers (AGENTSPAN_AUTOSTART=0 turns that off).
    """

    def __init__(self, server_url: str | None = None) -> None:
        self._given_url = server_url
        self._lock = threading.Lock()
        self._connection: _Connection | None = None
        self._agents: dict[str, Agent] = {}
        self._closed = threading.Event()
        self._pid = os.getpid()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.close()

    def serve(self, *agents: Agent, blocking: bool = True) -> None:
        """Run these agents' tools whenever a run calls them, until closed.

        Returns when the server knows of them (`blocking=False`), or when the program is interrupted or terminated:
        then the tools in hand get a few seconds to finish.
        """
        if not agents:
            raise ConfigurationError("serve() needs at least one agent")
        if not blocking:
            self._announce(agents)
            return
        try:
            with suppress(KeyboardInterrupt), _termination_as_interrupt():
                self._announce(agents)
                self._closed.wait()
        except AgentspanError:
            if not self._closed.is_set():  # else it was closed while it connected
                raise
        finally:
            self.close()

    def start(
        self,
        agent: Agent,
        prompt: str,
        *,
        metadata: Mapping[str, Any] | None = None,
        idempotency_key: str | None = None,
        timeout_s: float | None = None,
    ) -> AgentHandle:
        """Start a run and serve its tools from this process.

        Args:
            metadata: JSON that tools find in their context, and history can be filtered by.
            idempotency_key: The same key again is the same run, not another one.
            timeout_s: After how long a run without an answer fails.
        """
        from agentspan.agents._client import new_key

        connection = self._connected()
        self.call(connection.offer(self._add(agent)))
        key = idempotency_key or new_key()
        ref = self.call(connection.client.start(agent.definition, prompt, metadata or {}, key, timeout_s))
        handle = AgentHandle(ref.execution_id, self)
        handle._execution.started(ref)
        return handle

    def close(self, timeout_s: float = CLOSE_S) -> None:
        """Take no more tools, give those in hand `timeout_s` to finish, and disconnect. Runs go on without you."""
        self._closed.set()
        with self._lock:
            connection, self._connection = self._connection, None
        if connection is not None:
            atexit.unregister(self._at_exit)
            connection.close(timeout_s)

    # For handles

    def execution(self, execution_id: str) -> "RemoteExecution":
        """The execution of that id."""
        from agentspan.agents._execution import RemoteExecution

        return RemoteExecution(self._connected().client, execution_id, self._agents.get)

    def call(self, work: Coroutine[Any, Any, T], timeout_s: float | None = None) -> T:
        """Run a coroutine on the runtime's loop and wait for it."""
        try:
            connection = self._connected()
        except BaseException:
            work.close()
            raise
        return connection.loop.call(work, timeout_s)

    def iterate(self, items: AsyncGenerator[T, None]) -> Iterator[T]:
        """Iterate an asynchronous generator of the runtime's loop."""
        return self._connected().loop.iterate(items)

    def _connected(self) -> "_Connection":
        with self._lock:
            if self._connection is None:
                if self._closed.is_set():
                    raise ConfigurationError("this AgentRuntime is closed; make another one")
                self._connection = _Connection(server_url(self._given_url), self._find_tool)
                atexit.register(self._at_exit)
            return self._connection

    def _announce(self, agents: Sequence[Agent]) -> None:
        connection = self._connected()
        for agent in agents:
            self.call(connection.client.register(agent.definition))
        self.call(connection.offer(self._add(*agents)))
        self.call(connection.worker.connected())

    def _add(self, *agents: Agent) -> dict[str, dict[str, str]]:
        self._agents.update({agent.name: agent for agent in agents})
        return {agent.name: agent.tool_hashes for agent in agents}

    def _find_tool(self, agent: str, name: str) -> Tool[..., Any] | None:
        served = self._agents.get(agent)
        return served.tool(name) if served else None

    def _at_exit(self) -> None:
        if self._pid == os.getpid():  # a forked child has the registration, and not the thread
            self.close(EXIT_S)


class _Connection:
    """What a connected runtime has: a loop, HTTP, a client and a worker, all on that loop."""

    def __init__(self, url: str, find_tool: Callable[[str, str], Tool[..., Any] | None]) -> None:
        self.loop = LoopThread()
        self._working = False
        try:
            self.http, self.client, self.worker, self._threads = self.loop.call(_open(url, find_tool))
        except BaseException:
            self.loop.close()
            raise

    async def offer(self, tools: Mapping[str, Mapping[str, str]]) -> None:
        """Let the worker serve these too."""
        self.worker.offer(tools)
        if not self._working:
            self._working = True
            self._run = asyncio.ensure_future(self.worker.run())

    def close(self, timeout_s: float) -> None:
        """Flush and disconnect."""
        try:
            with suppress(TimeoutError):
                self.loop.call(self._close(timeout_s), timeout_s + GOODBYE_S)
        finally:
            self._threads.close()
            self.loop.close()

    async def _close(self, timeout_s: float) -> None:
        if self._working:
            await self.worker.stop(timeout_s)
            await asyncio.gather(self._run, return_exceptions=True)
        await self.http.close()


async def _open(
    url: str, find_tool: Callable[[str, str], Tool[..., Any] | None]
) -> "tuple[Http, Client, Worker, ToolThreads]":
    # aiohttp takes longer to import than the rest of the package together
    from agentspan.agents._client import Client
    from agentspan.agents._gateway import Gateway
    from agentspan.agents._http import Http
    from agentspan.agents.worker import SystemClock, ToolRunner, ToolThreads, Worker

    http = Http(url)
    try:
        await ensure_server(url, http.answers, lambda: asyncio.to_thread(start_embedded))
    except BaseException:
        await http.close()
        raise
    threads = ToolThreads()
    worker = Worker(
        Gateway(http), SystemClock(), lambda: uuid.uuid4().hex, ToolRunner(find_tool, threads), name=_worker_name()
    )
    return http, Client(http), worker, threads


def _worker_name() -> str:
    """`<user>@<host>/<pid>`, for people."""
    try:
        user = getpass.getuser()
    except (OSError, KeyError):
        user = os.path.basename(sys.argv[0]) or "python"
    return f"{user}@{socket.gethostname()}/{os.getpid()}"


@contextmanager
def _termination_as_interrupt() -> Iterator[None]:
    """SIGTERM ends a blocking `serve` as Ctrl-C does; only the main thread may say so."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return

    def interrupt(signum: int, frame: FrameType | None) -> None:
        raise KeyboardInterrupt

    before = signal.signal(signal.SIGTERM, interrupt)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)


class _Default:
    """The default runtime, of this process and not of its parent."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._runtime: tuple[int, AgentRuntime] | None = None

    def get(self) -> AgentRuntime:
        with self._lock:
            if self._runtime is None or self._runtime[0] != os.getpid():
                self._runtime = os.getpid(), AgentRuntime()
            return self._runtime[1]


_DEFAULT = _Default()


def default_runtime() -> AgentRuntime:
    """The runtime that `start` uses."""
    return _DEFAULT.get()


def start(
    agent: Agent,
    prompt: str,
    *,
    metadata: Mapping[str, Any] | None = None,
    idempotency_key: str | None = None,
    timeout_s: float | None = None,
) -> AgentHandle:
    """Start a run on the default runtime: `AgentRuntime.start` says what the options mean."""
    return default_runtime().start(
        agent, prompt, metadata=metadata, idempotency_key=idempotency_key, timeout_s=timeout_s
    )
