"""The approvals service: follows the log, keeps every request for a decision, and takes decisions to the core."""

import asyncio
import logging
from collections.abc import Callable, Container, Iterable, Sequence
from contextlib import suppress
from typing import TypeVar

from agentspan.eventlog import BEGINNING, BeyondEnd, Log, Outcome, Position, Record, Table, Watermark, partition_for
from agentspan.eventlog.commands import Commands, Unavailable
from agentspan.eventlog.messages import read_log_record
from agentspan_approvals.decision_ids import names_a_decision
from agentspan_approvals.domain import OPEN, RELEVANT, REQUESTING, fold, fold_refusal
from agentspan_approvals.errors import ViewDamaged
from agentspan_approvals.ports import ApprovalStore, Search
from agentspan_approvals.publisher import Publisher, Stood, stop_if_told
from agentspan_approvals.restoring import restored
from agentspan_schemas import NewerVersion, Unreadable
from agentspan_schemas import commands as c
from agentspan_schemas.answers import Answer, Refused, Repeated, UnreadableCommand
from agentspan_schemas.approvals import ApprovalRecord

logger = logging.getLogger(__name__)

T = TypeVar("T")

FRESH_S = 5.0
"""How long a read waits for the view to reach the log's end."""


class Approvals:
    """Reads are as fresh as the log was when they were asked for; decisions are the core's.

    `publisher` is told of every request that changes; it publishes while it is served, beside `run`. `table` has what
    it, or another process, has published: a view that was lost is restored from there.
    """

    def __init__(
        self,
        *,
        log: Log,
        commands: Commands,
        store: ApprovalStore,
        publisher: Publisher | None = None,
        table: Table | None = None,
    ) -> None:
        self._log = log
        self._commands = commands
        self._store = store
        self._publisher = publisher
        self._table = table
        self._positions = [BEGINNING] * log.partitions
        self._reached = [Watermark() for _ in range(log.partitions)]
        """The offsets of those, for who waits."""
        self._open: list[set[str]] = []
        """Of each partition, the executions with a request that waits for a person."""
        self._ahead: list[dict[str, int]] = []
        """Of each partition, the requests that were restored as they are at a later offset, and that offset."""
        self.waits_for: dict[int, str] = {}
        """The partitions whose view waits for a process of a later release, and what of."""
        self._found_damaged = asyncio.Event()
        """By a reader."""
        try:
            self._begin_with_store()
        except ViewDamaged as error:
            self._begin_anew(error)

    async def run(self) -> None:
        """Follow every partition, until cancelled. A view that turns out to be damaged is made anew."""
        while True:
            try:
                async with asyncio.TaskGroup() as group:
                    for number in range(self._log.partitions):
                        group.create_task(self._follow(number, group))
                    await self._found_damaged.wait()
                    raise ViewDamaged("a reader found the view of the approvals damaged")
            except* ViewDamaged as damaged:
                damage = damaged.exceptions[0]
            stop_if_told()
            self._begin_anew(damage)

    async def search(self, search: Search) -> Sequence[ApprovalRecord]:
        """The requests that are asked for, oldest first."""
        if search.execution_id is not None:
            await self._fresh(partition_for(search.execution_id, self._log.partitions))
        else:
            for number in range(self._log.partitions):
                await self._fresh(number)
        return self._read(lambda: self._store.search(search))

    async def get(self, approval_id: str, execution_id: str, position: str | None = None) -> ApprovalRecord | None:
        """One request. With the position that an answer gave, no more is waited for than that."""
        number, _, offset = (position or "").partition(":")
        if offset:
            await self._reach(int(number), int(offset) + 1)
        else:
            await self._fresh(partition_for(execution_id, self._log.partitions))
        return self._read(lambda: self._store.get(approval_id))

    async def decide(self, decision: c.Decide) -> Answer:
        """The core's answer: the first decision wins, and only on the args that were seen."""
        return await self._commands.submit(decision)

    def _begin_with_store(self) -> None:
        self._store.open(self._log.id)
        kept = self._store.open_executions()
        self._open = [kept.get(number, set()) for number in range(self._log.partitions)]
        self._ahead = [{} for _ in range(self._log.partitions)]

    def _begin_anew(self, damage: Exception) -> None:
        logger.error("%s; it is made anew", damage)
        self._found_damaged.clear()
        self.waits_for.clear()
        for number, reached in enumerate(self._reached):
            self._positions[number] = BEGINNING
            reached.grow(0)
        self._begin_with_store()

    def _read(self, read: Callable[[], T]) -> T:
        try:
            return read()
        except ViewDamaged as error:
            self._found_damaged.set()
            raise Unavailable("the list of requests is made anew; try again in a moment") from error

    async def _follow(self, number: int, group: asyncio.TaskGroup) -> None:
        try:
            position, stood = await self._begin(number)
            self._let_publish(number, stood, group)
            try:
                await self._follow_from(number, position)
            except BeyondEnd:
                self._forget(number)
                await self._follow_from(number, BEGINNING)
        except NewerVersion as error:
            logger.error("approvals of partition %d wait, upgrade this server: %s", number, error)
            self.waits_for[number] = str(error)
            await asyncio.get_running_loop().create_future()  # the view stands before it until a later release goes on

    async def _begin(self, number: int) -> tuple[Position, Stood | None]:
        """Where the view stands: as it was kept, or as it was published, or nowhere."""
        position = self._store.position(number)
        if position != BEGINNING or self._table is None:
            return position, None
        self._forget(number)
        found = await restored(self._table, number, self._log.id, self._store)
        if found is None:
            self._forget(number)
            return BEGINNING, None
        self._open[number] = found.open
        self._ahead[number].update(found.ahead)
        self._catch_up(number, found.position)
        return found.position, found.stood

    def _forget(self, number: int) -> None:
        self._store.clear(number)
        self._open[number].clear()
        self._ahead[number].clear()

    def _let_publish(self, number: int, stood: Stood | None, group: asyncio.TaskGroup) -> None:
        if self._publisher is not None and stood is not None:
            group.create_task(self._publisher.offer(number, stood))
        elif self._publisher is not None:
            self._publisher.begun(number)

    def _catch_up(self, number: int, position: Position) -> None:
        """Once nothing is ahead of it, the view stands at a position; until then, a restart would restore it again."""
        if all(offset <= position.offset for offset in self._ahead[number].values()):
            self._ahead[number].clear()
            self._store.put(number, (), position)

    async def _follow_from(self, number: int, position: Position) -> None:
        self._advance(number, position)
        async for outcomes in self._log.partition(number).batches(position):
            for outcome in outcomes:
                self._fold(number, outcome)
            if self._ahead[number]:
                self._catch_up(number, outcomes[-1].position)
            self._advance(number, outcomes[-1].position)

    def _fold(self, number: int, outcome: Outcome) -> None:
        changed: dict[str, ApprovalRecord] = {}
        for offset, _, record in outcome.records:
            if _matters(record, self._open[number]):
                known = self._known(number, record) | changed
                folded = _folded(known.values(), record, f"{number}:{offset}")
                changed |= {r.approval_id: r for r in folded if self._lacks(number, r, outcome)}
                if folded:
                    self._keep_open(number, record.key, (known | changed).values())
        if changed:
            reached = BEGINNING if self._ahead[number] else outcome.position
            self._store.put(number, changed.values(), reached)
            if self._publisher is not None:
                self._publisher.changed(number, changed.values(), outcome.position)

    def _known(self, number: int, record: Record) -> dict[str, ApprovalRecord]:
        """The requests that the record may change. A new one changes no other, and it waits: none need be read."""
        if record.type == "waiting" and not self._ahead[number]:
            return {}
        return dict(self._store.of_execution(record.key))

    def _lacks(self, number: int, request: ApprovalRecord, outcome: Outcome) -> bool:
        """Whether the outcome is news of the request: it may have been restored with it."""
        return self._ahead[number].get(request.approval_id, 0) < outcome.position.offset

    def _keep_open(self, number: int, execution_id: str, requests: Iterable[ApprovalRecord]) -> None:
        if any(request.state in OPEN for request in requests):
            self._open[number].add(execution_id)
        else:
            self._open[number].discard(execution_id)

    def _advance(self, number: int, position: Position) -> None:
        if self._publisher is not None:
            self._publisher.advanced(number, position)
        self._positions[number] = position
        self._reached[number].grow(position.offset)

    async def _fresh(self, number: int) -> None:
        """Wait until the view has what counted on the log at this moment; a slow view answers with what it has."""
        partition, here = self._log.partition(number), self._positions[number]
        end = await partition.end()
        last: Outcome | None = None
        if here.offset < end:
            async for outcome in partition.follow(here, until=Position(end, here.epoch, here.n)):
                last = outcome
        if last is not None:
            await self._reach(number, last.position.offset)

    async def _reach(self, number: int, offset: int) -> None:
        if number in self.waits_for:
            return
        with suppress(TimeoutError):
            async with asyncio.timeout(FRESH_S):
                await self._reached[number].passed(offset - 1)


def _matters(record: Record, waiting: Container[str]) -> bool:
    """Whether it may make or change a request, where these executions have some that wait; what does not is neither
    decoded nor looked up."""
    if record.type == "refused":
        return names_a_decision(record.attributes.get("commandid", ""))
    return record.type in REQUESTING or (record.type in RELEVANT and record.key in waiting)


def _folded(records: Iterable[ApprovalRecord], record: Record, place: str) -> Sequence[ApprovalRecord]:
    """The requests that the record makes or changes. Raises NewerVersion; one that nobody can read changes none."""
    try:
        message = read_log_record(record)
    except NewerVersion as error:
        raise NewerVersion(f"{record.type!r} of {record.key!r} at {place} of the log: {error}", error.raw) from error
    except Unreadable as error:
        what = record.type, record.key, place
        logger.error("approvals go on without %r of %r at %s of the log, which can't be read: %s", *what, error)
        return []
    match message:
        case Refused() as note:
            return fold_refusal(records, note)
        case Repeated() | UnreadableCommand():
            return []
        case event:
            return fold(records, event)
