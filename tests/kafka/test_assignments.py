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
from tests.support.kafka.program import Program
from tests.support.kafka.topics import Cluster

PARTITIONS = 4
ALL = frozenset(range(PARTITIONS))


class Member:
    """A process of the group, as it hears of its partitions."""

    def __init__(self, config: KafkaConfig) -> None:
        self.assignments = Assignments(config)
        self.served: set[int] = set()
        self._changed = asyncio.Condition()

    async def run(self) -> None:
        async with asyncio.TaskGroup() as group:
            group.create_task(self.assignments.run(Serving(self._serve, group)))

    async def serves(self, count: int) -> frozenset[int]:
        """What it serves, once that are so many."""
        async with asyncio.timeout(30), self._changed:
            await self._changed.wait_for(lambda: len(self.served) == count)
            return frozenset(self.served)

    async def _serve(self, partition: int) -> None:
        assert partition not in self.served
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
    yield one
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


async def test_a_static_member_finds_its_partitions_again(cluster: Cluster) -> None:
    """Until then nobody else has them."""
    await cluster.create(COMMANDS, PARTITIONS)
    static = replace(cluster.config, instance_id="orchestrator-0", session_timeout_s=30)
    async with member(replace(static, instance_id="orchestrator-1")) as other:
        await other.serves(PARTITIONS)
        async with member(static) as first:
            before, others = await asyncio.gather(first.serves(2), other.serves(2))
        assert other.served == others
        async with member(static) as second:
            assert await second.serves(2) == before
        assert other.served == others
