"""Approvals out: every request and its later states on a table that other teams read.

Apart from the view because many processes keep a view of all partitions, and one publishes each of them. All of it
follows from the log: what was not written, or was written over by somebody who woke up late, is put right here.
"""

import asyncio
import logging
from collections import defaultdict
from collections.abc import AsyncGenerator, Awaitable, Iterable
from contextlib import aclosing
from dataclasses import dataclass, field

from agentspan.eventlog import BEGINNING, CaughtUp, Change, Position, Record, Table, WriteError
from agentspan_approvals.entries import Reach, entry, standing
from agentspan_approvals.errors import ViewDamaged
from agentspan_approvals.ports import ApprovalStore, Now, Sleep
from agentspan_approvals.publishing import Standing, Version, due, over
from agentspan_schemas import Unreadable
from agentspan_schemas.approvals import ApprovalRecord

logger = logging.getLogger(__name__)

AGAIN_S = 1.0
SWEEP_S = 3600.0
"""How often old records are looked for."""

COMPARED_AT_ONCE = 200
"""After so many, everybody else has a turn."""


OFFERED_S = 60.0
"""So long what was read for the view is kept for whoever publishes the partition: a group takes seconds to say who."""


@dataclass(slots=True)
class Stood:
    """What stood of a partition when its view was restored from there: neither is to be read, or compared, again."""

    standing: dict[str, Standing]
    changes: AsyncGenerator[Change | CaughtUp, None]
    """What comes behind it."""
    changed: set[str] = field(default_factory=set)
    """The requests that the view has changed since."""


class Publisher:
    """Serve each partition in one process; two at a time do no harm."""

    def __init__(self, *, table: Table, store: ApprovalStore, log_id: str, now: Now, sleep: Sleep) -> None:
        self._table = table
        self._store = store
        self._log_id = log_id
        self._now = now
        self._sleep = sleep
        self._served: dict[int, _Partition] = {}
        self._reached: dict[int, Position] = {}
        self._begun: defaultdict[int, asyncio.Event] = defaultdict(asyncio.Event)
        self._stood: dict[int, Stood] = {}

    async def run(self) -> None:
        """Publish all partitions, until cancelled."""
        async with asyncio.TaskGroup() as group:
            for number in range(self._table.partitions):
                group.create_task(self.serve(number))

    async def serve(self, number: int) -> None:
        """Publish one partition, until cancelled. After a failed write, compare again all that stands there."""
        await self._begun[number].wait()
        while True:
            stood = self._stood.pop(number, None)
            partition = _Partition(number, self._table, self._store, self._log_id, self._now, stood)
            partition.reached = self._reached.get(number, BEGINNING)
            self._served[number] = partition
            try:
                await partition.run(self._sleep)
            except* (WriteError, ViewDamaged) as failed:  # a damaged view is made anew by whoever keeps it
                logger.warning("approvals of partition %d: %s; comparing again", number, failed.exceptions[0])
            finally:
                if self._served.get(number) is partition:
                    del self._served[number]
            stop_if_told()
            await self._sleep(AGAIN_S)

    def begun(self, number: int) -> None:
        """The view of a partition has what it was kept with, or restored from: there is something to compare."""
        self._begun[number].set()

    async def offer(self, number: int, stood: Stood) -> None:
        """What the view of a partition was restored from, for a while. It has begun."""
        self._stood[number] = stood
        self.begun(number)
        try:
            await self._sleep(OFFERED_S)
        finally:
            if self._stood.get(number) is stood:
                del self._stood[number]
                await stood.changes.aclose()

    @property
    def serves(self) -> frozenset[int]:
        """The partitions that are published here."""
        return frozenset(self._served)

    def changed(self, number: int, records: Iterable[ApprovalRecord], position: Position) -> None:
        """The view of a partition has changed, by the outcome that ends at that position."""
        self._reached[number] = position
        if number in self._served:
            self._served[number].reached = position
            self._served[number].changed(records)
        elif number in self._stood:
            self._stood[number].changed.update(record.approval_id for record in records)

    def advanced(self, number: int, position: Position) -> None:
        """The view of a partition has come so far, and what it changed on the way was told."""
        self._reached[number] = position
        if number in self._served:
            self._served[number].reached = position
            self._served[number].advanced()


