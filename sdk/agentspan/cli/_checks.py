"""What a check of `agentspan doctor` finds."""

from dataclasses import asdict, dataclass
from typing import Any, Literal


@dataclass(frozen=True, slots=True)
class Check:
    """One finding."""

    name: str
    state: Literal["ok", "warn", "fail"]
    said: str
    next: str | None = None
    """What to do about it; None where there is nothing to do."""

    def plain(self) -> dict[str, Any]:
        """As JSON."""
        return asdict(self)
