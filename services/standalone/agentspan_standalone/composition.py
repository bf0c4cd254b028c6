"""The composition root: the services of one process, wired with the real clock and chance.

Nothing else in the code knows which log, which clock or which other service there is.
"""

import asyncio
import os
import random
import time
import uuid
from collections.abc import Callable, Sequence
from datetime import UTC, datetime, timedelta
from typing import TypeVar

from agentspan.eventlog.commands import CommandLog
from agentspan.eventlog.intake import DeadLetters
from agentspan_approvals.adapters.sqlite_store import SqliteApprovalStore
from agentspan_approvals.decisions import Decisions
from agentspan_approvals.publisher import Publisher
from agentspan_approvals.service import Approvals
from agentspan_orchestrator.adapters.sqlite_cache import SqliteStateCache
from agentspan_orchestrator.definitions import Definitions
from agentspan_orchestrator.ingest import Ingest
from agentspan_orchestrator.ingest_mapping import TicketMappings
from agentspan_orchestrator.ports import StateCache
from agentspan_orchestrator.service import Orchestrator
from agentspan_orchestrator.starts import CheckModel, Starts
from agentspan_query.aside import Aside
from agentspan_schemas.agents import AgentDefinition
from agentspan_schemas.topics import DECISIONS, EVENTS, TICKETS, topic_name
from agentspan_standalone.health import Health
from agentspan_standalone.history import HistoryServices
from agentspan_standalone.memory import give_back_when_quiet
from agentspan_standalone.metrics import Measured, Sample, standing
from agentspan_standalone.plumbing import Plumbing, Requests, Tickets
from agentspan_standalone.settings import Settings
from agentspan_tool_runner.models import Providers
from agentspan_tool_runner.models.ports import ModelSettings
from agentspan_tool_runner.service import ToolRunner

AGENT_ON_ITS_WAY_S = 2.0
"""A ticket may come here before the registration, elsewhere, of the agent that it names."""


PROGRESS_S = 5.0
"""How often the group is told how far commands are decided."""

T = TypeVar("T")


def now() -> datetime:
    """The time in UTC."""
    return datetime.now(UTC)


def steady_clock() -> Callable[[], datetime]:
    """The time when this was called and what has passed since: nobody sets it forward or back."""
    begun, at = now(), time.monotonic()
    return lambda: begun + timedelta(seconds=time.monotonic() - at)


