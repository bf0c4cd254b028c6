"""What a tool's code may know of the call it serves.

Apart from the worker because tools import it, and because it must work in any thread that the worker uses: the
context travels in a contextvar, for tools whose signature cannot change.
"""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, field
from typing import Any

from agentspan.agents._errors import AgentspanError


@dataclass(frozen=True, slots=True)
class ToolContext:
    """The call that a tool's code serves. A parameter annotated with it is filled in, and is not in the schema."""

    execution_id: str
    agent: str
    call_id: str
    attempt: int
    """From 1; the same call is tried again under a higher one."""
    idempotency_key: str
    """The same for every attempt of this call: give it to whatever you call, so that it happens once."""
    metadata: Mapping[str, Any] = field(default_factory=dict)
    """What the execution was started with."""
    state: dict[str, Any] = field(default_factory=dict)
    """Shared by this execution's calls in this process, and lost with it: for caches, never for facts.

    A call that another worker serves, or this one after a restart or a thousand other runs, finds it empty. What a
    later call must know belongs in what the tool returns, or in a database of yours.
    """


_CURRENT: ContextVar[ToolContext | None] = ContextVar("agentspan_tool_context", default=None)


def current_context() -> ToolContext:
    """The context of the tool call under way. Raises AgentspanError outside of one."""
    context = _CURRENT.get()
    if context is None:
        raise AgentspanError(
            "current_context() was called outside of a tool call: there is none in this thread; "
            "in a thread of your own, run the code with contextvars.copy_context()"
        )
    return context


@contextmanager
def context_set(context: ToolContext) -> Iterator[None]:
    """Make this the context of the code inside."""
    token = _CURRENT.set(context)
    try:
        yield
    finally:
        _CURRENT.reset(token)
