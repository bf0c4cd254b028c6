"""Orchestrators that pass one partition on between them, with a snapshots table, in virtual time.

Who restores is compared with the fold of the whole log at once, and the log records that it read are counted.
"""

import asyncio
from collections.abc import AsyncGenerator, Callable, Iterable
from dataclasses import dataclass, field

from agentspan.eventlog import BEGINNING, Change, Outcome, PartitionLog, Position, Reader, Record
from agentspan.eventlog.memory import MemoryInbox, MemoryLog, MemoryTable
from agentspan.eventlog.messages import command_record, read_log_record
from agentspan_orchestrator.adapters.memory_cache import MemoryStateCache
from agentspan_orchestrator.definitions import Definitions
from agentspan_orchestrator.domain import Execution, evolve, evolve_note
from agentspan_orchestrator.ports import Row, StateCache
from agentspan_orchestrator.service import Orchestrator
from agentspan_schemas.answers import Refused, Repeated, UnreadableCommand
from agentspan_schemas.codec import encode
from agentspan_schemas.commands import Command
from tests.simulation.clock import VirtualLoop, at_once
from tests.simulation.process import Network, Process
from tests.support.orchestration import AGENT


@dataclass
class Ground:
    """What outlives every process; `crashes` has what must not have happened."""

    loop: VirtualLoop
    log: MemoryLog = field(default_factory=lambda: MemoryLog(1))
    inbox: MemoryInbox = field(default_factory=lambda: MemoryInbox(1, id="commands"))
    snapshots: MemoryTable = field(default_factory=MemoryTable)
    agents: MemoryTable = field(default_factory=MemoryTable)
    tasks: MemoryTable = field(default_factory=MemoryTable)
    workers: MemoryTable = field(default_factory=MemoryTable)
    crashes: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.agents.put(f"{AGENT.name}@{AGENT.version}", Record("agent", AGENT.name, encode(AGENT)))

    def network(self, seed: str = "", **faults: float) -> Network:
        return Network(self.loop, seed, faults)

    async def send(self, *commands: Command) -> None:
        """Put commands on the partition's inbox, whoever owns it."""
        for command in commands:
            await self.inbox.send(0, command_record(command))

    def standing(self) -> dict[str, Record]:
        """What stands on the snapshots table."""
        entries: dict[str, Record] = {}
        follower = self.snapshots.follow(0)
        while isinstance(change := at_once(follower.__anext__()), Change):
            assert change.record is not None
            entries[change.key] = change.record
        at_once(follower.aclose())
        return entries

    def fold(self, until: int = 1_000_000) -> dict[str, Execution]:
        """All states, folded from the log's beginning by nothing but the core."""
        states: dict[str, Execution] = {}
        reader = Reader()
        for stored in at_once(self.log.partition(0).raw.read(0, until)):
            for each in outcome.records if (outcome := reader.feed(stored)) else ():
                message, before = read_log_record(each.record), states.get(each.record.key)
                if isinstance(message, Refused | Repeated | UnreadableCommand):
                    after = evolve_note(before, message)
                else:
                    after = evolve(before, message)
                if after is not None:
                    states[each.record.key] = after
        return states


def told(states: Iterable[Execution]) -> dict[str, tuple[Execution, list[str]]]:
    """States with the order of what they remember, which decides what they forget."""
    return {state.execution_id: (state, list(state.answers)) for state in states}


def everything(cache: StateCache) -> dict[str, tuple[Execution, list[str]]]:
    """All that a cache holds."""
    return told(state for key in cache.changed_since(-1) if (state := cache.get(key)) is not None)


