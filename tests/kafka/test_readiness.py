"""When a process of the group is ready: once told what is its own, and with that restored; also if it is nothing."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

from agentspan.eventlog.kafka import create_topics, planned_topics
from agentspan_standalone.composition import Services
from agentspan_standalone.plumbing import opened
from agentspan_standalone.settings import Settings
from tests.support.kafka.topics import Cluster


@asynccontextmanager
async def orchestrator(cluster: Cluster, folder: Path) -> AsyncIterator[Services]:
    """A process with that role alone; it does not run yet."""
    log = f"kafka://{cluster.config.bootstrap}?prefix={cluster.prefix}"
    settings = Settings(data=folder, log=log, roles=("orchestrator",))
    plumbing = await opened(settings)
    services = Services(settings, plumbing)
    try:
        yield services
    finally:
        services.close()
        await plumbing.close()


@asynccontextmanager
async def running(services: Services) -> AsyncIterator[list[str]]:
    """It runs; why it was not ready, one after the other, until it was."""
    life = asyncio.create_task(services.run())
    try:
        yield await reasons(services)
    finally:
        life.cancel()
        await asyncio.wait([life])


async def reasons(services: Services) -> list[str]:
    found: list[str] = []
    async with asyncio.timeout(120):
        while (reason := services.unready()) is not None:
            if reason not in found:
                found.append(reason)
            await asyncio.sleep(0)
    return found


def served(services: Services) -> list[int]:
    assert services.orchestrator is not None
    return [each.number for each in services.orchestrator.standings() if each.serving]


async def test_it_is_ready_when_its_first_partitions_are_restored_and_a_spare_one_when_it_has_none(
    cluster: Cluster, tmp_path: Path
) -> None:
    await create_topics(cluster.config, planned_topics(cluster.choices(1)))
    async with orchestrator(cluster, tmp_path / "first") as first, running(first) as before:
        assert "group has not said yet" in before[0]
        assert served(first) == [0]
        async with orchestrator(cluster, tmp_path / "spare") as spare, running(spare) as waited:
            assert "group has not said yet" in waited[0]
            assert not any("partition" in reason for reason in waited[1:])
            assert served(spare) == []
            assert first.unready() is None, "who has the only partition keeps it"
            await spare.drain()
            assert spare.unready() == "the server is stopping"
