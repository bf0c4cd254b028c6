"""The composition root: the services of one process, wired with the real clock and chance.

Nothing else in the code knows which log, which clock or which other service there is.
"""

import asyncio
import os
import random
import uuid
from datetime import UTC, datetime

from agentspan.eventlog.commands import CommandLog
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
from agentspan_schemas.agents import AgentDefinition
from agentspan_standalone.history import HistoryServices
from agentspan_standalone.plumbing import Plumbing, Requests, Tickets
from agentspan_standalone.settings import Settings
from agentspan_tool_runner.models import Providers
from agentspan_tool_runner.models.ports import ModelSettings
from agentspan_tool_runner.service import ToolRunner

AGENT_ON_ITS_WAY_S = 2.0
"""A ticket may come here before the registration, elsewhere, of the agent that it names."""


def now() -> datetime:
    """The time in UTC."""
    return datetime.now(UTC)


class Services:
    """The services that this process has a role for, made but not yet running; None where it has not."""

    def __init__(self, settings: Settings, on: Plumbing) -> None:
        self._settings = settings
        self._on = on
        self._caches: dict[int, SqliteStateCache] = {}
        self.draining = False
        self.definitions = Definitions(on.agents)
        self.providers = Providers.installed(ModelSettings(environment=os.environ, now=now))
        self.orchestrator = self._orchestrator() if "orchestrator" in settings.roles else None
        self.commands = CommandLog(on.log, on.inbox, unavailable=self._unavailable)
        self.tool_runner = self._tool_runner() if "tool-runner" in settings.roles else None
        self._store = self._approval_store() if "approvals" in settings.roles else None
        self._publisher = self._published(on.requests, self._store) if on.requests and self._store else None
        self.approvals = self._approvals(self._store) if self._store else None
        self.mappings = TicketMappings(on.settings) if self.orchestrator else None
        self.history = HistoryServices(settings, on.log, now) if "query" in settings.roles else None

    def unready(self) -> str | None:
        """Why no work can be taken now."""
        if self.draining:
            return "the server is stopping"
        if not self.definitions.loaded.is_set():
            return "the server is reading what agents there are; try again in a moment"
        return next(filter(None, map(self._unavailable, range(self._on.log.partitions))), None)

    def behind(self) -> str | None:
        """Why history falls behind what happens."""
        return self.history.trouble if self.history is not None else None

    async def run(self) -> None:
        """Run all of them, until cancelled. What none of them can go on from ends the process."""
        async with asyncio.TaskGroup() as group:
            for service in (self.definitions, self.commands, self.tool_runner, self.approvals, self.history):
                if service is not None:
                    group.create_task(service.run())
            if self.mappings is not None:
                group.create_task(self.mappings.run())
                if self._on.tickets is not None:
                    group.create_task(self._ingest(self._on.tickets, self.mappings))
            if self._on.requests is not None and self._publisher is not None:
                group.create_task(_sharing(self._on.requests, self._publisher))
                group.create_task(self._decisions(self._on.requests).run())
            if self.orchestrator is not None:
                group.create_task(self.orchestrator.watch())
                group.create_task(_serving(self._on, self.orchestrator))

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
        source, dead_letters = tickets.source, tickets.dead_letters
        await Ingest(source=source, dead_letters=dead_letters, starts=starts, now=now, sleep=asyncio.sleep).run()

    def _decisions(self, requests: Requests) -> Decisions:
        return Decisions(
            source=requests.source,
            dead_letters=requests.dead_letters,
            commands=self.commands,
            now=now,
            sleep=asyncio.sleep,
        )

    def _published(self, requests: Requests, store: SqliteApprovalStore) -> Publisher:
        return Publisher(table=requests.table, store=store, now=now, sleep=asyncio.sleep)

    def _approvals(self, store: SqliteApprovalStore) -> Approvals:
        return Approvals(log=self._on.log, commands=self.commands, store=store, publisher=self._publisher)

    def _orchestrator(self) -> Orchestrator:
        return Orchestrator(
            log=self._on.log,
            inbox=self._on.inbox,
            tasks=self._on.tasks,
            workers=self._on.workers,
            definitions=self.definitions,
            cache=self._cache,
            owner_id=f"{os.uname().nodename}/{os.getpid()}",
            now=now,
            sleep=asyncio.sleep,
            lease_s=self._settings.lease_s,
            snapshots=self._on.snapshots,
            assigned=self._on.assigned,
        )

    def _tool_runner(self) -> ToolRunner:
        return ToolRunner(
            tasks=self._on.tasks,
            workers=self._on.workers,
            commands=self.commands,
            providers=self.providers,
            definition_of=self.definitions.awaited,
            now=now,
            sleep=asyncio.sleep,
            new_id=lambda: uuid.uuid4().hex,
            chance=random.random,
            model_calls=self._settings.model_calls,
            lease_s=self._settings.lease_s,
        )

    def _approval_store(self) -> SqliteApprovalStore:
        return SqliteApprovalStore(self._settings.data / "approvals.sqlite3")

    def _cache(self, partition: int) -> StateCache:
        if partition not in self._caches:
            self._caches[partition] = SqliteStateCache(self._settings.data / f"state-{partition}.sqlite3")
        return self._caches[partition]


async def _serving(on: Plumbing, orchestrator: Orchestrator) -> None:
    await on.share(orchestrator.serve)


async def _sharing(requests: Requests, publisher: Publisher) -> None:
    await requests.share(publisher.serve)


def _models_elsewhere(definition: AgentDefinition) -> str | None:
    return None
