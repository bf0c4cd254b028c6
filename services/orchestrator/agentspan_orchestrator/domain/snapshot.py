"""A state as bytes and back, for the state cache and the snapshots topic. Of another version: not read, refolded."""

from typing import Final

from pydantic import TypeAdapter

from agentspan_orchestrator.domain.state import Execution

SNAPSHOT_VERSION: Final = 1
"""Raise it when `Execution` changes its shape; caches of another version are rebuilt from the log."""

_ADAPTER: Final = TypeAdapter(Execution)


def dump_state(state: Execution) -> bytes:
    """JSON bytes of a state."""
    return _ADAPTER.dump_json(state)


def load_state(raw: bytes) -> Execution:
    """The state that `dump_state` wrote. Raises ValueError for anything else."""
    return _ADAPTER.validate_json(raw)
