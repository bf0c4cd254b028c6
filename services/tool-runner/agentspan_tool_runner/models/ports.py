"""What a model provider is: one reply for one conversation, or a ModelError that says whether asking again may help.

Apart from the providers because plug-ins implement it: a package adds one by an entry point in the group
`agentspan.models`, named like the part of `Agent(model=...)` before the slash, that is a function
`provider(settings: ModelSettings) -> ModelProvider`.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Protocol

from agentspan_schemas import JsonObject, Usage
from agentspan_schemas.agents import AgentDefinition
from agentspan_schemas.commands import AskedCall
from agentspan_schemas.messages import Message


@dataclass(frozen=True, slots=True)
class ModelSettings:
    """What a provider may read: the server's environment, never an agent author's."""

    environment: Mapping[str, str]
    now: Callable[[], datetime]


@dataclass(frozen=True, slots=True)
class ModelRequest:
    """The conversation so far, and the agent whose turn it is."""

    definition: AgentDefinition
    messages: tuple[Message, ...]
    metadata: JsonObject
    execution_id: str
    turn: int
    key: str = ""
    """The ticket's id, or the start's idempotency key."""
    on_text: Callable[[str], None] | None = None
    """Where words of the reply may go as they are generated, in order, while somebody may be watching. It never waits,
    and a provider need not use it: the response has the whole text."""

    @property
    def provider(self) -> str:
        """The model's provider, as the agent names it."""
        return self.definition.model.partition("/")[0]

    @property
    def model(self) -> str:
        """The model's name without its provider."""
        return self.definition.model.partition("/")[2]


@dataclass(frozen=True, slots=True)
class ModelResponse:
    """One reply of a model."""

    model: str
    """The model that answered, as the provider names it."""
    text: str = ""
    tool_calls: tuple[AskedCall, ...] = ()
    blocks: tuple[JsonObject, ...] | None = None
    """The provider's own content, handed back to it unchanged in the next turn."""
    stop_reason: str | None = None
    usage: Usage = field(default_factory=Usage)


class ModelError(Exception):
    """A model call failed. The core decides when to ask again, and after how many attempts the execution fails."""

    def __init__(self, kind: str, message: str, *, retryable: bool, retry_after_s: float | None = None) -> None:
        super().__init__(message)
        self.kind = kind
        """Stable, to match on."""
        self.message = message
        """What happened and what to do next; no secret stands in it."""
        self.retryable = retryable
        self.retry_after_s = retry_after_s
        """How long the provider asks to be left alone, in seconds; None: it did not say."""


class ModelProvider(Protocol):
    """A family of models behind one API. It never retries by itself."""

    def check(self, definition: AgentDefinition) -> str | None:
        """What is missing to serve this agent's model at all, and what to do about it; None when nothing is.

        Asked when a run is started, so it looks at settings only and calls nobody.
        """
        ...

    async def reply(self, request: ModelRequest) -> ModelResponse:
        """The model's next turn. Raises ModelError."""
        ...

    async def aclose(self) -> None:
        """Let go of connections."""
        ...
