"""The snapshots of one owned partition, on a table: whoever takes it over begins there, and not at the log's beginning.

An entry's key ends in its owner's epoch, so what a stale owner still writes hides nothing; `checkpoint/<epoch>` says up
to where on the log all is written. docs/log.md has the rules, docs/decisions/0060 why a late write does no harm.
"""

import asyncio
import logging
from collections.abc import Awaitable, Iterable, Iterator, Sequence
from contextlib import aclosing
from dataclasses import dataclass, field
from datetime import timedelta

from agentspan.eventlog import (
    BEGINNING,
    BeyondEnd,
    CaughtUp,
    Fenced,
    Ownership,
    Position,
    Record,
    Table,
    WriteError,
)
from agentspan.eventlog.messages import COMMAND_OFFSET
from agentspan_orchestrator.ports import Now, Sleep, Snapshot, StateCache
from agentspan_orchestrator.snapshot_records import (
    CHECKPOINT,
    Checkpoint,
    Entry,
    checkpoint_record,
    entry_of,
    key_of,
    snapshot_of,
    state_record,
)
from agentspan_schemas import MAX_VALUE_BYTES

logger = logging.getLogger(__name__)

ROUND_AFTER_RECORDS = 5_000
"""A restorer folds what came after the last checkpoint, and so many records take it half a second. Of a run that is
under way then, a round writes one state more than is needed: with fewer records between them, that would be many."""

ROUND_EVERY_S = 60.0
"""Below that many records, a round a minute: a partition with little to do writes little, and is restored at once."""

LOOK_EVERY_S = 1.0
PUT_AT_ONCE = 32
"""States encoded in one go, a few milliseconds: in between, commands are decided."""

FILLED_AT_ONCE = 1000
"""States written to the cache in one go, a few milliseconds: in between, other partitions are served."""


@dataclass(slots=True)
class _Found:
    """What one reading of the table says beside its states."""

    checkpoint: Entry | None = None
    unreadable: dict[str, int] = field(default_factory=dict)
    beyond: bool = False

    def cannot_read(self, entry: Entry) -> None:
        """Something stands here, and nobody knows what."""
        self.unreadable[entry.execution_id] = max(entry.epoch, self.unreadable.get(entry.execution_id, 0))


