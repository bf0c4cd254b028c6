"""`AgentRuntime`: this process's connection to a server, and the worker that runs its agents' tools.

Everything asynchronous runs on one daemon thread, whatever loop the caller is on. Making a runtime does nothing: it
connects when it is first used, and what takes long to import (asyncio, the contract's events, HTTP) is imported then.
"""

import atexit
import os
import signal
import threading
from collections.abc import AsyncGenerator, Callable, Coroutine, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from types import FrameType, TracebackType
from typing import TYPE_CHECKING, Any, Never, ParamSpec, Self, TypeVar

from agentspan.agents._absent import CONFIGURE_OPTIONS, SERVE_OPTIONS, START_OPTIONS, missing_method, takes
from agentspan.agents._agent import Agent
from agentspan.agents._discovery import autostarts, server_url
from agentspan.agents._errors import AgentspanError, ConfigurationError

if TYPE_CHECKING:
    from agentspan.agents._connection import Connection
    from agentspan.agents._events import AgentEvent
    from agentspan.agents._execution import RemoteExecution
    from agentspan.agents._handle import AgentHandle
    from agentspan.agents._result import AgentResult
    from agentspan.agents._stream import AgentStream, AsyncAgentStream
    from agentspan_schemas.http import ExecutionRef

P = ParamSpec("P")
T = TypeVar("T")

CLOSE_S = 10.0
"""How long `close` waits for tools in hand."""

EXIT_S = 2.0
"""How long the end of the program waits for them."""


