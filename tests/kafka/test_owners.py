"""Owners that are killed, frozen and raced by each other, as processes, on a real broker: what was released counts, and
nothing else that anybody acts on."""

import asyncio
import signal

from agentspan.eventlog import Outcome
from agentspan.eventlog.kafka import KafkaLog
from agentspan_schemas.topics import EVENTS
from tests.contract.reading import counted
from tests.kafka import audit
from tests.support.kafka.program import Program
from tests.support.kafka.topics import Cluster

OWNER = "tests.kafka.owner"


def names(outcomes: list[list[str]]) -> list[str]:
    """Each whole outcome by its name."""
    for records in outcomes:
        name = records[0].rpartition("/")[0]
        assert records == [f"{name}/{at + 1}of{len(records)}" for at in range(len(records))], "an outcome is whole"
    return [records[0].rpartition("/")[0] for records in outcomes]


def released(lines: list[str]) -> list[str]:
    """What an owner said to have released."""
    return ["/".join(line.split()[1:3]) for line in lines if line.startswith("released")]


def keys(outcomes: list[Outcome]) -> list[list[str]]:
    return [[stored.record.key for stored in outcome.records] for outcome in outcomes]


async def audited(cluster: Cluster, log: KafkaLog) -> list[str]:
    """The outcomes that count: by the rule's second writing, by the reader, and from the middle."""
    lines = audit.read(cluster)
    expected = audit.counted(lines)
    whole = await counted(log.partition(0))
    assert keys(whole) == expected
    middle = lines[len(lines) // 2].offset
    rest = await counted(log.partition(0), middle)
    assert rest == [outcome for outcome in whole if outcome.position.offset > middle]
    return names(expected)


async def log_of(cluster: Cluster) -> KafkaLog:
    facts = await cluster.create(EVENTS, 1)
    return KafkaLog(cluster.connect(), facts)


async def test_an_owner_killed_between_the_records_of_an_outcome_leaves_nothing_of_it(cluster: Cluster) -> None:
    log = await log_of(cluster)
    async with Program(OWNER, cluster.config.bootstrap, cluster.prefix, "a", "0", "7") as killed:
        before = released(await killed.rest())
    assert before == [f"a.0/{number}" for number in range(7)]
    async with Program(OWNER, cluster.config.bootstrap, cluster.prefix, "b", "0") as after:
        await after.until(lambda line: line.startswith("released b.0 20 "))
    said = released(after.lines)
    assert (await audited(cluster, log))[: len(before) + len(said)] == [*before, *said]
    assert "a.0/7/1of4" in [line.key for line in audit.read(cluster)], "half of it is there"


async def test_what_a_frozen_owner_writes_when_it_wakes_does_not_count(cluster: Cluster) -> None:
    """Frozen at moments that nobody chose, always with something under way."""
    log = await log_of(cluster)
    said: list[str] = []
    for round_ in range(5):
        async with (
            Program(OWNER, cluster.config.bootstrap, cluster.prefix, f"a{round_}", "0") as frozen,
            Program(OWNER, cluster.config.bootstrap, cluster.prefix, f"b{round_}", "0") as other,
        ):
            # whoever comes second fences the first, which ends
            last, first = await second_of(frozen, other)
            ended = await first.until(lambda line: line.startswith("deposed"))
            assert ended == "deposed Fenced"
            await last.until(lambda line: line.startswith("released"))
            last.signal(signal.SIGSTOP)
            async with Program(OWNER, cluster.config.bootstrap, cluster.prefix, f"c{round_}", "0") as third:
                await third.until(lambda line: line.startswith("released"))
                last.signal(signal.SIGCONT)
                assert await last.until(lambda line: line.startswith("deposed")) == "deposed Fenced"
                await third.until(lambda line: line.startswith("released"))
            said += released(first.lines) + released(last.lines) + released(third.lines)
    standing = await audited(cluster, log)
    assert set(said) <= set(standing)
    assert len(set(standing)) == len(standing)


async def second_of(one: Program, two: Program) -> tuple[Program, Program]:
    """The owner with the higher epoch, and the other one."""
    epochs = await asyncio.gather(*[each.until(lambda line: line.startswith("owns")) for each in (one, two)])
    return (one, two) if int(epochs[0].split()[1]) > int(epochs[1].split()[1]) else (two, one)


async def test_three_owners_that_fight_for_a_partition_lose_nothing_that_was_released(cluster: Cluster) -> None:
    log = await log_of(cluster)
    arguments = (OWNER, cluster.config.bootstrap, cluster.prefix)
    async with (
        Program(*arguments, "a", "0.002", "-1", "again") as a,
        Program(*arguments, "b", "0.002", "-1", "again") as b,
        Program(*arguments, "c", "0.002", "-1", "again") as c,
    ):
        fighting = (a, b, c)
        await asyncio.gather(*[lose(each, 4) for each in fighting])
    said = [name for each in fighting for name in released(each.lines)]
    standing = await audited(cluster, log)
    assert set(said) <= set(standing)
    assert len(set(standing)) == len(standing)


async def lose(owner: Program, times: int) -> None:
    for _ in range(times):
        await owner.until(lambda line: line.startswith("deposed"))
