"""When the executions of an owned partition must be looked at next: one moment each.

Apart because a heap forgets nothing by itself: a moment that was moved or taken back must cost nothing until it comes.
"""

import asyncio
import heapq
from collections.abc import Iterable
from datetime import datetime

SPARE = 1_000
"""So many moments that hold no more may lie in the heap beside as many as those that do."""


class Alarms:
    """The next moment of each execution."""

    def __init__(self, due: Iterable[tuple[datetime, str]] = ()) -> None:
        self._due = {execution_id: moment for moment, execution_id in due}
        self._heap: list[tuple[datetime, str]] = []
        self._set = asyncio.Event()
        self._sort()

    def __len__(self) -> int:
        """How many moments are kept, those that hold no more among them."""
        return len(self._heap)

    def set(self, execution_id: str, due: datetime | None) -> None:
        """Look at the execution then; None: not any more."""
        if due is None:
            self._due.pop(execution_id, None)
        elif self._due.get(execution_id) != due:
            self._due[execution_id] = due
            heapq.heappush(self._heap, (due, execution_id))
            self._set.set()
        if len(self._heap) > 2 * len(self._due) + SPARE:
            self._sort()

    async def some(self) -> None:
        """Return when there is a moment to wait for: until then nobody need look at the clock."""
        while not self._due:
            self._set.clear()
            await self._set.wait()

    def take(self, now: datetime) -> list[str]:
        """The executions whose moment has come, the earliest first; each is forgotten until it is set again."""
        taken = []
        while self._heap and self._heap[0][0] <= now:
            due, execution_id = heapq.heappop(self._heap)
            if self._due.get(execution_id) == due:
                del self._due[execution_id]
                taken.append(execution_id)
        return taken

    def _sort(self) -> None:
        self._heap = [(moment, execution_id) for execution_id, moment in self._due.items()]
        heapq.heapify(self._heap)
