"""The state cache in memory: for tests and simulations, and as the picture of what the stored one must do."""

from collections.abc import Iterable
from datetime import datetime

from agentspan.eventlog import BEGINNING, Position
from agentspan_orchestrator.domain import Execution, dump_state, load_state
from agentspan_orchestrator.ports import Row, Snapshot


class MemoryStateCache:
    """Keeps states as the bytes that a stored cache would keep."""

    def __init__(self) -> None:
        self._log_id: str | None = None
        self._position = BEGINNING
        self._command_offset: str | None = None
        self._is_pinned = False
        self._rows: dict[str, Snapshot] = {}

    def open(self, log_id: str) -> tuple[Position, str | None]:
        if self._log_id != log_id:
            self.clear()
            self._log_id = log_id
        self._is_pinned = False
        return self._position, self._command_offset

    def clear(self) -> None:
        self._rows.clear()
        self._position, self._command_offset, self._is_pinned = BEGINNING, None, False

    def get(self, execution_id: str) -> Execution | None:
        found = self.find(execution_id)
        return found[0] if found else None

    def find(self, execution_id: str) -> tuple[Execution, int] | None:
        row = self._rows.get(execution_id)
        return (load_state(row.state), row.reflects) if row else None

    def put(self, rows: Iterable[Row], position: Position, command_offset: str | None) -> None:
        for row in rows:
            execution_id, state = row.state.execution_id, dump_state(row.state)
            parked = not (row.busy or row.state.terminal)
            self._rows[execution_id] = Snapshot(execution_id, state, position.offset, row.next_due, row.busy, parked)
        if not self._is_pinned:
            self._position, self._command_offset = position, command_offset

    def pin(self, position: Position, command_offset: str | None) -> None:
        self._position, self._command_offset, self._is_pinned = position, command_offset, True

    def fill(self, snapshots: Iterable[Snapshot]) -> None:
        for snapshot in snapshots:
            row = self._rows.get(snapshot.execution_id)
            if row is None or row.reflects < snapshot.reflects:
                self._rows[snapshot.execution_id] = snapshot

    def changed_since(self, offset: int) -> Iterable[str]:
        return [execution_id for execution_id, row in self._rows.items() if row.reflects > offset]

    def busy(self) -> Iterable[Execution]:
        return [load_state(row.state) for row in self._rows.values() if row.busy]

    def parked(self) -> int:
        return sum(row.parked for row in self._rows.values())

    def due(self) -> Iterable[tuple[datetime, str]]:
        return [(row.next_due, row.execution_id) for row in self._rows.values() if row.next_due is not None]
