"""The orchestrator: the partitions that are assigned to this process, and what they share."""

import asyncio
from collections.abc import Callable, Sequence

from agentspan.eventlog import Inbox, Log, Table
from agentspan_orchestrator.definitions import Definitions
from agentspan_orchestrator.leases import Leases
from agentspan_orchestrator.partition import Partition, Surroundings, always
from agentspan_orchestrator.ports import UNOBSERVED, Assigned, Now, Observer, Sleep, Standing, StateCache


class Orchestrator:
    """Owns partitions, and decides all that happens to their executions."""

    def __init__(
        self,
        *,
        log: Log,
        inbox: Inbox,
        tasks: Table,
        workers: Table,
        definitions: Definitions,
        cache: Callable[[int], StateCache],
        owner_id: str,
        now: Now,
        sleep: Sleep,
        lease_s: float = 10.0,
        snapshots: Table | None = None,
        assigned: Assigned = always,
        observer: Observer = UNOBSERVED,
        steady: Now | None = None,
    ) -> None:
        """`steady`: a clock that nobody sets, for leases; None: `now` is one."""
        self._leases = Leases(workers, now=steady or now, lease_s=lease_s)
        self._around = Surroundings(
            log, inbox, tasks, definitions, self._leases, owner_id, now, sleep, snapshots, assigned, observer
        )
        self._cache = cache
        self._partitions: dict[int, Partition] = {}

    async def run(self) -> None:
        """Serve every partition of the log, until cancelled."""
        async with asyncio.TaskGroup() as group:
            group.create_task(self.watch())
            for number in range(self._around.log.partitions):
                group.create_task(self.serve(number))

    async def watch(self) -> None:
        """Follow who has which task in hand, beside every `serve`, until cancelled."""
        await self._leases.run()

    async def serve(self, number: int) -> None:
        """Serve one partition, until cancelled: it is assigned to this process."""
        await self._leases.loaded.wait()
        await self._around.definitions.loaded.wait()
        partition = Partition(number, self._around, self._cache(number))
        self._partitions[number] = partition
        try:
            await partition.run()
        finally:
            del self._partitions[number]

    def serves(self, number: int) -> bool:
        """Whether the partition is served by this process."""
        return number in self._partitions

    def standings(self) -> Sequence[Standing]:
        """How each partition of this process stands now."""
        return [partition.standing() for partition in self._partitions.values()]

    def to_restore(self, number: int) -> int:
        """How many records of its log are still to be folded, as far as this is known; of one that is not served."""
        partition = self._partitions.get(number)
        return partition.standing().to_restore if partition else 0

    def unavailable(self, number: int) -> str | None:
        """Why the partition can't decide now; None when it can."""
        partition = self._partitions.get(number)
        return partition.unavailable if partition else "the server is starting; try again in a moment"
