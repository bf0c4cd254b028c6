"""The state cache in memory: for tests and simulations, and as the picture of what the stored one must do."""

from collections.abc import Iterable
from datetime import datetime

from agentspan.eventlog import BEGINNING, Position
from agentspan_orchestrator.domain import Execution, dump_state, load_state
from agentspan_orchestrator.ports import Row


class MemoryStateCache:
    """Keeps states as the bytes that a stored cache would keep."""

    def __init__(self) -> None:
        self._log_id: str | None = None
        self._position = BEGINNING
        self._command_offset: str | None = None
        self._rows: dict[str, tuple[bytes, datetime | None, bool]] = {}

    def open(self, log_id: str) -> tuple[Position, str | None]:
        if self._log_id != log_id:
            self.clear()
            self._log_id = log_id
        return self._position, self._command_offset

    def clear(self) -> None:
        self._rows.clear()
        self._position, self._command_offset = BEGINNING, None

    def get(self, execution_id: str) -> Execution | None:
        row = self._rows.get(execution_id)
        return load_state(row[0]) if row else None

    def put(self, rows: Iterable[Row], position: Position, command_offset: str | None) -> None:
        for row in rows:
            self._rows[row.state.execution_id] = (dump_state(row.state), row.next_due, row.busy)
        self._position, self._command_offset = position, command_offset

    def busy(self) -> Iterable[Execution]:
        return [load_state(state) for state, _, busy in self._rows.values() if busy]

    def due(self) -> Iterable[tuple[datetime, str]]:
        return [(due, execution_id) for execution_id, (_, due, _) in self._rows.items() if due is not None]
