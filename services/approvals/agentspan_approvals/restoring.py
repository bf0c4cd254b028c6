"""A lost view comes back from the approvals topic, which has every request as it stands, and not from the whole log.

What is doubtful there is folded from the log instead: docs/decisions/0123 says what can be, and why the rest is true.
"""

import asyncio
import logging
from collections.abc import AsyncGenerator, Mapping
from contextlib import AsyncExitStack, aclosing
from dataclasses import dataclass, field

from agentspan.eventlog import CaughtUp, Change, Position, Table
from agentspan_approvals.domain import OPEN
from agentspan_approvals.entries import Reach, kept, reach
from agentspan_approvals.ports import ApprovalStore, Kept
from agentspan_approvals.publisher import Stood
from agentspan_approvals.publishing import Standing
from agentspan_schemas import Unreadable

logger = logging.getLogger(__name__)

TAKEN_AT_ONCE = 1000
"""After so many, everybody else has a turn."""

FILLED_AT_ONCE = 4000
"""With each lot, however small, most pages of the view's indexes are written again. A file takes some 32,000 values
at once."""


@dataclass(frozen=True, slots=True)
class Restored:
    """Where a partition's view stands."""

    position: Position
    """Go on from here."""
    ahead: Mapping[str, int]
    """The requests that reflect more of the log than that, and up to which offset."""
    open: set[str]
    """The executions with a request that waits for a person."""
    stood: Stood
    """What it was restored from, and what comes behind it. Close it."""


class Doubtful(Exception):
    """The topic may lack what the log says."""


async def restored(table: Table, number: int, log_id: str, store: ApprovalStore) -> Restored | None:
    """Fill the store with what stands of the partition. None: nothing says up to where that reflects the log, or it is
    doubtful; then the store holds anything, and the log has to be folded."""
    async with AsyncExitStack() as closing:
        changes = await closing.enter_async_context(aclosing(table.follow(number)))
        reading = _Reading(log_id)
        try:
            await _filled(store, number, changes, reading)
        except (Doubtful, Unreadable) as error:
            logger.warning("the approvals of partition %d are folded from the log: %s", number, error)
            return None
        published = reading.published
        if published is None:
            return None
        closing.pop_all()
        ahead = {key: at for key, at in reading.reflects.items() if at > published.offset}
        return Restored(published, ahead, reading.open, Stood(reading.standing, changes))


async def _filled(
    store: ApprovalStore, number: int, changes: AsyncGenerator[Change | CaughtUp, None], reading: "_Reading"
) -> None:
    """Raises Doubtful, or Unreadable."""
    async for change in changes:
        if isinstance(change, CaughtUp):
            break
        reading.take(change)
        if len(reading.found) >= FILLED_AT_ONCE:
            store.fill(number, reading.found)
            reading.found.clear()
        if len(reading.found) % TAKEN_AT_ONCE == 0:
            await asyncio.sleep(0)
    store.fill(number, reading.found)


@dataclass(slots=True)
class _Reading:
    """What the entries said so far, in the order in which they were put."""

    log_id: str
    published: Position | None = None
    found: list[Kept] = field(default_factory=list)
    open: set[str] = field(default_factory=set)
    reflects: dict[str, int] = field(default_factory=dict)
    standing: dict[str, Standing] = field(default_factory=dict)

    def take(self, change: Change) -> None:
        """Raises Doubtful, or Unreadable."""
        assert change.record is not None, "what is buried does not stand"
        found, self.standing[change.key] = kept(change.key, change.record)
        self.found.append(found)
        if found.state in OPEN:
            self.open.add(found.execution_id)
        reached = reach(change.record)
        self._check(change.key, reached)
        if reached is not None:
            self.reflects[change.key] = reached.reflects.offset
            if reached.published is not None and reached.published.offset > self._offset:
                self.published = reached.published

    def _check(self, key: str, reached: Reach | None) -> None:
        """An entry that reflects less than what stood here before it may have been put over a newer one, by somebody
        who was frozen and woke up; who could have put it right may have ended before."""
        if reached is not None and reached.log_id != self.log_id:
            raise Doubtful(f"{key!r} is of another log")
        if self.published is not None and (reached is None or reached.reflects.offset < self._offset):
            raise Doubtful(f"{key!r} may have been put over a newer entry")

    @property
    def _offset(self) -> int:
        return self.published.offset if self.published is not None else -1