class Services:
    """The services that this process has a role for, made but not yet running; None where it has not."""

    def __init__(self, settings: Settings, on: Plumbing) -> None:
        self._settings = settings
        self._on = on
        self._caches: dict[int, SqliteStateCache] = {}
        self.draining = False
        self.measured = Measured(time.perf_counter)
        self._definitions = Definitions(on.agents) if on.agents else None
        self.providers = Providers.installed(ModelSettings(environment=os.environ, now=now))
        self.orchestrator = self._orchestrator() if "orchestrator" in settings.roles else None
        self._commands = CommandLog(on.log, on.inbox, unavailable=self._unavailable) if on.inbox else None
        prefix = settings.kafka().prefix if settings.log else "agentspan"
        self.history = self._history(prefix, on.left_out) if on.left_out else None
        self.tool_runner = self._tool_runner() if "tool-runner" in settings.roles else None
        self._store = self._approval_store() if "approvals" in settings.roles else None
        self._publisher = self._published(on.requests, self._store) if on.requests and self._store else None
        self.approvals = self._approvals(self._store) if self._store else None
        self.mappings = TicketMappings(_needed(on.settings)) if self.orchestrator else None

        self._lags = standing.ConsumerLags(on, prefix, self.orchestrator, self.history)

    @property
    def commands(self) -> CommandLog:
        """Of every role but that of history alone."""
        return _needed(self._commands)

    @property
    def definitions(self) -> Definitions:
        """Of orchestrators and tool-runners."""
        return _needed(self._definitions)

    def unready(self) -> str | None:
        """Why no work can be taken now."""
        if self.draining:
            return "the server is stopping"
        if self.orchestrator is not None and self._on.share.assigned is None:
            return "the server's group has not said yet which partitions are its own; try again in a moment"
        if self._definitions is not None and not self._definitions.loaded.is_set():
            return "the server is reading what agents there are; try again in a moment"
        return self._not_restored(self.orchestrator) if self.orchestrator is not None else None

    def _not_restored(self, orchestrator: Orchestrator) -> str | None:
        for number in sorted(self._on.share.assigned or ()):
            if reason := orchestrator.unavailable(number):
                left = orchestrator.to_restore(number)
                to_go = f" ({left} records of its log to go)" if left else ""
                return f"partition {number}: {reason}{to_go}"
        return None

    async def samples(self) -> Sequence[Sample]:
        """All that is measured, as it stands now."""
        found = [*standing.of_process(self._settings, self.unready()), *self.measured.samples()]
        found += standing.of_log(self._on.log)
        if self.orchestrator is not None:
            found += standing.of_partitions(self.orchestrator, self._on.share.assigned or frozenset())
        if self.history is not None:
            found += standing.of_history(self.history)
        if self._store is not None and self.approvals is not None:
            found += standing.of_approvals(self.approvals, self._store, self._publisher, now())
        if self.tool_runner is not None:
            found += standing.of_workers(self.tool_runner)
        return found + await self._lags.samples()

    def health(self) -> Health:
        """What is to be said of a process that takes work: what falls behind, waits for an upgrade, or stands still."""
        history = self.history.trouble if self.history else None
        return Health(history=history, approvals=self._requests_wait(), executions=self._stand_still())

    def _requests_wait(self) -> str | None:
        waiting = self.approvals.waits_for if self.approvals else {}
        partitions = f"requests of {len(waiting)} of {self._on.log.partitions} partitions wait for an upgrade"
        return f"{partitions}: {next(iter(waiting.values()))}" if waiting else None

    def _stand_still(self) -> str | None:
        unread = sum(each.unread for each in self.orchestrator.standings()) if self.orchestrator else 0
        what = "1 execution" if unread == 1 else f"{unread} executions"
        todo = "the server's log names each with its record, docs/log.md says what to do"
        return f"nothing is decided of {what}, of which a record can't be read: {todo}" if unread else None

    async def run(self) -> None:
        """Run all of them, until cancelled. What none of them can go on from ends the process."""
        async with asyncio.TaskGroup() as group:
            for service in (self._definitions, self._commands, self.tool_runner, self.approvals, self.history):
                if service is not None:
                    group.create_task(service.run())
            if self.mappings is not None:
                group.create_task(self.mappings.run())
                if self._on.tickets is not None:
                    group.create_task(self._ingest(self._on.tickets, self.mappings))
            if self._on.requests is not None and self._publisher is not None:
                group.create_task(self._on.requests.share(self._publisher.serve))
                group.create_task(self._decisions(self._on.requests).run())
            if self.orchestrator is not None:
                group.create_task(self.orchestrator.watch())
                group.create_task(self._on.share(self.orchestrator.serve))
                group.create_task(self._tell_progress(self.orchestrator))
            group.create_task(give_back_when_quiet(self._on.log, sleep=asyncio.sleep))

    async def drain(self) -> None:
        """Take no more work, and let workers look for another server."""
        self.draining = True
        if self.tool_runner is not None:
            await self.tool_runner.gateway.drain()

    def close(self) -> None:
        """Write what is queued for the files."""
        for cache in self._caches.values():
            cache.close()
        if self._store is not None:
            self._store.close()
        if self.history is not None:
            self.history.close()

    def _unavailable(self, partition: int) -> str | None:
        """Why the partition can't decide now, where this process knows: of another one's it knows nothing."""
        if self.orchestrator is None:
            return None
        if self.orchestrator.serves(partition):
            return self.orchestrator.unavailable(partition)
        return "the server is starting; try again in a moment" if self._on.alone else None

    async def _tell_progress(self, orchestrator: Orchestrator) -> None:
        """What the group's offsets are for: to say how many commands wait, to whom it is of use."""
        while True:
            for each in orchestrator.standings():
                if each.commands_to:
                    self._on.progressed(each.number, each.commands_to)
            await asyncio.sleep(PROGRESS_S)

    @property
    def check_model(self) -> CheckModel:
        """What an agent's model lacks; where models are called by another process, only that one knows."""
        return self.providers.check if self.tool_runner is not None else _models_elsewhere

    async def _ingest(self, tickets: Tickets, mappings: TicketMappings) -> None:
        """Take tickets once it is known who can handle them."""
        await self.definitions.loaded.wait()
        await mappings.loaded.wait()
        starts = Starts(
            self.commands,
            self.definitions,
            self.check_model,
            mappings=mappings,
            wait_for_agent_s=AGENT_ON_ITS_WAY_S,
        )
        source, dead_letters = tickets.source, self.measured.counting(TICKETS.name, tickets.dead_letters)
        await Ingest(source=source, dead_letters=dead_letters, starts=starts, now=now, sleep=asyncio.sleep).run()

    def _decisions(self, requests: Requests) -> Decisions:
        return Decisions(
            source=requests.source,
            dead_letters=self.measured.counting(DECISIONS.name, requests.dead_letters),
            commands=self.commands,
            now=now,
            sleep=asyncio.sleep,
        )

    def _history(self, prefix: str, left_out: DeadLetters) -> HistoryServices:
        aside = Aside(self.measured.counting(EVENTS.name, left_out), topic_name(EVENTS, prefix), now=now)
        return HistoryServices(self._settings, self._on.log, aside, now)

    def _published(self, requests: Requests, store: SqliteApprovalStore) -> Publisher:
        return Publisher(table=requests.table, store=store, log_id=self._on.log.id, now=now, sleep=asyncio.sleep)

    def _approvals(self, store: SqliteApprovalStore) -> Approvals:
        table = self._on.requests.table if self._on.requests is not None else None
        return Approvals(log=self._on.log, commands=self.commands, store=store, publisher=self._publisher, table=table)

    def _orchestrator(self) -> Orchestrator:
        return Orchestrator(
            log=self._on.log,
            inbox=_needed(self._on.inbox),
            tasks=_needed(self._on.tasks),
            workers=_needed(self._on.workers),
            definitions=self.definitions,
            cache=self._cache,
            owner_id=f"{os.uname().nodename}/{os.getpid()}",
            now=now,
            sleep=asyncio.sleep,
            lease_s=self._settings.lease_s,
            snapshots=self._on.snapshots,
            assigned=self._on.assigned,
            observer=self.measured,
            steady=steady_clock(),
        )

    def _tool_runner(self) -> ToolRunner:
        return ToolRunner(
            tasks=_needed(self._on.tasks),
            workers=_needed(self._on.workers),
            commands=self.commands,
            providers=self.providers,
            definition_of=self.definitions.awaited,
            now=now,
            sleep=asyncio.sleep,
            new_id=lambda: uuid.uuid4().hex,
            chance=random.random,
            model_calls=self._settings.model_calls,
            lease_s=self._settings.lease_s,
            deltas=self.history.query if self.history is not None else None,
            steady=steady_clock(),
        )

    def _approval_store(self) -> SqliteApprovalStore:
        return SqliteApprovalStore(self._settings.data / "approvals.sqlite3")

    def _cache(self, partition: int) -> StateCache:
        if partition not in self._caches:
            self._caches[partition] = SqliteStateCache(self._settings.data / f"state-{partition}.sqlite3")
        return self._caches[partition]


def _needed(thing: T | None) -> T:
    assert thing is not None, "a process has what its roles need"
    return thing


def _models_elsewhere(definition: AgentDefinition) -> str | None:
    return None
