"""The adapters that the contract runs on. Each fixture gives a function; each call of it is another process's view."""

import asyncio
import random
from collections.abc import AsyncIterator, Callable
from pathlib import Path

import pytest

from agentspan.eventlog import Inbox, Log, Table
from agentspan.eventlog.memory import Faults, Link, MemoryInbox, MemoryLog, MemoryTable
from agentspan.eventlog.sqlite import SqliteLog

PARTITIONS = 2
RENEW_AFTER = 6
"""So that every test of some length meets a renewed takeover."""


def link() -> Link:
    """A network on which nothing goes wrong, but everything takes a turn of the event loop."""

    async def turn(_: float) -> None:
        await asyncio.sleep(0)

    return Link(Faults(random.Random(0), turn))


@pytest.fixture(params=["memory", "memory over links", "sqlite"])
async def processes(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[Callable[[], Log]]:
    match request.param:
        case "memory":
            memory = MemoryLog(PARTITIONS, renew_after=RENEW_AFTER)
            yield lambda: memory
        case "memory over links":
            broker = MemoryLog(PARTITIONS, renew_after=RENEW_AFTER)
            yield lambda: broker.over(link())
        case _:
            sqlite = SqliteLog.open(tmp_path / "log.db", PARTITIONS, renew_after=RENEW_AFTER)
            yield lambda: sqlite
            await sqlite.close()


@pytest.fixture(params=["memory", "memory over links"])
def inboxes(request: pytest.FixtureRequest) -> Callable[[], Inbox]:
    broker = MemoryInbox(PARTITIONS, id="inbox-1")
    return (lambda: broker) if request.param == "memory" else (lambda: broker.over(link()))


@pytest.fixture(params=["memory", "memory over links", "sqlite"])
async def tables(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[Callable[[], Table]]:
    match request.param:
        case "memory":
            memory = MemoryTable(PARTITIONS)
            yield lambda: memory
        case "memory over links":
            broker = MemoryTable(PARTITIONS)
            yield lambda: broker.over(link())
        case _:
            sqlite = SqliteLog.open(tmp_path / "log.db", PARTITIONS)
            yield lambda: sqlite.table("settings")
            await sqlite.close()