class AgentRuntime:
    """A connection to a server; use it as a context manager, sync or async, or `close` it.

    >>> with AgentRuntime(server_url="http://localhost:6767") as runtime:
    ...     handle = AgentHandle("exec-a1b2c3", runtime)  # nothing is connected before it is needed

    Args:
        server_url: Its address; None: AGENTSPAN_SERVER_URL, else http://localhost:6767, where an embedded server is
            started when none answers.
        autostart: Whether one may be started; None: unless AGENTSPAN_AUTOSTART is 0.
    """

    @takes("AgentRuntime()", CONFIGURE_OPTIONS)
    def __init__(self, server_url: str | None = None, *, autostart: bool | None = None) -> None:
        self._given_url = server_url
        self._autostart = autostart
        self._lock = threading.Lock()
        self._connection: Connection | None = None
        self._agents: dict[str, Agent] = {}
        self._closed = threading.Event()
        self._pid = os.getpid()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.close()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        await self.close_async()

    if not TYPE_CHECKING:

        def __getattr__(self, name: str) -> Never:
            raise missing_method("AgentRuntime", name)

    @property
    def is_closed(self) -> bool:
        """Whether it can't be used any more."""
        return self._closed.is_set()

    # Serving

    @takes("serve()", SERVE_OPTIONS)
    def serve(self, *agents: Agent, blocking: bool = True) -> None:
        """Run these agents' tools whenever a run calls them, until closed.

        Returns when the server knows of them (`blocking=False`), or when the program is interrupted or terminated:
        then the tools in hand get a few seconds to finish. Raises whatever ended the worker.
        """
        _check_served(agents)
        if not blocking:
            self.call(self._announce(agents))
            return
        try:
            with suppress(KeyboardInterrupt), _termination_as_interrupt():
                self.call(self._serve(agents))
        except AgentspanError:
            if not self.is_closed:  # else it was closed while it connected
                raise
        finally:
            self.close()

    @takes("serve_async()", SERVE_OPTIONS)
    async def serve_async(self, *agents: Agent, blocking: bool = True) -> None:
        """`serve`, awaited: with `blocking` until it is closed or cancelled."""
        _check_served(agents)
        if not blocking:
            await self.call_async(self._announce(agents))
            return
        try:
            await self.call_async(self._serve(agents))
        except AgentspanError:
            if not self.is_closed:
                raise
        finally:
            await self.close_async()

    # Runs. The options are written out in each: editors, `help` and the reference show what stands in a signature.

    @takes("start()", START_OPTIONS)
    def start(
        self,
        agent: Agent,
        prompt: str,
        *,
        metadata: Mapping[str, Any] | None = None,
        idempotency_key: str | None = None,
        timeout_s: float | None = None,
    ) -> "AgentHandle":
        """Start a run and serve its tools from this process.

        Args:
            metadata: JSON that tools find in their context, and history keeps.
            idempotency_key: The same key again is the same run, not another one.
            timeout_s: After how long a run without an answer fails; None: as its agent says.
        """
        return self._handle(self.call(self._start(agent, prompt, metadata, idempotency_key, timeout_s)))

    @takes("start_async()", START_OPTIONS)
    async def start_async(
        self,
        agent: Agent,
        prompt: str,
        *,
        metadata: Mapping[str, Any] | None = None,
        idempotency_key: str | None = None,
        timeout_s: float | None = None,
    ) -> "AgentHandle":
        """`start`, awaited."""
        return self._handle(await self.call_async(self._start(agent, prompt, metadata, idempotency_key, timeout_s)))

    @takes("run()", START_OPTIONS)
    def run(
        self,
        agent: Agent,
        prompt: str,
        *,
        metadata: Mapping[str, Any] | None = None,
        idempotency_key: str | None = None,
        timeout_s: float | None = None,
        on_event: "Callable[[AgentEvent], object] | None" = None,
    ) -> "AgentResult":
        """Start a run and wait for its result; for ever, where a call waits for a person who does not come.

        Args:
            on_event: Called with each event, in the caller's thread: `event.type == "waiting"` is the place to ask.
        """
        handle = self.start(agent, prompt, metadata=metadata, idempotency_key=idempotency_key, timeout_s=timeout_s)
        stream = handle.stream(after=0)
        for event in stream:
            if on_event is not None:
                on_event(event)
        return stream.get_result()

    @takes("run_async()", START_OPTIONS)
    async def run_async(
        self,
        agent: Agent,
        prompt: str,
        *,
        metadata: Mapping[str, Any] | None = None,
        idempotency_key: str | None = None,
        timeout_s: float | None = None,
        on_event: "Callable[[AgentEvent], object] | None" = None,
    ) -> "AgentResult":
        """`run`, awaited."""
        handle = await self.start_async(
            agent, prompt, metadata=metadata, idempotency_key=idempotency_key, timeout_s=timeout_s
        )
        stream = handle.stream_async(after=0)
        async for event in stream:
            if on_event is not None:
                on_event(event)
        return await stream.get_result()

    @takes("stream()", START_OPTIONS)
    def stream(
        self,
        agent: Agent,
        prompt: str,
        *,
        metadata: Mapping[str, Any] | None = None,
        idempotency_key: str | None = None,
        timeout_s: float | None = None,
    ) -> "AgentStream[AgentEvent]":
        """Start a run and iterate its events: `start(...).stream()`."""
        handle = self.start(agent, prompt, metadata=metadata, idempotency_key=idempotency_key, timeout_s=timeout_s)
        return handle.stream()

    @takes("stream_async()", START_OPTIONS)
    async def stream_async(
        self,
        agent: Agent,
        prompt: str,
        *,
        metadata: Mapping[str, Any] | None = None,
        idempotency_key: str | None = None,
        timeout_s: float | None = None,
    ) -> "AsyncAgentStream[AgentEvent]":
        """`stream`, awaited: `async for event in await runtime.stream_async(agent, prompt)`."""
        handle = await self.start_async(
            agent, prompt, metadata=metadata, idempotency_key=idempotency_key, timeout_s=timeout_s
        )
        return handle.stream_async()

    # The end

    def close(self, timeout_s: float = CLOSE_S) -> None:
        """Take no more tools, give those in hand `timeout_s` to finish, and disconnect. Runs go on without you."""
        self._closed.set()
        with self._lock:
            connection, self._connection = self._connection, None
        if connection is not None:
            atexit.unregister(self._at_exit)
            connection.close(timeout_s)

    async def close_async(self, timeout_s: float = CLOSE_S) -> None:
        """`close`, awaited."""
        await _in_thread(self.close, timeout_s)

    def shutdown(self) -> None:
        """`close`, under another usual name."""
        self.close()

    async def shutdown_async(self) -> None:
        """`close_async`, under another usual name."""
        await self.close_async()

    # For handles

    def execution(self, execution_id: str) -> "RemoteExecution":
        """The execution of that id."""
        from agentspan.agents._execution import RemoteExecution

        return RemoteExecution(lambda: self._connected().client, execution_id, self._agents.get)

    def call(self, work: Coroutine[Any, Any, T], timeout_s: float | None = None) -> T:
        """Run a coroutine on the runtime's loop and wait for it."""
        try:
            connection = self._connected()
        except BaseException:
            work.close()
            raise
        return connection.loop.call(work, timeout_s)

    async def call_async(self, work: Coroutine[Any, Any, T], timeout_s: float | None = None) -> T:
        """Run a coroutine on the runtime's loop and await it."""
        try:
            connection = await self._connected_async()
        except BaseException:
            work.close()
            raise
        return await connection.loop.wait_for(work, timeout_s)

    def iterate(self, batches: AsyncGenerator[list[T], None]) -> Iterator[T]:
        """Iterate an asynchronous generator of the runtime's loop."""
        return self._connected().loop.iterate(batches)

    async def aiterate(self, batches: AsyncGenerator[list[T], None]) -> AsyncGenerator[T, None]:
        """The same, on any loop."""
        connection = await self._connected_async()
        items = connection.loop.aiterate(batches)
        try:
            async for item in items:
                yield item
        finally:
            await items.aclose()

    def _connected(self) -> "Connection":
        from agentspan.agents._connection import Connection

        with self._lock:
            if self._connection is None:
                if self.is_closed:
                    raise ConfigurationError("this AgentRuntime is closed; make another one")
                url = server_url(self._given_url)
                self._connection = Connection(url, self._agents, autostart=autostarts(self._autostart))
                atexit.register(self._at_exit)
            return self._connection

    async def _connected_async(self) -> "Connection":
        """Connecting may take as long as starting a server: not on the caller's loop."""
        connection = self._connection
        return await _in_thread(self._connected) if connection is None else connection

    async def _start(
        self,
        agent: Agent,
        prompt: str,
        metadata: Mapping[str, Any] | None,
        idempotency_key: str | None,
        timeout_s: float | None,
    ) -> "ExecutionRef":
        from agentspan.agents._client import checked_key, new_key

        _check_agent(agent, "start()")
        key = new_key() if idempotency_key is None else checked_key(idempotency_key)
        connection = self._connected()
        await connection.offer(self._add(agent))
        given = {} if metadata is None else metadata
        return await connection.client.start(agent.definition, prompt, given, key, timeout_s)

    def _handle(self, ref: "ExecutionRef") -> "AgentHandle":
        from agentspan.agents._handle import AgentHandle

        handle = AgentHandle(ref.execution_id, self)
        handle._execution.started(ref)
        return handle

    async def _announce(self, agents: Sequence[Agent]) -> None:
        connection = self._connected()
        for agent in agents:
            await connection.client.register(agent.definition)
        await connection.offer(self._add(*agents))
        await connection.offered()

    async def _serve(self, agents: Sequence[Agent]) -> None:
        """Until the worker is stopped, or something ends it."""
        await self._announce(agents)
        await self._connected().served()

    def _add(self, *agents: Agent) -> dict[str, dict[str, str]]:
        self._agents.update({agent.name: agent for agent in agents})
        return {agent.name: agent.tool_hashes for agent in agents}

    def _at_exit(self) -> None:
        if self._pid == os.getpid():  # a forked child has the registration, and not the thread
            self.close(EXIT_S)


def _check_served(agents: Sequence[Agent]) -> None:
    if not agents:
        raise ConfigurationError("serve() needs at least one agent")
    for agent in agents:
        _check_agent(agent, "serve()")


def _check_agent(agent: object, where: str) -> None:
    if not isinstance(agent, Agent):
        raise ConfigurationError(f"{where} takes an Agent, not {agent!r}; make one with Agent(name, model, ...)")


async def _in_thread(function: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
    import asyncio

    return await asyncio.to_thread(function, *args, **kwargs)


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
