"""What can go wrong with a log, an inbox or a table.

    LogError
    ├── Deposed           this ownership is over: drop what was not released, take over again and fold again
    │   └── Fenced        another owner has taken over: take over again only if the partition is still assigned
    ├── WriteError        one write failed
    │   ├── FateUnknown   it may stand or not; reading the log tells
    │   ├── StorageFull   nothing of it stands; goes on when there is room
    │   └── StaleEpoch    nothing of it stands: the log has a later owner
    ├── BeyondEnd         a position that this log has not reached: it belongs to another log
    ├── LogLocked         another process has this log open
    ├── LogMismatch       the stored log is not what was asked for
    ├── LogDamaged        the stored log holds something else than was written
    └── LogClosed         this process has closed it

A WriteError under an owner's append reaches its caller as the `__cause__` of Deposed.
"""


class LogError(Exception):
    """The root of this package's errors."""


class Deposed(LogError):
    """This ownership is over. What it had not released may stand or not: take over again and read."""


class Fenced(Deposed):
    """Another owner has taken over the partition."""


class WriteError(LogError):
    """One write failed."""


class FateUnknown(WriteError):
    """A write was not acknowledged: it may stand, in part or as a whole, or come later, or never."""


class StorageFull(WriteError):
    """There was no room; nothing of the write stands."""


class StaleEpoch(WriteError):
    """A write of an owner that the log knows to be stale; nothing of it stands."""


class BeyondEnd(LogError):
    """A position ahead of the log's end, as one of another log or of a log that was restored from a backup."""


class LogLocked(LogError):
    """Another process has this log open."""


class LogMismatch(LogError):
    """The stored log has other partitions than asked for, or the schema of another version."""


class LogDamaged(LogError):
    """The stored log holds something else than was written: only a copy of it has what is lost."""


class LogClosed(LogError):
    """This process has closed the log."""
