"""The default runtime, and the functions of the package that use it: the one piece of global state here.

It is made when first needed, and anew in a forked child or after `shutdown`. The functions repeat the signatures of the
runtime's methods, which tests hold together: these are what editors, `help` and the reference show.
"""

import os
import threading
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

from agentspan.agents._absent import CONFIGURE_OPTIONS, SERVE_OPTIONS, START_OPTIONS, takes
from agentspan.agents._agent import Agent
from agentspan.agents._discovery import server_url as checked_url
from agentspan.agents._errors import ConfigurationError
from agentspan.agents._runtime import AgentRuntime

if TYPE_CHECKING:
    from agentspan.agents._events import AgentEvent
    from agentspan.agents._handle import AgentHandle
    from agentspan.agents._result import AgentResult
    from agentspan.agents._stream import AgentStream, AsyncAgentStream


class _Default:
    """The default runtime of this process, and not of its parent."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._runtime: tuple[int, AgentRuntime] | None = None
        self._options: dict[str, Any] = {}

    def get(self) -> AgentRuntime:
        with self._lock:
            current = self._current()
            if current is None:
                current = AgentRuntime(**self._options)
                self._runtime = os.getpid(), current
            return current

    def configure(self, options: dict[str, Any]) -> None:
        with self._lock:
            if self._current() is not None:
                raise ConfigurationError(
                    "configure() was called after the default runtime was first used; "
                    "call it before, or shutdown() first, or use an AgentRuntime of your own"
                )
            self._options = {**self._options, **options}

    def shutdown(self) -> AgentRuntime | None:
        with self._lock:
            current, self._runtime = self._current(), None
            return current

    def _current(self) -> AgentRuntime | None:
        if self._runtime is None or self._runtime[0] != os.getpid() or self._runtime[1].is_closed:
            return None
        return self._runtime[1]


_DEFAULT = _Default()


def default_runtime() -> AgentRuntime:
    """The runtime that `start` uses."""
    return _DEFAULT.get()


@takes("configure()", CONFIGURE_OPTIONS)
def configure(*, server_url: str | None = None, autostart: bool | None = None) -> None:
    """Say which server the default runtime uses, before it is first used. What is not named stays as it was.

    Args:
        server_url: Its address, as of `AgentRuntime`.
        autostart: Whether an embedded server may be started when none answers at the default address.

    >>> configure(server_url="http://localhost:6767", autostart=False)

    Raises ConfigurationError after the first use (`shutdown` allows it again), TypeError for an unknown option.
    """
    given = {"server_url": server_url and checked_url(server_url), "autostart": autostart}
    _DEFAULT.configure({name: value for name, value in given.items() if value is not None})


def shutdown() -> None:
    """Close the default runtime: tools in hand get a few seconds, runs go on. The next use makes another one."""
    if (runtime := _DEFAULT.shutdown()) is not None:
        runtime.close()


async def shutdown_async() -> None:
    """`shutdown`, awaited."""
    if (runtime := _DEFAULT.shutdown()) is not None:
        await runtime.close_async()


@takes("start()", START_OPTIONS)
def start(
    agent: Agent,
    prompt: str,
    *,
    metadata: Mapping[str, Any] | None = None,
    idempotency_key: str | None = None,
    timeout_s: float | None = None,
) -> "AgentHandle":
    """Start a run on the default runtime: `AgentRuntime.start` says what the options mean."""
    return default_runtime().start(
        agent, prompt, metadata=metadata, idempotency_key=idempotency_key, timeout_s=timeout_s
    )


@takes("start_async()", START_OPTIONS)
async def start_async(
    agent: Agent,
    prompt: str,
    *,
    metadata: Mapping[str, Any] | None = None,
    idempotency_key: str | None = None,
    timeout_s: float | None = None,
) -> "AgentHandle":
    """`start`, awaited."""
    return await default_runtime().start_async(
        agent, prompt, metadata=metadata, idempotency_key=idempotency_key, timeout_s=timeout_s
    )


@takes("run()", START_OPTIONS)
def run(
    agent: Agent,
    prompt: str,
    *,
    metadata: Mapping[str, Any] | None = None,
    idempotency_key: str | None = None,
    timeout_s: float | None = None,
    on_event: "Callable[[AgentEvent], object] | None" = None,
) -> "AgentResult":
    """Start a run on the default runtime and wait for its result: see `AgentRuntime.run`."""
    return default_runtime().run(
        agent,
        prompt,
        metadata=metadata,
        idempotency_key=idempotency_key,
        timeout_s=timeout_s,
        on_event=on_event,
    )


@takes("run_async()", START_OPTIONS)
async def run_async(
    agent: Agent,
    prompt: str,
    *,
    metadata: Mapping[str, Any] | None = None,
    idempotency_key: str | None = None,
    timeout_s: float | None = None,
    on_event: "Callable[[AgentEvent], object] | None" = None,
) -> "AgentResult":
    """`run`, awaited."""
    return await default_runtime().run_async(
        agent,
        prompt,
        metadata=metadata,
        idempotency_key=idempotency_key,
        timeout_s=timeout_s,
        on_event=on_event,
    )


@takes("stream()", START_OPTIONS)
def stream(
    agent: Agent,
    prompt: str,
    *,
    metadata: Mapping[str, Any] | None = None,
    idempotency_key: str | None = None,
    timeout_s: float | None = None,
) -> "AgentStream[AgentEvent]":
    """Start a run on the default runtime and iterate its events: see `AgentRuntime.stream`."""
    return default_runtime().stream(
        agent, prompt, metadata=metadata, idempotency_key=idempotency_key, timeout_s=timeout_s
    )


@takes("stream_async()", START_OPTIONS)
async def stream_async(
    agent: Agent,
    prompt: str,
    *,
    metadata: Mapping[str, Any] | None = None,
    idempotency_key: str | None = None,
    timeout_s: float | None = None,
) -> "AsyncAgentStream[AgentEvent]":
    """`stream`, awaited."""
    return await default_runtime().stream_async(
        agent, prompt, metadata=metadata, idempotency_key=idempotency_key, timeout_s=timeout_s
    )


@takes("serve()", SERVE_OPTIONS)
def serve(*agents: Agent, blocking: bool = True) -> None:
    """Run these agents' tools on the default runtime, until interrupted: see `AgentRuntime.serve`."""
    default_runtime().serve(*agents, blocking=blocking)


@takes("serve_async()", SERVE_OPTIONS)
async def serve_async(*agents: Agent, blocking: bool = True) -> None:
    """`serve`, awaited."""
    await default_runtime().serve_async(*agents, blocking=blocking)
