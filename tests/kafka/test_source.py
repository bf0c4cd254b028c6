"""A topic of other teams, shared by the members of a group: nothing is skipped wherever its partitions go, and what is
done stays done."""

import asyncio
import contextlib
from collections.abc import AsyncIterator
from dataclasses import replace

import pytest
from confluent_kafka import Producer, TopicPartition

from agentspan.eventlog._kafka_admin import create_topics
from agentspan.eventlog._kafka_dead_letters import KafkaDeadLetters
from agentspan.eventlog._kafka_source import AHEAD, BATCH, KafkaSource
from agentspan.eventlog._kafka_topics import planned_topics
from agentspan.eventlog.intake import Delivery
from agentspan.eventlog.kafka import KafkaConfig
from agentspan_schemas.dead_letters import OMITTED, PREFIX, original
from agentspan_schemas.topics import TICKETS
from tests.kafka.teams import Team
from tests.support.kafka.topics import Cluster

PARTITIONS = 4
GROUP = "ingest"


class Member:
    """A process that receives, one record after the other, and says what it has."""

    def __init__(self, config: KafkaConfig) -> None:
        self.source = KafkaSource(config, TICKETS, GROUP)
        self._records = self.source.receive()

    async def next(self, *, done: bool = True) -> Delivery:
        async with asyncio.timeout(90):
            delivery = await anext(self._records)
        if done:
            self.source.done(delivery)
        return delivery

    async def some(self, count: int, *, done: bool = True) -> list[Delivery]:
        return [await self.next(done=done) for _ in range(count)]

    async def close(self) -> None:
        await self._records.aclose()


@contextlib.asynccontextmanager
async def member(config: KafkaConfig) -> AsyncIterator[Member]:
    one = Member(config)
    try:
        yield one
    finally:
        await one.close()


@pytest.fixture(params=["classic", "consumer"])
async def config(request: pytest.FixtureRequest, cluster: Cluster) -> KafkaConfig:
    await cluster.create(TICKETS, PARTITIONS)
    return replace(cluster.config, group_protocol=request.param)


@pytest.fixture
def team(cluster: Cluster) -> Team:
    return Team(cluster.config.bootstrap, cluster.prefix)


def emit(team: Team, first: int, count: int) -> None:
    """To each partition."""
    for number in range(first, first + count):
        for partition in range(PARTITIONS):
            team.queue("tickets", str(number).encode(), partition=partition)
    team.flush()


def places(deliveries: list[Delivery]) -> set[tuple[int, int]]:
    return {(each.partition, each.offset) for each in deliveries}


def expected(first: int, count: int) -> set[tuple[int, int]]:
    return {(partition, offset) for partition in range(PARTITIONS) for offset in range(first, first + count)}


def committed(cluster: Cluster) -> list[int]:
    consumer = cluster.consumer(GROUP)
    wanted = [TopicPartition(f"{cluster.prefix}.tickets", number) for number in range(PARTITIONS)]
    try:
        return [each.offset for each in consumer.committed(wanted, timeout=20)]
    finally:
        consumer.close()


async def test_each_record_comes_with_all_that_it_has(config: KafkaConfig, team: Team) -> None:
    team.send("tickets", b"a ticket", key=b"\xffkey", headers={"one": "1", "two": "2"}, partition=2)
    async with member(config) as one:
        found = await one.next()
    assert (found.topic, found.partition, found.offset) == (f"{config.prefix}.tickets", 2, 0)
    assert (found.key, found.value) == (b"\xffkey", b"a ticket")
    assert found.headers == (("one", b"1"), ("two", b"2"))


async def test_what_is_done_does_not_come_again_and_the_rest_does(
    config: KafkaConfig, cluster: Cluster, team: Team
) -> None:
    emit(team, 0, 10)
    async with member(config) as one:
        found = await one.some(40, done=False)
        for each in found:
            if each.offset < each.partition:
                one.source.done(each)
    async with member(config) as next_one:
        again = await next_one.some(40 - sum(range(PARTITIONS)))
    assert places(again) == {place for place in expected(0, 10) if place[1] >= place[0]}
    assert committed(cluster) == [10] * PARTITIONS


