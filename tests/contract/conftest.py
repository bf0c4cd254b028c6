"""The adapters that the contract runs on. Each fixture gives a function; each call of it is another process's view."""

import asyncio
import random
from collections.abc import AsyncIterator, Callable
from pathlib import Path

import pytest

from agentspan.eventlog import Inbox, Log, Table
from agentspan.eventlog.kafka import KafkaInbox, KafkaLog, KafkaTable
from agentspan.eventlog.memory import Faults, Link, MemoryInbox, MemoryLog, MemoryTable
from agentspan.eventlog.sqlite import SqliteLog
from agentspan_schemas.topics import COMMANDS, EVENTS, SETTINGS
from tests.support.kafka.broker import Broker
from tests.support.kafka.topics import Cluster

PARTITIONS = 2
RENEW_AFTER = 6
"""So that every test of some length meets a renewed takeover."""


def link() -> Link:
    """A network on which nothing goes wrong, but everything takes a turn of the event loop."""

    async def turn(_: float) -> None:
        await asyncio.sleep(0)

    return Link(Faults(random.Random(0), turn))


KAFKA = pytest.param("kafka", marks=pytest.mark.kafka)


@pytest.fixture(params=["memory", "memory over links", "sqlite", KAFKA])
async def processes(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[Callable[[], Log]]:
    match request.param:
        case "memory":
            memory = MemoryLog(PARTITIONS, renew_after=RENEW_AFTER)
            yield lambda: memory
        case "memory over links":
            beyond = MemoryLog(PARTITIONS, renew_after=RENEW_AFTER)
            yield lambda: beyond.over(link())
        case "kafka":
            broker: Broker = request.getfixturevalue("broker")
            async with Cluster(broker.bootstrap) as cluster:
                events = await cluster.create(EVENTS, PARTITIONS)
                yield lambda: KafkaLog(cluster.connect(), events, renew_after=RENEW_AFTER)
        case _:
            sqlite = SqliteLog.open(tmp_path / "log.db", PARTITIONS, renew_after=RENEW_AFTER)
            yield lambda: sqlite
            await sqlite.close()


@pytest.fixture(params=["memory", "memory over links", KAFKA])
async def inboxes(request: pytest.FixtureRequest) -> AsyncIterator[Callable[[], Inbox]]:
    match request.param:
        case "kafka":
            broker: Broker = request.getfixturevalue("broker")
            async with Cluster(broker.bootstrap) as cluster:
                commands = await cluster.create(COMMANDS, PARTITIONS)
                yield lambda: KafkaInbox(cluster.connect(), commands)
        case param:
            memory = MemoryInbox(PARTITIONS, id="inbox-1")
            yield (lambda: memory) if param == "memory" else (lambda: memory.over(link()))


@pytest.fixture(params=["memory", "memory over links", "sqlite", KAFKA])
async def tables(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[Callable[[], Table]]:
    match request.param:
        case "memory":
            memory = MemoryTable(PARTITIONS)
            yield lambda: memory
        case "memory over links":
            beyond = MemoryTable(PARTITIONS)
            yield lambda: beyond.over(link())
        case "kafka":
            broker: Broker = request.getfixturevalue("broker")
            async with Cluster(broker.bootstrap) as cluster:
                settings = await cluster.create(SETTINGS, PARTITIONS)
                yield lambda: KafkaTable(cluster.connect(), settings)
        case _:
            sqlite = SqliteLog.open(tmp_path / "log.db", PARTITIONS)
            yield lambda: sqlite.table("settings")
            await sqlite.close()
