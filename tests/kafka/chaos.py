"""How much of each disaster: little in all tests, as much as AGENTSPAN_CHAOS_ROUNDS says in `make chaos-kafka`."""

import os

ROUNDS = os.environ.get("AGENTSPAN_CHAOS_ROUNDS")


def rounds(usual: int) -> int:
    """How often one kind of disaster happens."""
    return max(usual, int(ROUNDS)) if ROUNDS else usual


def minutes() -> float:
    """How long a storm lasts."""
    return 10.0 if ROUNDS else 1.0
