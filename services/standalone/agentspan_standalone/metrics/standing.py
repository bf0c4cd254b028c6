"""What is looked up when somebody scrapes: how the services of this process stand, and how far their topics reach.

Apart from the counts: these cost nothing while nobody asks. Whatever can't be told in time is left out.
"""

import asyncio
import logging
import sqlite3
from collections.abc import Awaitable, Callable, Collection, Iterator, Mapping
from datetime import datetime
from importlib.metadata import version

from agentspan.eventlog import Log, LogError
from agentspan_approvals.adapters.sqlite_store import SqliteApprovalStore
from agentspan_approvals.publisher import Publisher
from agentspan_approvals.service import Approvals
from agentspan_orchestrator.ports import Standing
from agentspan_orchestrator.service import Orchestrator
from agentspan_schemas.topics import COMMANDS, DECISIONS, EVENTS, TICKETS, Topic, topic_name
from agentspan_standalone.history import HistoryServices
from agentspan_standalone.metrics.exposition import Sample
from agentspan_standalone.plumbing import Plumbing
from agentspan_standalone.settings import Settings
from agentspan_tool_runner.service import ToolRunner

logger = logging.getLogger(__name__)

TOLD_WITHIN_S = 3.0
"""So long a scrape waits for the cluster's offsets."""

PROJECTION = "projection"
"""Stands where a consumer group's name does: the projection keeps its place in ClickHouse."""


def of_process(settings: Settings, unready: str | None) -> Iterator[Sample]:
    """Which one it is, and whether it takes work."""
    yield Sample("agentspan_build_info", 1, (version("agentspan"), ",".join(settings.roles)))
    yield Sample("agentspan_ready", unready is None)


def of_partitions(orchestrator: Orchestrator, assigned: frozenset[int]) -> Iterator[Sample]:
    """Those of this process, and what is in them."""
    standings = {each.number: each for each in orchestrator.standings()}
    serving = sum(each.serving for each in standings.values())
    yield Sample("agentspan_partitions", serving, ("serving",))
    yield Sample("agentspan_partitions", len(assigned | standings.keys()) - serving, ("restoring",))
    for each in standings.values():
        yield from _of_partition(each)


def _of_partition(standing: Standing) -> Iterator[Sample]:
    number = str(standing.number)
    yield Sample("agentspan_partition_restore_remaining_records", standing.to_restore, (number,))
    if standing.serving:
        yield Sample("agentspan_executions_active", standing.active, (number,))
        yield Sample("agentspan_executions_parked", standing.parked, (number,))
        yield Sample("agentspan_executions_unread", standing.unread, (number,))
        yield Sample("agentspan_tasks_open", standing.model_tasks, (number, "model"))
        yield Sample("agentspan_tasks_open", standing.tool_tasks, (number, "tool"))


def of_log(log: Log) -> Iterator[Sample]:
    """What was met on it that counts for nothing."""
    for number in range(log.partitions):
        if ghosts := log.partition(number).ghosts:
            yield Sample("agentspan_log_ghosts_total", ghosts, (str(number),))


def of_history(history: HistoryServices) -> Iterator[Sample]:
    """How far the projection is."""
    if (lag_s := history.lag_s()) is not None:
        yield Sample("agentspan_projection_lag_seconds", lag_s)
    yield Sample("agentspan_projection_events_total", history.projection.written)
    yield Sample("agentspan_projection_failures_total", history.projection.failed)
    yield Sample("agentspan_projection_waiting_partitions", len(history.projection.waits_for))


def of_approvals(
    approvals: Approvals, store: SqliteApprovalStore, publisher: Publisher | None, now: datetime
) -> Iterator[Sample]:
    """Requests that wait, each counted in one process: where its partition is published. Without room on its disk the
    view cannot be asked, and is left out: what else there is to tell is wanted most then."""
    yield Sample("agentspan_approvals_waiting_partitions", len(approvals.waits_for))
    try:
        waiting = store.open_requests()
    except sqlite3.OperationalError as error:
        logger.warning("the requests that wait cannot be counted: %s", error)
        return
    here = [found for number, found in waiting.items() if publisher is None or number in publisher.serves]
    yield Sample("agentspan_approvals_pending", sum(count for count, _ in here))
    oldest = min((since for _, since in here), default=now)
    yield Sample("agentspan_approvals_oldest_pending_seconds", (now - oldest).total_seconds())


def of_workers(runner: ToolRunner) -> Iterator[Sample]:
    """Who works through this gateway, and what its model lane does."""
    yield Sample("agentspan_gateway_sessions", runner.gateway.sessions)
    yield Sample("agentspan_gateway_unassigned_tasks", runner.gateway.unassigned)
    yield Sample("agentspan_model_calls_in_progress", runner.models.running)


class ConsumerLags:
    """How far each reader of this process is behind, of the partitions that are its own now."""

    def __init__(
        self, on: Plumbing, prefix: str, orchestrator: Orchestrator | None, history: HistoryServices | None
    ) -> None:
        self._on = on
        self._prefix = prefix
        self._orchestrator = orchestrator
        self._history = history

    async def samples(self) -> list[Sample]:
        """What the cluster tells in time; of a reader that it does not tell of, nothing."""
        asked = [_within(ask) for ask in self._questions()]
        return [sample for some in await asyncio.gather(*asked) for sample in some]

    def _questions(self) -> Iterator[Callable[[], Awaitable[list[Sample]]]]:
        if self._orchestrator is not None:
            yield self._commands
        if self._history is not None:
            yield self._events
        if (tickets := self._on.tickets) is not None:
            yield lambda: self._of_group(TICKETS, "ingest", tickets.assigned())
        if (requests := self._on.requests) is not None:
            yield lambda: self._of_group(DECISIONS, "decisions", requests.assigned())

    async def _commands(self) -> list[Sample]:
        assert self._orchestrator is not None
        decided = {each.number: each.commands_to for each in self._orchestrator.standings() if each.serving}
        return await self._behind(COMMANDS, f"{self._prefix}.orchestrators", decided, decided)

    async def _events(self) -> list[Sample]:
        assert self._history is not None
        numbers = range(self._on.log.partitions)
        return await self._behind(EVENTS, PROJECTION, numbers, self._history.projection.reached)

    async def _of_group(self, topic: Topic, group: str, numbers: Collection[int]) -> list[Sample]:
        committed = await self._on.lags.committed(topic, group, numbers)
        return await self._behind(topic, f"{self._prefix}.{group}", numbers, committed)

    async def _behind(
        self, topic: Topic, reader: str, numbers: Collection[int], reached: Mapping[int, int]
    ) -> list[Sample]:
        ends, begins = await asyncio.gather(self._on.lags.ends(topic, numbers), self._on.lags.begins(topic, numbers))
        name = topic_name(topic, self._prefix)
        places = {number: max(reached.get(number, 0), begins[number]) for number in ends}
        return [
            Sample("agentspan_consumer_lag_records", max(end - places[number], 0), (reader, name, str(number)))
            for number, end in ends.items()
        ]


async def _within(ask: Callable[[], Awaitable[list[Sample]]]) -> list[Sample]:
    try:
        async with asyncio.timeout(TOLD_WITHIN_S):
            return await ask()
    except (LogError, TimeoutError) as error:
        logger.warning("a scrape goes without some readers' lag: %s", str(error) or "no answer in time")
        return []
