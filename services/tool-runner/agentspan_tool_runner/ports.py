"""What the tool-runner needs from outside, beside the log and the models: all in one place."""

from collections.abc import Awaitable, Callable
from datetime import datetime
from typing import Protocol

from agentspan_schemas.agents import AgentDefinition
from agentspan_schemas.http import Delta

Now = Callable[[], datetime]
"""The time, with its zone."""

Sleep = Callable[[float], Awaitable[None]]
"""Seconds."""

NewId = Callable[[], str]
"""A fresh random id."""

Chance = Callable[[], float]
"""A number from 0 up to 1."""

DefinitionOf = Callable[[str, str], Awaitable[AgentDefinition | None]]
"""The definition of an agent's name and version, waited for a moment when its news are on their way; None: unknown."""


class Deltas(Protocol):
    """Where words of replies go while they are generated. Nothing is kept there, and nothing waits."""

    def wanted(self, execution_id: str) -> bool:
        """Whether anybody follows this execution word by word now."""
        ...

    def publish(self, delta: Delta) -> None:
        """Hand words to whoever follows."""
        ...