class Snapshots:
    """Made for one ownership: `load` before it serves, then `begin`, `released` after each release, and `run` beside.

    Beside the states of one batch it holds the keys that stand, about 200 bytes an execution that is not over.
    """

    def __init__(self, table: Table, partition: int, log_id: str, cache: StateCache, now: Now) -> None:
        self._table = table
        self._partition = partition
        self._log_id = log_id
        self._cache = cache
        self._now = now
        self._standing: dict[str, int] = {}
        """The highest epoch under which something stands, by execution_id or CHECKPOINT."""
        self._over: set[str] = set()
        """Those of them that are over; with the round their keys are let go of."""
        self._old: dict[str, None] = {}
        """Keys with something higher above them: buried after the next checkpoint."""
        self._base = 0
        """The offset of the last checkpoint: what changed before it needs no writing."""
        self._changed: dict[str, None] = {}
        self._records = 0
        self._last_round = now()
        self._position = BEGINNING
        self._command_offset: str | None = None

    # Restoring

    async def load(self, since: Position, until: Position) -> Checkpoint | None:
        """Fill the cache, which stands at `since`, with every state that is further; the checkpoint that then holds.

        `until` is the takeover of the one who asks. Raises Fenced where a later owner has written, BeyondEnd where
        the table knows more than the log.
        """
        found, further = _Found(), list[Snapshot]()
        async with aclosing(self._table.follow(self._partition)) as changes:
            async for change in changes:
                if isinstance(change, CaughtUp):
                    break
                entry = entry_of(change)
                if entry is not None and self._note(entry, found, until):
                    further.extend(self._further(entry, found, since))
                if len(further) >= FILLED_AT_ONCE:
                    self._cache.fill(further)
                    further.clear()
                    await asyncio.sleep(0)
        self._cache.fill(further)
        return self._judged(found)

    async def forget(self) -> None:
        """Bury all that stands: it is not of this log, or of more than is left of it. Raises WriteError."""
        self._old |= {key_of(execution_id, epoch): None for execution_id, epoch in self._standing.items()}
        self._standing.clear()
        self._base = 0
        await self._bury()

    def begin(self, position: Position, command_offset: str | None) -> None:
        """The cache has been folded up to the takeover: from now on `released` says what changes."""
        self._position, self._command_offset = position, command_offset
        self._changed = dict.fromkeys(self._cache.changed_since(self._base))
        self._records = len(self._changed)
        self._let_go()
        self._standing = dict(self._standing)  # a dictionary does not shrink by itself

    def _note(self, entry: Entry, found: _Found, until: Position) -> bool:
        """Keep what the entry says of the table as a whole; whether it is of this log."""
        if entry.record.attributes.get("logid") != self._log_id:
            if entry.epoch < until.epoch:  # a later owner may write a higher key before our tombstone lands
                self._old[key_of(entry.execution_id, entry.epoch)] = None
            return False
        if entry.epoch >= until.epoch:
            raise Fenced(f"the snapshots of partition {self._partition!r} have an owner of epoch {entry.epoch!r}")
        self._stands(entry.execution_id, entry.epoch)
        if entry.is_over:
            self._over.add(entry.execution_id)
        if entry.position is None:
            found.cannot_read(entry)
        elif entry.position.offset > until.offset:
            found.beyond = True
        elif entry.execution_id == CHECKPOINT and entry.epoch > (found.checkpoint.epoch if found.checkpoint else 0):
            found.checkpoint = entry
        return True

    def _further(self, entry: Entry, found: _Found, since: Position) -> Iterator[Snapshot]:
        """The state, if it is one that the cache does not reach."""
        if entry.execution_id == CHECKPOINT or entry.position is None or entry.position.offset <= since.offset:
            return
        try:
            yield snapshot_of(entry, entry.position.offset, self._now())
        except ValueError:
            found.cannot_read(entry)

    def _judged(self, found: _Found) -> Checkpoint | None:
        """The checkpoint, where every state that it speaks of can be read."""
        if found.beyond:
            raise BeyondEnd(f"the snapshots of partition {self._partition!r} are ahead of its log")
        missing = [x for x, epoch in found.unreadable.items() if x != CHECKPOINT and self._standing[x] == epoch]
        if missing:
            logger.warning(
                "%d snapshots of partition %d are of another version, as that of %r: the log is folded from before",
                len(missing), self._partition, missing[0],
            )  # fmt: skip
        if missing or found.checkpoint is None or found.checkpoint.position is None:
            return None
        self._base = found.checkpoint.position.offset
        return Checkpoint(found.checkpoint.position, found.checkpoint.record.attributes.get(COMMAND_OFFSET))

    # Writing

    def released(self, changed: Iterable[str], records: int, position: Position, command_offset: str | None) -> None:
        """These executions changed, in so many records, and the cache has them as they are at `position`."""
        self._changed |= dict.fromkeys(changed)
        self._records += records
        self._position, self._command_offset = position, command_offset

    async def run(self, ownership: Ownership, sleep: Sleep) -> None:
        """Write a round whenever one is due; one that fails is made up for by the next."""
        while True:
            await sleep(LOOK_EVERY_S)
            if self._is_due():
                try:
                    await self._round(ownership.epoch)
                except WriteError as error:
                    logger.warning("partition %d: its snapshots wait for the next round: %s", self._partition, error)

    def _is_due(self) -> bool:
        waited = self._now() - self._last_round
        enough = self._records >= ROUND_AFTER_RECORDS or waited >= timedelta(seconds=ROUND_EVERY_S)
        return bool(self._changed) and enough

    async def _round(self, epoch: int) -> None:
        """What changed, then the checkpoint, then the tombstones: each after the acknowledgement of the one before."""
        changed, self._changed = self._changed, {}
        reached = Checkpoint(self._position, self._command_offset)
        self._records, self._last_round = 0, self._now()
        try:
            too_large = await self._put_states(changed, epoch)
            if too_large:  # the checkpoint waits: from the last one on, the log still tells of these
                self._changed |= dict.fromkeys(too_large)
                return
            await self._put_checkpoint(reached, epoch)
        except WriteError:
            self._changed |= changed
            raise
        await self._bury()
        self._let_go()

    async def _put_states(self, execution_ids: Iterable[str], epoch: int) -> list[str]:
        """Put the states as the cache has them by now; those that fit no value are returned."""
        too_large = []
        for some in _batches(execution_ids, PUT_AT_ONCE):
            puts = []
            for execution_id in some:
                state = self._cache.get(execution_id)
                assert state is not None, "what changed is in the cache"
                record = state_record(state, self._log_id, self._position, self._now())
                if len(record.value) > MAX_VALUE_BYTES:
                    logger.warning("%r is too large for a snapshot: its partition's checkpoint waits", execution_id)
                    too_large.append(execution_id)
                else:
                    puts.append(self._put(execution_id, epoch, record))
                    if state.terminal:
                        self._over.add(execution_id)
            await self._acknowledged(puts)
        return too_large

    async def _put_checkpoint(self, reached: Checkpoint, epoch: int) -> None:
        await self._acknowledged([self._put(CHECKPOINT, epoch, checkpoint_record(reached, self._log_id))])

    def _put(self, execution_id: str, epoch: int, record: Record) -> Awaitable[object]:
        self._stands(execution_id, epoch)  # also when its fate will be unknown: then it may stand
        return self._table.put(key_of(execution_id, epoch), record, partition=self._partition)

    def _stands(self, execution_id: str, epoch: int) -> None:
        known = self._standing.get(execution_id, epoch)
        if known != epoch:
            self._old[key_of(execution_id, min(known, epoch))] = None
        self._standing[execution_id] = max(known, epoch)

    def _let_go(self) -> None:
        """Of the keys of what is over: only a late command changes it again, under another key then, and whoever takes
        over next buries the lower one. Of all that ever ran, those would be in memory."""
        for execution_id in self._over:
            self._standing.pop(execution_id, None)
        self._over.clear()

    async def _bury(self) -> None:
        for some in _batches(self._old, PUT_AT_ONCE):
            await self._acknowledged([self._table.put(key, None, partition=self._partition) for key in some])
            for key in some:
                del self._old[key]

    async def _acknowledged(self, puts: list[Awaitable[object]]) -> None:
        await asyncio.gather(*puts)


def _batches(items: Iterable[str], size: int) -> Iterator[Sequence[str]]:
    rest = list(items)
    for at in range(0, len(rest), size):
        yield rest[at : at + size]
