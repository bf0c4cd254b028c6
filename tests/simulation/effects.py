"""What the tools did to the world outside: the ledger that every effect is written to at the moment it happens.

It is the truth that the log is judged by, and that people look at when they resolve a call in doubt.
"""

from collections.abc import Callable
from contextvars import ContextVar
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from agentspan.agents import ToolContext
from tests.simulation.process import HERE


@dataclass(frozen=True, slots=True)
class Effect:
    """One time that a tool's code ran."""

    number: int
    execution_id: str
    call_id: str
    attempt: int
    idempotency_key: str
    tool: str
    args: dict[str, Any]
    worker: str
    at: datetime

    @property
    def value(self) -> dict[str, str]:
        """What the tool returns: it names this effect and no other."""
        return {"receipt": f"{self.tool}-{self.number}"}


class Ledger:
    """All effects, in the order in which they happened."""

    def __init__(self, seen: Callable[[Effect], None]) -> None:
        self._seen = seen
        self.effects: list[Effect] = []

    def ran(self, tool: str, context: ToolContext, args: dict[str, Any]) -> dict[str, str]:
        """A tool's code runs, here and now; what it will return."""
        process = HERE.get()
        effect = Effect(
            number=len(self.effects) + 1,
            execution_id=context.execution_id,
            call_id=context.call_id,
            attempt=context.attempt,
            idempotency_key=context.idempotency_key,
            tool=tool,
            args=args,
            worker=process.name,
            at=process.now(),
        )
        self.effects.append(effect)
        self._seen(effect)
        return effect.value

    def of(self, execution_id: str, call_id: str) -> list[Effect]:
        """The effects of one call."""
        return [e for e in self.effects if (e.execution_id, e.call_id) == (execution_id, call_id)]


LEDGER: ContextVar[Ledger] = ContextVar("ledger of effects")
"""The ledger of the world that the running code belongs to."""
