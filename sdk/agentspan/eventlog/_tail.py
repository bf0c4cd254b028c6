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
        self._records: dict[int, Stored] = {}
        self._bytes = 0

    def push(self, stored: Stored) -> None:
        """Add the next record; the oldest make room."""
        self._records[stored.offset] = stored
        self._bytes += len(stored.record.value)
        while len(self._records) > self._max_records or self._bytes > self._max_bytes:
            # by its offset: looking for a dict's first key gets slow once many were removed before it
            oldest = self._records.pop(stored.offset - len(self._records) + 1)
            self._bytes -= len(oldest.record.value)

    def read(self, offset: int, limit: int) -> Sequence[Stored]:
        """Up to `limit` records from `offset` on; none if that one is not here."""
        found = []
        for at in range(offset, offset + limit):
            stored = self._records.get(at)
            if stored is None:
                break
            found.append(stored)
        return found
