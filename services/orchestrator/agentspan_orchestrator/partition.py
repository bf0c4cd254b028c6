"""The life of one partition in this process: take over, restore, serve, and when the log says so, begin again."""

import asyncio
import logging
from dataclasses import dataclass

from agentspan.eventlog import (
    BEGINNING,
    BeyondEnd,
    Deposed,
    Fenced,
    Inbox,
    Log,
    Ownership,
    Position,
    StorageFull,
    Stored,
    Table,
    WriteError,
)
from agentspan.eventlog import Outcome as Released
from agentspan.eventlog.messages import COMMAND_OFFSET, OnLog, read_log_record
from agentspan_orchestrator.definitions import Definitions
from agentspan_orchestrator.domain import Execution, evolve, evolve_note, has_work, next_due
from agentspan_orchestrator.leases import Leases, Watch
from agentspan_orchestrator.owned import OwnedPartition
from agentspan_orchestrator.ports import UNOBSERVED, Assigned, Now, Observer, Row, Sleep, Standing, StateCache
from agentspan_orchestrator.snapshots import Snapshots
from agentspan_orchestrator.taskbook import TaskBook
from agentspan_schemas import Unreadable
from agentspan_schemas import commands as c
from agentspan_schemas.answers import Refused, Repeated, UnreadableCommand
from agentspan_schemas.codec import COMMANDS

logger = logging.getLogger(__name__)

TICK_S = 0.05
"""How often due timers are looked for, while there are timers."""

LEASE_TICK_S = 1.0
TAKE_OVER_AGAIN_S = 1.0
FOLDED_AT_ONCE = 500

Reached = tuple[Position, str | None]
"""A position on the log, and the command offset that it reflects."""


async def always(partition: int) -> bool:
    """Of a process that has all partitions for itself."""
    return True


@dataclass(frozen=True, slots=True)
class Surroundings:
    """What all partitions of an orchestrator share."""

    log: Log
    inbox: Inbox
    tasks: Table
    definitions: Definitions
    leases: Leases
    owner_id: str
    now: Now
    sleep: Sleep
    snapshots: Table | None = None
    """Where there is none, a lost cache means folding the whole log."""
    assigned: Assigned = always
    observer: Observer = UNOBSERVED


