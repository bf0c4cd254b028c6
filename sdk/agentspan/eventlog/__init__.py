"""The log: its ports, the rule that fences an owner, and the adapters (`eventlog.memory`, `eventlog.sqlite`).

An owner takes a partition over, appends outcomes and lets nothing leave before they are released:

    ownership = await log.partition(0).take_over("orchestrator-1")
    async for outcome in log.partition(0).follow(saved, until=ownership.position):
        ...                                                # the state to go on from
    outcome = await ownership.append([Record("started", execution_id, value)])

Everybody else follows: `async for outcome in log.partition(0).follow(position)`.
"""

from agentspan.eventlog._errors import (
    BeyondEnd,
    Deposed,
    FateUnknown,
    Fenced,
    LogClosed,
    LogDamaged,
    LogError,
    LogLocked,
    LogMismatch,
    StaleEpoch,
    StorageFull,
    WriteError,
)
from agentspan.eventlog._murmur2 import partition_for
from agentspan.eventlog._ownership import Ownership
from agentspan.eventlog._partition import Log, PartitionLog
from agentspan.eventlog._ports import CaughtUp, Change, Inbox, RawLog, Table
from agentspan.eventlog._reader import Reader
from agentspan.eventlog._records import BEGINNING, TAKEOVER, Outcome, Position, Record, Stamp, Stored
from agentspan.eventlog._watermark import Watermark

__all__ = [
    "BEGINNING",
    "TAKEOVER",
    "BeyondEnd",
    "CaughtUp",
    "Change",
    "Deposed",
    "FateUnknown",
    "Fenced",
    "Inbox",
    "Log",
    "LogClosed",
    "LogDamaged",
    "LogError",
    "LogLocked",
    "LogMismatch",
    "Outcome",
    "Ownership",
    "PartitionLog",
    "Position",
    "RawLog",
    "Reader",
    "Record",
    "StaleEpoch",
    "Stamp",
    "StorageFull",
    "Stored",
    "Table",
    "Watermark",
    "WriteError",
    "partition_for",
]