class ComparedCache(MemoryStateCache):
    """A cache that compares itself with the fold of all when its owner has restored; it can be set back to a copy."""

    def __init__(self, ground: Ground) -> None:
        super().__init__()
        self._ground = ground
        self.restored = 0
        self.filled = 0
        self.copy()

    def put(self, rows: Iterable[Row], position: Position, command_offset: str | None) -> None:
        rows = list(rows)
        self.filled += not rows and self._position.offset < position.offset
        super().put(rows, position, command_offset)

    @property
    def position(self) -> Position:
        return self._position

    def busy(self) -> Iterable[Execution]:
        truth = told(self._ground.fold(self._position.offset).values())
        assert everything(self) == truth, f"restored up to {self._position}"
        self.restored += 1
        return super().busy()

    def copy(self) -> None:
        """Remember what is here now, as what had reached the disk."""
        self._copied = (self._log_id, self._position, self._command_offset, dict(self._rows))

    def set_back(self) -> None:
        """Be what was remembered last."""
        self._log_id, self._position, self._command_offset, rows = self._copied
        self._rows = dict(rows)


class CountedPartition(PartitionLog):
    """Counts the records that its followers are given."""

    read = 0
    since: Position | int = BEGINNING

    async def follow(
        self, position: Position | int = BEGINNING, *, until: Position | None = None
    ) -> AsyncGenerator[Outcome, None]:
        self.since, self.read = position, 0
        async for outcome in super().follow(position, until=until):
            self.read += len(outcome.records)
            yield outcome


class CountedLog:
    """A log of one such partition."""

    def __init__(self, log: MemoryLog, renew_after: int) -> None:
        self.id, self.partitions = log.id, 1
        self.counted = CountedPartition(log.partition(0).raw, renew_after=renew_after)

    def partition(self, number: int) -> PartitionLog:
        return self.counted


class Member:
    """One orchestrator. Killed, it starts again with the cache that it is given."""

    def __init__(
        self,
        ground: Ground,
        name: str,
        network: Network | None = None,
        *,
        renew_after: int = 10_000,
        table: bool = True,
    ) -> None:
        self.cache = ComparedCache(ground)
        self._ground = ground
        self._name = name
        self._network = network or ground.network()
        self._renew_after = renew_after
        self._table = table
        self._serving: asyncio.Task[None] | None = None
        self.start()

    def start(self) -> None:
        """Begin, with nothing to serve."""
        process = self.process = Process(self._name, self._network, self._crashed)
        ground, link = self._ground, process.link
        definitions = Definitions(ground.agents.over(link))
        self._log = CountedLog(ground.log.over(link), self._renew_after)
        self.snapshots = ground.snapshots.over(link)
        self.orchestrator = Orchestrator(
            log=self._log,
            inbox=ground.inbox.over(link),
            tasks=ground.tasks.over(link),
            workers=ground.workers.over(link),
            definitions=definitions,
            cache=lambda number: self.cache,
            owner_id=self._name,
            now=process.now,
            sleep=process.sleep,
            lease_s=1e6,
            snapshots=self.snapshots if self._table else None,
        )
        self._serving = None
        process.start(definitions.run())
        process.start(self.orchestrator.watch())

    def serve(self) -> None:
        if self._serving is None:
            self._serving = self.process.start(self.orchestrator.serve(0))

    def leave(self) -> None:
        if self._serving is not None:
            self._serving.cancel()
            self._serving = None

    async def served(self) -> None:
        """Take the partition over, and return when it is restored, or something crashed."""
        self.serve()
        await until(lambda: self.orchestrator.unavailable(0) is None or self._ground.crashes)

    async def caught_up(self) -> None:
        """Return when every command is decided and released."""
        truth = self._ground.log.partition(0)
        while True:
            end = await truth.end()
            await asyncio.sleep(2)
            if await truth.end() == end:
                return

    def crash(self, cache: ComparedCache | None = None) -> None:
        """Die as by SIGKILL, and stand ready again: with another cache, or the same."""
        self.process.kill()
        if cache is not None:
            self.cache = cache
        self.start()

    @property
    def read(self) -> int:
        """How many records were read at the last restore."""
        return self._log.counted.read

    @property
    def since(self) -> Position | int:
        """Where the last restore began to read the log."""
        return self._log.counted.since

    def _crashed(self, name: str, error: BaseException) -> None:
        self._ground.crashes.append(f"{name}: {error!r}")


async def until(reached: Callable[[], object]) -> None:
    """Let virtual time pass until something is so."""
    for _ in range(2000):
        if reached():
            return
        await asyncio.sleep(0.1)
    raise TimeoutError("it never came to that")
