"""The approvals service: follows the log, keeps every request for a decision, and takes decisions to the core."""

import asyncio
from collections.abc import Sequence

from agentspan.eventlog import BEGINNING, BeyondEnd, Log, Outcome, Position, partition_for
from agentspan.eventlog.commands import Commands
from agentspan.eventlog.messages import events_of
from agentspan_approvals.domain import RELEVANT, fold
from agentspan_approvals.ports import ApprovalStore, Search
from agentspan_schemas import commands as c
from agentspan_schemas.answers import Answer
from agentspan_schemas.approvals import ApprovalRecord

FRESH_S = 5.0
"""How long a read waits for the view to reach the log's end."""


class Approvals:
    """Reads are as fresh as the log was when they were asked for; decisions are the core's."""

    def __init__(self, *, log: Log, commands: Commands, store: ApprovalStore) -> None:
        self._log = log
        self._commands = commands
        self._store = store
        store.open(log.id)
        self._positions = [BEGINNING] * log.partitions
        self._moved = asyncio.Condition()

    async def run(self) -> None:
        """Follow every partition, until cancelled."""
        async with asyncio.TaskGroup() as group:
            for number in range(self._log.partitions):
                group.create_task(self._follow(number))

    async def search(self, search: Search) -> Sequence[ApprovalRecord]:
        """The requests that are asked for, oldest first."""
        if search.execution_id is not None:
            await self._fresh(partition_for(search.execution_id, self._log.partitions))
        else:
            for number in range(self._log.partitions):
                await self._fresh(number)
        return self._store.search(search)

    async def get(self, approval_id: str, execution_id: str) -> ApprovalRecord | None:
        """One request."""
        await self._fresh(partition_for(execution_id, self._log.partitions))
        return self._store.get(approval_id)

    async def decide(self, decision: c.Decide) -> Answer:
        """The core's answer: the first decision wins, and only on the args that were seen."""
        return await self._commands.submit(decision)

    async def _follow(self, number: int) -> None:
        partition = self._log.partition(number)
        try:
            position = self._store.position(number)
            await self._advance(number, position)
            async for outcome in partition.follow(position):
                await self._fold(number, outcome)
        except BeyondEnd:
            self._store.clear(number)
            await self._advance(number, BEGINNING)
            async for outcome in partition.follow(BEGINNING):
                await self._fold(number, outcome)

    async def _fold(self, number: int, outcome: Outcome) -> None:
        if any(stored.record.type in RELEVANT for stored in outcome.records):
            changed: dict[str, ApprovalRecord] = {}
            for _, event in events_of(outcome):
                known = {r.approval_id: r for r in self._store.search(Search(execution_id=event.execution_id))}
                changed |= {r.approval_id: r for r in fold((known | changed).values(), event)}
            self._store.put(number, changed.values(), outcome.position)
        await self._advance(number, outcome.position)

    async def _advance(self, number: int, position: Position) -> None:
        async with self._moved:
            self._positions[number] = position
            self._moved.notify_all()

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
        try:
            async with asyncio.timeout(FRESH_S), self._moved:
                await self._moved.wait_for(lambda: self._positions[number].offset >= offset)
        except TimeoutError:
            return
