"""What can go wrong with history.

QueryError
├── BadCursor              a cursor of another list, or not one of ours
├── BadPosition            a position that is not one of this log
├── UnknownExecution       there is no execution of that id
├── TooManyFollowed        one stream follows no more executions
├── EventMissing           an event of an execution can't be read, or history lacks it
├── WrittenLater           a later release wrote it, and has to read it
├── HistoryUnavailable     ClickHouse does not answer now, or a write is not seen yet; the same again later
├── HistoryFailed          ClickHouse refused the statement; `.code` is its number
│   └── RowsRefused        it refused rows for what they hold: never will it take them
├── MigrationError         the tables are of another release, or a migration was edited
│   └── MigrationsPending  the tables are of an earlier release; `agentspan query migrate` changes that
└── RebuildMismatch        new tables don't have what the log has
"""


class QueryError(Exception):
    """The root of this package's errors."""


class BadCursor(QueryError):
    """The cursor does not continue this list; ask for the first page instead."""


class BadPosition(QueryError):
    """The position names no place on this log; a write's answer has one that does."""


class UnknownExecution(QueryError):
    """There is no execution of that id; `.execution_id` has it."""

    def __init__(self, execution_id: str) -> None:
        super().__init__(f"there is no execution {execution_id!r}; `agentspan agent list` shows what there is")
        self.execution_id = execution_id


class TooManyFollowed(QueryError):
    """A stream follows as many executions as it can."""


class EventMissing(QueryError):
    """An execution's events can't be followed over the one with number `.seq`; behind it they can."""

    def __init__(self, execution_id: str, seq: int, why: str = "history lacks it") -> None:
        super().__init__(
            f"event {seq} of {execution_id!r} is missing: {why}. `agentspan dlq list --topic events` has it;"
            f" to go on behind it, follow the execution after {seq}"
        )
        self.seq = seq


class WrittenLater(QueryError):
    """A later release wrote it. It waits on the log for a process of that release, and the same request with it."""


class HistoryUnavailable(QueryError):
    """ClickHouse does not answer, or the log was not read so far. Nothing is lost: the log has it all, and the same
    request works later."""


class HistoryFailed(QueryError):
    """ClickHouse refused a statement."""

    def __init__(self, message: str, code: int | None) -> None:
        super().__init__(message)
        self.code = code


class RowsRefused(HistoryFailed):
    """Among the rows of an insert is one, or are several, that ClickHouse will never take."""


class MigrationError(QueryError):
    """The tables cannot be brought to this release."""


class MigrationsPending(MigrationError):
    """The tables of a ClickHouse that others run are of an earlier release, or not there."""


class RebuildMismatch(QueryError):
    """The tables that were built anew do not have what the log has; they were not put in place."""
