"""The ports that owners and senders use, each with the auditor beside it: what passes is what it is told."""

from collections.abc import AsyncGenerator, Awaitable, Callable, Iterable
from datetime import datetime

from agentspan.eventlog import CaughtUp, Change, Position, Record
from agentspan.eventlog.commands import Commands
from agentspan.eventlog.memory import MemoryTable
from agentspan_approvals.domain import OPEN
from agentspan_approvals.ports import Kept, Search
from agentspan_orchestrator.adapters.memory_cache import MemoryStateCache
from agentspan_orchestrator.domain import Execution
from agentspan_orchestrator.ports import Row
from agentspan_schemas.answers import Answer
from agentspan_schemas.approvals import ApprovalRecord
from agentspan_schemas.commands import Command
from tests.simulation.auditor import Auditor


class AuditedTasks:
    """The tasks table as one owner writes it."""

    def __init__(self, table: MemoryTable, owner: str, auditor: Auditor, now: Callable[[], datetime]) -> None:
        self._table = table
        self._owner = owner
        self._auditor = auditor
        self._now = now
        self.partitions = table.partitions

    def put(self, key: str, record: Record | None, *, partition: int | None = None) -> Awaitable[object]:
        """Tell the auditor, then put."""
        self._auditor.task_put(self._owner, key, record, self._now())
        return self._table.put(key, record, partition=partition)

    def follow(self, partition: int | None = None) -> AsyncGenerator[Change | CaughtUp, None]:
        """As the table does."""
        return self._table.follow(partition)


class AuditedCommands:
    """The commands of one sender."""

    def __init__(self, commands: Commands, auditor: Auditor) -> None:
        self._commands = commands
        self._auditor = auditor

    async def submit(self, command: Command) -> Answer:
        """Send, and tell the auditor what was heard. Raises OutcomeUnknown or Unavailable."""
        answer = await self._commands.submit(command)
        self._auditor.answered(command, answer)
        return answer


class AuditedCache(MemoryStateCache):
    """One owner's states of one partition. It can be set back to an older copy, as a crash may."""

    def __init__(self, owner: str, number: int, auditor: Auditor) -> None:
        super().__init__()
        self._owner = owner
        self._number = number
        self._auditor = auditor
        self.copy()

    def put(self, rows: Iterable[Row], position: Position, command_offset: str | None) -> None:
        """Tell the auditor, then keep."""
        rows = list(rows)
        self._auditor.state_kept(self._owner, self._number, rows, position, command_offset)
        super().put(rows, position, command_offset)

    def busy(self) -> Iterable[Execution]:
        """What an owner asks once it has restored: so all that is here is compared with the log."""
        states = [state for key in self._rows if (state := self.get(key)) is not None]
        self._auditor.restored(self._owner, self._number, states, self._position)
        return super().busy()

    def copy(self) -> None:
        """Remember what is here now, as what had reached the disk."""
        self._copied = (self._log_id, self._position, self._command_offset, dict(self._rows))

    def set_back(self) -> None:
        """Be what was remembered last."""
        self._log_id, self._position, self._command_offset, rows = self._copied
        self._rows = dict(rows)


class Inbox:
    """The requests for a decision, kept in memory: what the approvals service needs of a store."""

    def __init__(self) -> None:
        self._records: dict[str, ApprovalRecord] = {}
        self._partition_of: dict[str, int] = {}
        self._positions: dict[int, Position] = {}

    def open(self, log_id: str) -> None:
        """There is only one log."""

    def clear(self, partition: int) -> None:
        """Forget what was kept of a partition: it will be folded again."""
        self._positions.pop(partition, None)

    def position(self, partition: int) -> Position:
        """The position that the partition's records reflect."""
        return self._positions.get(partition, Position(0, 0, 0))

    def fill(self, partition: int, requests: Iterable[Kept]) -> None:
        raise AssertionError("nobody restores it")

    def put(self, partition: int, records: Iterable[ApprovalRecord], position: Position) -> None:
        """Records and the position they reflect, together."""
        for record in records:
            self._records[record.approval_id] = record
            self._partition_of[record.approval_id] = partition
        self._positions[partition] = position

    def get(self, approval_id: str) -> ApprovalRecord | None:
        """One request."""
        return self._records.get(approval_id)

    def open_executions(self) -> dict[int, set[str]]:
        """Of each partition: the executions with a request that waits for a person."""
        numbers = set(self._partition_of.values())
        return {number: {r.execution_id for r in self.of(number) if r.state in OPEN} for number in numbers}

    def of_execution(self, execution_id: str) -> dict[str, ApprovalRecord]:
        """All requests of an execution, by their ids."""
        return {key: record for key, record in self._records.items() if record.execution_id == execution_id}

    def of(self, partition: int) -> list[ApprovalRecord]:
        """All requests of a partition."""
        return [record for key, record in self._records.items() if self._partition_of[key] == partition]

    def search(self, search: Search) -> list[ApprovalRecord]:
        """Those of an execution, or in some state."""
        return [
            record
            for record in self._records.values()
            if search.execution_id in (None, record.execution_id)
            and (not search.states or record.state in search.states)
        ]
