"""The command ids of decisions that other services send: the log alone then tells which request such an outcome is of.

Pure. A service's decision_id counts for one call, so that the same one elsewhere is another decision.
"""

from dataclasses import dataclass

_BEGIN = "decision:"


@dataclass(frozen=True, slots=True)
class DecisionId:
    """What the command id of a service's decision names."""

    call_id: str
    by: str
    """As the log has it: `service:<name>`."""
    decision_id: str

    def __str__(self) -> str:
        return f"{_BEGIN}{self.call_id}:{self.by}:{self.decision_id}"

    @classmethod
    def parse(cls, command_id: str, by: str | None) -> "DecisionId | None":
        """What `str` wrote; None for a command id of any other kind."""
        call_id, _, rest = command_id.removeprefix(_BEGIN).partition(":")
        if not names_a_decision(command_id) or by is None or not rest.startswith(f"{by}:"):
            return None
        return cls(call_id, by, rest.removeprefix(f"{by}:"))


def names_a_decision(command_id: str) -> bool:
    """Whether it may be one of these."""
    return command_id.startswith(_BEGIN)
