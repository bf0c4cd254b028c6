"""The orchestrators, and who assigns partitions to them: real ones, each behind its own link, with caches that outlive
a crash. A partition is taken from a frozen owner too; that one learns of it only some time after it wakes.
"""

import asyncio
from collections.abc import Callable

from agentspan.eventlog.memory import MemoryInbox, MemoryLog, MemoryTable
from agentspan_orchestrator.definitions import Definitions
from agentspan_orchestrator.service import Orchestrator
from tests.simulation.auditor import Auditor
from tests.simulation.laws import LawBroken
from tests.simulation.ports import AuditedCache, AuditedTasks
from tests.simulation.process import Process

LEASE_S = 3.0
STOPS_WITHIN_S = 2.0


class Broker:
    """What all processes share."""

    def __init__(self, partitions: int, renew_after: int) -> None:
        self.log = MemoryLog(partitions, renew_after=renew_after)
        self.inbox = MemoryInbox(partitions, id="commands")
        self.tasks = MemoryTable(partitions)
        self.workers = MemoryTable()
        self.agents = MemoryTable()


class Owner:
    """One orchestrator: a process that can be killed and started again."""

    def __init__(self, name: str, broker: Broker, auditor: Auditor, new_process: Callable[[str], Process]) -> None:
        self.name = name
        self._broker = broker
        self._auditor = auditor
        self._new_process = new_process
        self.caches = {number: AuditedCache(name, number, auditor) for number in range(broker.log.partitions)}
        self._serving: dict[int, asyncio.Task[None]] = {}
        self.start()

    def start(self) -> None:
        """Begin, with the caches as they are."""
        process = self.process = self._new_process(self.name)
        tasks = AuditedTasks(self._broker.tasks.over(process.link), self.name, self._auditor, process.now)
        definitions = Definitions(self._broker.agents.over(process.link))
        self._orchestrator = Orchestrator(
            log=self._broker.log.over(process.link),
            inbox=self._broker.inbox.over(process.link),
            tasks=tasks,
            workers=self._broker.workers.over(process.link),
            definitions=definitions,
            cache=self.caches.__getitem__,
            owner_id=self.name,
            now=process.now,
            sleep=process.sleep,
            lease_s=LEASE_S,
        )
        self._serving = {}
        process.start(definitions.run())
        process.start(self._orchestrator.watch())

    def serve(self, number: int) -> None:
        """The partition is assigned to this one."""
        if number not in self._serving:
            self._serving[number] = self.process.start(self._orchestrator.serve(number))

    def leave(self, number: int) -> None:
        """The partition is assigned to another one."""
        if serving := self._serving.pop(number, None):
            serving.cancel()
            asyncio.get_running_loop().call_later(STOPS_WITHIN_S, self._check_left, number, serving)

    def _check_left(self, number: int, serving: asyncio.Task[None]) -> None:
        if not serving.done():
            self._auditor.judge(LawBroken("stops-when-told", f"{self.name} goes on with partition {number}"))

    @property
    def serves(self) -> tuple[int, ...]:
        """The partitions that it believes to be assigned to it."""
        return tuple(self._serving)


class Assigner:
    """Says who owns which partition. Each change reaches its owner when that one can hear it."""

    def __init__(self, owners: list[Owner], partitions: int) -> None:
        self.owners = owners
        self._assigned = {number: owners[number % len(owners)] for number in range(partitions)}

    def move(self, number: int, to: Owner) -> None:
        """Assign a partition."""
        self._assigned[number] = to

    def tell(self) -> None:
        """Tell everybody who can hear."""
        for owner in self.owners:
            if owner.process.alive and not owner.process.frozen:
                for number in owner.serves:
                    if self._assigned[number] is not owner:
                        owner.leave(number)
                for number, assigned in self._assigned.items():
                    if assigned is owner:
                        owner.serve(number)
