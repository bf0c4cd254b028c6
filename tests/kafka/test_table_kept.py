"""Several of a process follow one table: what stands is read once as long as it is little, and each is told all."""

import asyncio
from contextlib import AsyncExitStack, aclosing

import pytest

from agentspan.eventlog import CaughtUp, Change, Record
from agentspan.eventlog import _kafka_kept as keeping
from agentspan.eventlog._kafka_standing import Standing
from agentspan.eventlog.kafka import KafkaTable
from agentspan_schemas.topics import TASKS
from tests.contract.reading import record, take
from tests.support.kafka.topics import Cluster

KEYS = [f"exec-{n}/1-0/1" for n in range(5)]


class Readings(list[int]):
    """The partitions that were read, one for each time."""

    def __init__(self) -> None:
        self.begun = asyncio.Event()


@pytest.fixture
def readings(monkeypatch: pytest.MonkeyPatch) -> Readings:
    found, real = Readings(), Standing.read

    def read(standing: Standing, place: tuple[str, int], *args: object) -> object:
        found.append(place[1])
        found.begun.set()
        return real(standing, place, *args)  # type: ignore[arg-type]

    monkeypatch.setattr(Standing, "read", read)
    return found


@pytest.fixture
async def table(cluster: Cluster) -> KafkaTable:
    """With two open tasks, and three that were closed."""
    facts = await cluster.create(TASKS, 2)
    other = KafkaTable(cluster.connect(), facts)
    await asyncio.gather(*[other.put(key, record(key), partition=0) for key in KEYS])
    await asyncio.gather(*[other.put(key, None, partition=0) for key in KEYS[2:]])
    return KafkaTable(cluster.connect(), facts)


async def standing(table: KafkaTable, partition: int | None = None) -> dict[str, Record | None]:
    """What a newcomer is told, each key once."""
    found: dict[str, Record | None] = {}
    async with aclosing(table.follow(partition)) as changes:
        async for change in changes:
            if isinstance(change, CaughtUp):
                break
            assert change.key not in found
            found[change.key] = change.record
    return found


async def test_it_is_read_once_for_all_who_follow_it(table: KafkaTable, readings: Readings) -> None:
    async with AsyncExitStack() as open_:
        whole = await open_.enter_async_context(aclosing(table.follow()))
        assert len(await take(whole, 3)) == 3
        assert await standing(table, 0) == {key: record(key) for key in KEYS[:2]}
        assert await standing(table) == {key: record(key) for key in KEYS[:2]}
    assert sorted(readings) == [0, 1]


async def test_those_who_come_at_the_same_time_wait_for_one_reading(table: KafkaTable, readings: Readings) -> None:
    told = await asyncio.gather(*[standing(table, 0) for _ in range(4)])
    assert all(each == {key: record(key) for key in KEYS[:2]} for each in told)
    assert readings == [0]


async def test_a_newcomer_is_told_what_happened_since_although_nobody_went_on(
    table: KafkaTable, readings: Readings
) -> None:
    async with aclosing(table.follow(0)) as idle:
        assert await take(idle, 3)
        await table.put(KEYS[0], None, partition=0)
        await table.put(KEYS[1], record("again"), partition=0)
        await table.put("new", record("new"), partition=0)
        assert await standing(table, 0) == {KEYS[1]: record("again"), "new": record("new")}
        later = [change for change in await take(idle, 3) if isinstance(change, Change)]
        assert [(change.key, change.record) for change in later] == [
            (KEYS[0], None), (KEYS[1], record("again")), ("new", record("new")),
        ]  # fmt: skip
    assert readings == [0]


async def test_what_nobody_follows_is_read_again(table: KafkaTable, readings: Readings) -> None:
    assert await standing(table, 0) == await standing(table, 0)
    assert readings == [0, 0]


@pytest.mark.parametrize("moment", ["while it is read", "later"])
async def test_what_is_too_much_is_read_by_each(
    table: KafkaTable, readings: Readings, monkeypatch: pytest.MonkeyPatch, moment: str
) -> None:
    monkeypatch.setattr(keeping, "ENTRY_BYTES", keeping.KEPT_BYTES if moment == "while it is read" else 300_000)
    async with aclosing(table.follow(0)) as first:
        assert {each.key for each in await take(first, 3) if isinstance(each, Change)} == set(KEYS[:2])
        if moment == "later":
            for key in KEYS[2:4]:
                await table.put(key, record(key), partition=0)
            await take(first, 2)
        assert len(await standing(table, 0)) == (2 if moment == "while it is read" else 4)
    assert readings == [0, 0]


async def test_one_who_leaves_while_it_is_read_leaves_it_to_the_next(table: KafkaTable, readings: Readings) -> None:
    first = asyncio.create_task(standing(table, 0))
    await readings.begun.wait()
    second = asyncio.create_task(standing(table, 0))
    first.cancel()
    assert await second == {key: record(key) for key in KEYS[:2]}