class Partition:
    """Runs one partition for as long as it is assigned to this process."""

    def __init__(self, number: int, surroundings: Surroundings, cache: StateCache) -> None:
        self._number = number
        self._around = surroundings
        self._log = surroundings.log.partition(number)
        self._cache = cache
        self.unavailable: str | None = "the server is reading its log; try again in a moment"
        """Why nothing can be decided now; None while the partition is served."""
        self._unread: dict[str, str] = {}
        """The executions of which a record can't be read, and which one: nothing of theirs is decided."""
        self._to_restore = 0
        self._served: tuple[OwnedPartition, TaskBook] | None = None

    def standing(self) -> Standing:
        """How it stands now."""
        if self._served is None:
            return Standing(self._number, False, self._to_restore, 0, 0, 0, 0, 0)
        owned, tasks = self._served
        keys = tasks.open_keys
        models = sum(key.split("/")[1].startswith("model-") for key in keys)
        commands_to = _next_offset(self._around.inbox.id, owned.command_offset)
        tools, parked = len(keys) - models, self._cache.parked()
        unread = len(self._unread)
        return Standing(self._number, True, 0, commands_to, models, tools, tasks.active, parked, unread)

    async def run(self) -> None:
        """Take the partition over and serve it; when the ownership ends, again, if the partition is still ours."""
        while True:
            try:
                await self._own()
            except* (Deposed, WriteError) as ended:
                self._stopped(ended)
            _stop_if_told()
            await self._around.sleep(TAKE_OVER_AGAIN_S)
            while not await self._around.assigned(self._number):
                await self._around.sleep(TAKE_OVER_AGAIN_S)

    async def _own(self) -> None:
        around = self._around
        ownership = await self._log.take_over(around.owner_id)
        around.observer.taken_over(self._number)
        snapshots = None
        if around.snapshots is not None:
            snapshots = Snapshots(around.snapshots, self._number, around.log.id, self._cache, around.now)
        try:
            position, command_offset = await self._restore(ownership.position, snapshots)
            around.observer.restored(self._number)
            if self._unread:
                snapshots = None  # a checkpoint would say that all before it is in the snapshots
            if snapshots is not None:
                snapshots.begin(position, command_offset)
            await self._serve(ownership, command_offset, snapshots)
        finally:
            ownership.close()

    async def _restore(self, until: Position, snapshots: Snapshots | None) -> Reached:
        """Bring the cache up to the takeover: as it is, or from snapshots that are further; then the log's tail."""
        standing = self._cache.open(self._around.log.id)
        try:
            if snapshots is not None:
                standing = await self._fill(snapshots, standing, until)
            return await self._fold(*standing, until)
        except BeyondEnd as error:
            logger.warning("partition %d: %s; folding anew", self._number, error)
            self._cache.clear()
            if snapshots is not None:
                await snapshots.forget()
            return await self._fold(BEGINNING, None, until)

    async def _fill(self, snapshots: Snapshots, standing: Reached, until: Position) -> Reached:
        checkpoint = await snapshots.load(standing[0], until)
        if checkpoint is None or checkpoint.position.offset <= standing[0].offset:
            return standing
        self._cache.put([], checkpoint.position, checkpoint.command_offset)
        return checkpoint.position, checkpoint.command_offset

    async def _fold(self, position: Position, command_offset: str | None, until: Position) -> Reached:
        changed: dict[str, Execution] = {}
        self._to_restore = until.offset - position.offset
        self._unread.clear()
        async for outcome in self._log.follow(position, until=until):
            try:
                self._fold_outcome(outcome, changed)
            except Unreadable as error:
                self._keep(changed, position, command_offset)
                self._leave(outcome, error, position, command_offset)
            command_offset = outcome.records[-1].record.attributes.get(COMMAND_OFFSET) or command_offset
            position = outcome.position
            self._to_restore = until.offset - position.offset
            if len(changed) >= FOLDED_AT_ONCE:
                self._keep(changed, position, command_offset)
        self._keep(changed, position, command_offset)
        return position, command_offset

    def _fold_outcome(self, outcome: Released, changed: dict[str, Execution]) -> None:
        """Fold one outcome, which is of one execution, into `changed`. Raises Unreadable and folds nothing of it."""
        key = outcome.records[0].record.key
        if key in self._unread:
            return
        state = changed.get(key)
        if state is None and (kept := self._cache.find(key)) is not None:
            state, reflects = kept
            if reflects >= outcome.position.offset:
                return  # it was filled in from a snapshot that is further
        for stored in outcome.records:
            state = _folded(state, self._read(stored))
        if state is not None:
            changed[key] = state

    def _read(self, stored: Stored) -> OnLog:
        try:
            return read_log_record(stored.record)
        except Unreadable as error:
            where = f"{stored.record.type!r} of {stored.record.key!r} at {self._number}:{stored.offset} of the log"
            raise Unreadable(f"{where} can't be read: {error}", error.raw) from error

    def _leave(self, outcome: Released, error: Unreadable, position: Position, command_offset: str | None) -> None:
        """Go on without its execution, whose state is not known any more: one that lacks an event may run a tool twice.
        The cache stands before it for as long as it can't be read, so that a release that can begins there."""
        if not self._unread:
            self._cache.pin(position, command_offset)
        self._unread |= {stored.record.key: str(error) for stored in outcome.records}
        key = outcome.records[0].record.key
        logger.error("partition %d: nothing of %r is decided until a server can read it: %s", self._number, key, error)

    def _keep(self, changed: dict[str, Execution], position: Position, command_offset: str | None) -> None:
        now = self._around.now()
        rows = [Row(state, next_due(state, now), has_work(state)) for state in changed.values()]
        self._cache.put(rows, position, command_offset)
        changed.clear()

    async def _serve(self, ownership: Ownership, command_offset: str | None, snapshots: Snapshots | None) -> None:
        around = self._around
        watch = Watch(around.leases)
        tasks = TaskBook(around.tasks, self._number, watch, around.now, confirm=ownership.confirm)
        owned = OwnedPartition(
            ownership,
            self._cache,
            tasks,
            around.definitions,
            now=around.now,
            command_offset=command_offset,
            snapshots=snapshots,
            observer=around.observer,
            unread=self._unread,
        )
        async with asyncio.TaskGroup() as group:
            group.create_task(tasks.run(owned.restore, self._cache.get))
            await tasks.restored.wait()
            group.create_task(owned.release())
            await owned.fire_due()  # what became due while nobody served comes before what is asked now
            group.create_task(self._receive(owned, command_offset))
            group.create_task(self._fire(owned))
            group.create_task(self._report(owned))
            if snapshots is not None:
                group.create_task(snapshots.run(ownership, around.sleep))
            self.unavailable, self._served = None, (owned, tasks)
            logger.info("partition %d is served in epoch %d", self._number, ownership.epoch)
            await tasks.failed  # inside the group: a failure that ends a group's body leaves no cancellation behind

    async def _receive(self, owned: OwnedPartition, command_offset: str | None) -> None:
        """Decide the commands of the inbox, strictly in order."""
        inbox = self._around.inbox
        async for offset, record in inbox.receive(self._number, _next_offset(inbox.id, command_offset)):
            at = f"{inbox.id}/{offset}"
            await owned.room()
            try:
                command = record.message or COMMANDS.decode(record.value)
            except Unreadable as error:
                logger.warning("command at offset %d of partition %d: %s", offset, self._number, error)
                owned.unreadable(record, str(error), at)
                continue
            if (why := self._unread.get(record.key)) is not None:
                owned.unreadable(record, why, at)
                continue
            await self._decide(owned, command, at)  # type: ignore[arg-type]

    async def _decide(self, owned: OwnedPartition, command: c.Command, at: str) -> None:
        version = owned.version_for(command)
        if version is not None and self._around.definitions.get(*version) is None:
            await self._around.definitions.awaited(*version)
        owned.decide(command, at)

    async def _fire(self, owned: OwnedPartition) -> None:
        """Look for due timers, while there are any: where all wait for people, nothing wakes."""
        while True:
            await owned.fire_due()
            await self._around.sleep(TICK_S)
            await owned.alarmed()

    async def _report(self, owned: OwnedPartition) -> None:
        while True:
            await owned.report_lost()
            await self._around.sleep(LEASE_TICK_S)

    def _stopped(self, ended: BaseExceptionGroup[Exception]) -> None:
        self._served = None
        causes = _leaves(ended)
        self._around.observer.deposed(self._number, fenced=any(isinstance(cause, Fenced) for cause in causes))
        full = any(isinstance(cause, StorageFull) for cause in causes)
        self.unavailable = (
            "the disk that holds the log is full; free some space and send again"
            if full
            else "the partition is changing hands; try again in a moment"
        )
        logger.warning("partition %d: %s (%s)", self._number, causes[0], self.unavailable)


def _folded(state: Execution | None, message: OnLog) -> Execution | None:
    if isinstance(message, Refused | Repeated | UnreadableCommand):
        return evolve_note(state, message)
    return evolve(state, message)


def _next_offset(inbox_id: str, command_offset: str | None) -> int:
    """Where to go on in the inbox; under another id from the earliest."""
    of, _, offset = (command_offset or "").rpartition("/")
    return int(offset) + 1 if of == inbox_id else 0


def _leaves(error: BaseException) -> list[BaseException]:
    """The errors of a group, and what caused each of them."""
    if isinstance(error, BaseExceptionGroup):
        return [leaf for inner in error.exceptions for leaf in _leaves(inner)]
    return [error, *(_leaves(error.__cause__) if error.__cause__ else ())]


def _stop_if_told() -> None:
    """A task group that is cancelled while it fails raises only the failure, and we would serve on."""
    task = asyncio.current_task()
    if task is not None and task.cancelling():
        raise asyncio.CancelledError
