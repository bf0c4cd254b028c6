"""The newest records of a partition as this process appended them, objects included, so that followers beside the owner
neither read the file nor decode again. Bounded; what is older is in the file."""

from collections.abc import Sequence

from agentspan.eventlog._records import Stored

MAX_RECORDS = 4096
MAX_BYTES = 16 * 1024 * 1024


class Tail:
    """Records in offset order without a gap."""

    def __init__(self, *, max_records: int = MAX_RECORDS, max_bytes: int = MAX_BYTES) -> None:
        self._max_records = max_records
        self._max_bytes = max_bytes
        self._records: list[Stored] = []
        self._bytes = 0

    def push(self, stored: Sequence[Stored]) -> None:
        """Add the next records. Now and then the oldest make room, many at once: a list's front is slow to cut."""
        self._records += stored
        self._bytes += sum([len(record.value) for _, _, record in stored])
        if len(self._records) > self._max_records or self._bytes > self._max_bytes:
            self._cut()

    def read(self, offset: int, limit: int) -> Sequence[Stored]:
        """Up to `limit` records from `offset` on; none if that one is not here."""
        at = offset - self._records[0].offset if self._records else -1
        return self._records[at : at + limit] if at >= 0 else []

    def _cut(self) -> None:
        """Leave three quarters of what there may be."""
        surplus = max(0, len(self._records) - self._max_records * 3 // 4)
        self._bytes -= sum([len(record.value) for _, _, record in self._records[:surplus]])
        while self._bytes > self._max_bytes * 3 // 4:
            self._bytes -= len(self._records[surplus].record.value)
            surplus += 1
        del self._records[:surplus]