class _Partition:
    """What is known of one partition of the table, and what is on its way there."""

    def __init__(
        self, number: int, table: Table, store: ApprovalStore, log_id: str, now: Now, stood: Stood | None
    ) -> None:
        self._number = number
        self._table = table
        self._stood = stood
        self._store = store
        self._log_id = log_id
        self._now = now
        self.reached = BEGINNING
        """Up to where the view reflects the log."""
        self._published: Position | None = None
        """Up to where all that the log says stands on the table, and was acknowledged."""
        self._standing = stood.standing if stood is not None else {}
        self._sent: dict[str, Version | None] = {}
        """The last word on a request that was written here and has not come back yet; None: buried."""
        self._writing: asyncio.Queue[Awaitable[object] | Position] = asyncio.Queue()
        """What is on its way there, and between, up to where all that the log says is: what was put before it."""
        self._caught_up = stood is not None
        self._compared = False

    async def run(self, sleep: Sleep) -> None:
        async with asyncio.TaskGroup() as group:
            group.create_task(self._follow())
            group.create_task(self._sweep(sleep))
            await self._acknowledge()  # inside the group: a failure of its body leaves no cancellation behind

    def changed(self, records: Iterable[ApprovalRecord]) -> None:
        if self._caught_up:  # until then, all are compared at its end
            for record in records:
                self._compare(record)

    def advanced(self) -> None:
        if self._compared:
            self._writing.put_nowait(self.reached)

    async def _follow(self) -> None:
        if self._stood is not None:
            self._go_on(self._stood.changed)
        changes = self._table.follow(self._number) if self._stood is None else self._stood.changes
        async with aclosing(changes):
            async for change in changes:
                if isinstance(change, Change):
                    self._seen(change)
                else:
                    await self._compare_all()

    def _go_on(self, changed: Iterable[str]) -> None:
        """From what the view was restored from: all else is as it stands there."""
        for key in changed:
            if (own := self._store.get(key)) is not None:
                self._compare(own)
        self._compared = True
        self.advanced()

    async def _compare_all(self) -> None:
        self._caught_up = True
        for count, record in enumerate(self._store.of(self._number)):
            self._compare(record)
            if count % COMPARED_AT_ONCE == 0:
                await asyncio.sleep(0)
        self._compared = True
        self.advanced()

    def _seen(self, change: Change) -> None:
        key, stands = change.key, _standing(change.record)
        if stands is None:
            self._standing.pop(key, None)
        else:
            self._standing[key] = stands
        if key in self._sent and _came_back(self._sent[key], stands):
            del self._sent[key]
        if self._caught_up and key not in self._sent and (own := self._store.get(key)) is not None:
            self._compare(own)

    def _compare(self, own: ApprovalRecord) -> None:
        key = own.approval_id
        sent = self._sent.get(key)
        stands = Standing(sent, own.ended_at) if sent is not None else self._standing.get(key)
        match due(own, stands, self._now()):
            case "put":
                reach = Reach(self._log_id, self.reached, self._published)
                self._put(key, entry(own, reach), own.version)
            case "bury":
                self._put(key, None, None)
            case None:
                return

    def _put(self, key: str, record: Record | None, version: Version | None) -> None:
        self._sent[key] = version
        self._writing.put_nowait(self._table.put(key, record, partition=self._number))

    async def _acknowledge(self) -> None:
        while True:
            match await self._writing.get():
                case Position() as reached:
                    self._published = reached
                case put:
                    await put

    async def _sweep(self, sleep: Sleep) -> None:
        while True:
            await sleep(SWEEP_S)
            now = self._now()
            for key in [key for key, stands in self._standing.items() if over(stands.ended_at, now)]:
                if key not in self._sent:
                    self._put(key, None, None)


def _standing(record: Record | None) -> Standing | None:
    """What an entry says; one that nobody can read is below every record."""
    if record is None:
        return None
    try:
        return standing(record)
    except Unreadable as error:
        logger.warning("an entry of the approvals that nobody can read is written over: %s", error)
        return Standing((-1, 0), None)


def _came_back(sent: Version | None, stands: Standing | None) -> bool:
    if sent is None or stands is None:
        return sent is None and stands is None
    return stands.version >= sent


def stop_if_told() -> None:
    """A task group that is cancelled while it fails raises only the failure, and we would serve on."""
    task = asyncio.current_task()
    if task is not None and task.cancelling():
        raise asyncio.CancelledError