async def test_what_is_done_is_committed_while_the_member_stays(
    config: KafkaConfig, cluster: Cluster, team: Team
) -> None:
    emit(team, 0, 5)
    async with member(config) as one:
        await one.some(20)
        async with asyncio.timeout(90):
            while await asyncio.to_thread(committed, cluster) != [5] * PARTITIONS:
                pass


async def test_members_share_the_partitions_and_what_was_done_before_comes_to_nobody_again(
    config: KafkaConfig, team: Team
) -> None:
    emit(team, 0, 20)
    found: asyncio.Queue[tuple[Member, Delivery]] = asyncio.Queue()
    async with member(config) as first, asyncio.TaskGroup() as group:
        before = await first.some(80)
        async with member(config) as second:
            receiving = [group.create_task(_receive(each, found)) for each in (first, second)]
            count, got = 20, places(before)
            while True:  # until the group has given something to the second, all is the first one's
                emit(team, count, 1)
                count += 1
                theirs = [await found.get() for _ in range(PARTITIONS)]
                assert all(each.offset >= 20 for _, each in theirs)
                got |= places([each for _, each in theirs])
                if any(whose is second for whose, _ in theirs):
                    break
            emit(team, count, 20)
            while got != expected(0, count + 20):
                got |= places([(await found.get())[1]])
            for each in receiving:
                each.cancel()
            await asyncio.wait(receiving)


async def test_done_after_a_partition_was_away_takes_nothing_back(
    config: KafkaConfig, cluster: Cluster, team: Team
) -> None:
    emit(team, 0, 3)
    async with member(config) as first:
        old = await first.some(12, done=False)
        async with member(config) as second:
            moved = [await second.next() for _ in range(6)]
        back = {each.partition for each in moved}
        emit(team, 3, 1)
        new = [await first.next(done=False) for _ in range(PARTITIONS)]
        for each in old:
            first.source.done(each)
        for each in new:
            if each.partition in back:
                first.source.done(each)
    assert [offset for number, offset in enumerate(committed(cluster)) if number in back] == [4, 4]
    assert [offset for number, offset in enumerate(committed(cluster)) if number not in back] == [3, 3]


async def test_who_is_slow_to_receive_has_no_more_than_a_few_waiting(config: KafkaConfig, team: Team) -> None:
    emit(team, 0, 1000)
    async with member(config) as one:
        found: list[Delivery] = []
        waiting = 0
        while len(found) < 1000 * PARTITIONS:
            found.append(await one.next())
            assert one.source._member is not None
            waiting = max(waiting, one.source._member._fetched.qsize())
            await asyncio.sleep(0)  # it may hand over what it has
    assert waiting <= AHEAD + BATCH
    assert places(found) == expected(0, 1000)
    for partition in range(PARTITIONS):
        offsets = [each.offset for each in found if each.partition == partition]
        assert offsets == sorted(offsets)


async def _receive(one: Member, found: "asyncio.Queue[tuple[Member, Delivery]]") -> None:
    while True:
        found.put_nowait((one, await one.next()))


async def test_what_another_team_took_back_never_comes(config: KafkaConfig, team: Team) -> None:
    producer = Producer({"bootstrap.servers": config.bootstrap, "transactional.id": config.prefix, "log_level": 0})
    producer.init_transactions(20)
    producer.begin_transaction()
    producer.produce(f"{config.prefix}.tickets", b"taken back", partition=0)
    producer.flush(20)
    producer.abort_transaction(20)
    team.send("tickets", b"meant", partition=0)
    async with member(config) as one:
        assert (await one.next()).value == b"meant"


async def test_a_dead_letter_has_all_of_the_record_unless_no_message_can(cluster: Cluster, team: Team) -> None:
    await create_topics(cluster.config, [each for each in planned_topics(cluster.choices(1)) if "tickets" in each.name])
    letters = KafkaDeadLetters(cluster.connect(), TICKETS)
    own = (("team", b"crm"),)
    added = ((f"{PREFIX}error", b"too_large"),)
    for size in (2_000_000, 5_000_000):
        await letters.put(b"key", b"x" * size, (*own, *added))
    whole, note = team.read("tickets.dlq")
    assert (whole.key, len(whole.value)) == (b"key", 2_000_000)
    assert original(tuple(whole.headers.items())) == own
    assert (note.key, note.value) == (None, b"")
    assert note.headers == dict(added) | {OMITTED: b"5000060 bytes"}
