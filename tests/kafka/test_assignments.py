"""Who has which partition: each has one member, wherever members come, go, and freeze."""

import asyncio
import contextlib
import signal
from collections.abc import AsyncIterator
from dataclasses import replace

import pytest
from confluent_kafka import TopicPartition

from agentspan.eventlog.kafka import Assignments, KafkaConfig, Serving
from agentspan_schemas.topics import COMMANDS
from tests.support.kafka.broker import Broker
from tests.support.kafka.program import Program
from tests.support.kafka.topics import Cluster

PARTITIONS = 4
ALL = frozenset(range(PARTITIONS))
WITHIN_S = 90.0
"""Of a change of members, each has its partitions, on a slow machine too."""
LONG_S = 60.0
"""A session in which a process that was killed is there again, on a slow machine too."""


class Member:
    """A process of the group, as it hears of its partitions."""

    def __init__(self, config: KafkaConfig) -> None:
        self.assignments = Assignments(config)
        self.served: set[int] = set()
        self.begun = 0
        """How often it has begun to serve one."""
        self._changed = asyncio.Condition()

    async def run(self) -> None:
        async with asyncio.TaskGroup() as group:
            group.create_task(self.assignments.run(Serving(self._serve, group)))

    async def serves(self, count: int) -> frozenset[int]:
        """What it serves, once that are so many."""
        async with asyncio.timeout(WITHIN_S), self._changed:
            await self._changed.wait_for(lambda: len(self.served) == count)
            return frozenset(self.served)

    async def _serve(self, partition: int) -> None:
        assert partition not in self.served
        self.begun += 1
        await self._change(self.served.add, partition)
        try:
            await asyncio.Event().wait()
        finally:
            await self._change(self.served.remove, partition)

    async def _change(self, act: "object", partition: int) -> None:
        async with self._changed:
            act(partition)  # type: ignore[operator]
            self._changed.notify_all()


@contextlib.asynccontextmanager
async def member(config: KafkaConfig) -> AsyncIterator[Member]:
    one = Member(config)
    running = asyncio.create_task(one.run())
    try:
        yield one
    finally:
        running.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await running
    assert one.served == set()


@pytest.fixture(params=["classic", "consumer"])
async def config(request: pytest.FixtureRequest, cluster: Cluster) -> KafkaConfig:
    await cluster.create(COMMANDS, PARTITIONS)
    return replace(cluster.config, group_protocol=request.param)


async def test_partitions_move_to_who_comes_and_back_from_who_goes(config: KafkaConfig) -> None:
    async with member(config) as first:
        assert await first.serves(PARTITIONS) == ALL
        async with member(config) as second:
            shared = await asyncio.gather(first.serves(2), second.serves(2))
            assert frozenset.union(*shared) == ALL
        assert await first.serves(PARTITIONS) == ALL


async def test_the_coordinator_confirms_what_is_assigned(config: KafkaConfig) -> None:
    async with member(config) as one:
        await one.serves(PARTITIONS)
        assert await one.assignments.confirmed(0)
        assert not await one.assignments.confirmed(PARTITIONS)


async def test_progress_is_committed_for_who_measures_the_lag(config: KafkaConfig, cluster: Cluster) -> None:
    async with member(config) as one:
        await one.serves(PARTITIONS)
        one.assignments.progressed(2, 17)
        assert await one.assignments.confirmed(2)
    consumer = cluster.consumer("orchestrators")
    [committed] = consumer.committed([TopicPartition(f"{cluster.prefix}.commands", 2)], timeout=10)
    consumer.close()
    assert committed.offset == 17


async def test_a_frozen_member_loses_its_partitions_and_hears_of_it(cluster: Cluster) -> None:
    await cluster.create(COMMANDS, PARTITIONS)
    async with Program("tests.kafka.member", cluster.config.bootstrap, cluster.prefix) as frozen:
        await frozen.until(lambda line: line == "serves 4")
        async with member(cluster.config) as other:
            await other.serves(2)
            frozen.signal(signal.SIGSTOP)
            await other.serves(PARTITIONS)
            frozen.signal(signal.SIGCONT)
            await frozen.until(lambda line: line == "serves 0")
            await asyncio.gather(other.serves(2), frozen.until(lambda line: line == "serves 2"))


async def test_a_coordinator_that_is_away_takes_nothing_from_who_alone_has_it(
    config: KafkaConfig, broker: Broker
) -> None:
    """For longer than the session; the group is made up again, and nobody has stopped serving."""
    async with member(config) as one:
        await one.serves(PARTITIONS)
        assert await one.assignments.confirmed(0)
        with broker.frozen():
            await asyncio.sleep(config.session_timeout_s + 1)  # not to wait for something: so long it is away
            assert one.served == ALL
        async with asyncio.timeout(WITHIN_S):
            while not await one.assignments.confirmed(0):  # noqa: ASYNC110 - nobody tells when the group is whole
                await asyncio.sleep(0.1)
        assert one.served == ALL
        assert one.begun == PARTITIONS


async def test_a_static_member_finds_its_partitions_again(cluster: Cluster) -> None:
    """Until then nobody else has them."""
    await cluster.create(COMMANDS, PARTITIONS)
    static = replace(cluster.config, instance_id="orchestrator-0", session_timeout_s=LONG_S)
    async with member(replace(static, instance_id="orchestrator-1")) as other:
        await other.serves(PARTITIONS)
        async with member(static) as first:
            before, others = await asyncio.gather(first.serves(2), other.serves(2))
        assert other.served == others
        async with member(static) as second:
            assert await second.serves(2) == before
        assert other.served == others


async def test_a_dead_static_members_partitions_wait_out_the_session(cluster: Cluster) -> None:
    """Killed, it may come back within the session; after that the others have them."""
    await cluster.create(COMMANDS, PARTITIONS)
    static = replace(cluster.config, instance_id="orchestrator-1")
    loop = asyncio.get_running_loop()
    async with member(static) as other:
        await other.serves(PARTITIONS)
        async with Program("tests.kafka.member", cluster.config.bootstrap, cluster.prefix, "orchestrator-0") as dying:
            await asyncio.gather(other.serves(2), dying.until(lambda line: line == "serves 2"))
            dying.signal(signal.SIGKILL)
            died_at = loop.time()
            await other.serves(PARTITIONS)
    assert static.session_timeout_s - static.heartbeat_s - 1 < loop.time() - died_at


async def test_a_static_member_that_was_killed_comes_back_to_its_partitions_within_the_session(
    cluster: Cluster,
) -> None:
    await cluster.create(COMMANDS, PARTITIONS)
    arguments = ("tests.kafka.member", cluster.config.bootstrap, cluster.prefix, "orchestrator-0", str(LONG_S))
    async with member(replace(cluster.config, instance_id="orchestrator-1")) as other:
        await other.serves(PARTITIONS)
        async with Program(*arguments) as first:
            await asyncio.gather(other.serves(2), first.until(lambda line: line == "serves 2"))
            others = frozenset(other.served)
            first.signal(signal.SIGKILL)
            await first.rest()
        async with Program(*arguments) as second:
            await second.until(lambda line: line == "serves 2")
            assert other.served == others
