"""A broker that answers nobody, with its connections open, for longer than a client is believed in: another instance
goes on. An instance that never connects again cannot be brought about; this is what is done about it, for real."""

import asyncio
import contextlib
from collections.abc import Callable, Iterator
from dataclasses import replace
from types import ModuleType
from typing import Any

import pytest

from agentspan.eventlog import (
    FateUnknown,
    _kafka_asking,
    _kafka_assignments,
    _kafka_live,
    _kafka_producer,
    _kafka_pulse,
    _kafka_source,
)
from agentspan.eventlog._kafka_live import Place
from agentspan.eventlog.kafka import KafkaConfig, KafkaInbox, KafkaTable
from agentspan_schemas.topics import COMMANDS, SETTINGS, TICKETS
from tests.contract.reading import record
from tests.kafka import test_assignments as assignments
from tests.kafka import test_source as source
from tests.support.eventually import until
from tests.support.kafka.broker import Broker
from tests.support.kafka.topics import Cluster

SOON_S = 0.5


@contextlib.contextmanager
def frozen(broker: Broker, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """It answers nobody, and nobody believes for long that it will."""
    with broker.frozen(), monkeypatch.context() as impatient:
        for module in (_kafka_pulse, _kafka_producer, _kafka_asking):
            impatient.setattr(module, "SILENT_S", SOON_S)
        impatient.setattr(_kafka_pulse, "ALIVE_S", SOON_S)
        yield


@pytest.fixture(autouse=True)
def watched(monkeypatch: pytest.MonkeyPatch) -> None:
    """Asked for a sign of life often from the beginning on, and given up as soon as there is none."""
    monkeypatch.setattr(_kafka_pulse, "SILENT_S", 2.0)
    for module in (_kafka_assignments, _kafka_source):
        monkeypatch.setattr(module, "MEMBER_S", 2 * SOON_S)


@pytest.fixture(params=["classic", "consumer"])
def config(request: pytest.FixtureRequest, cluster: Cluster) -> KafkaConfig:
    return replace(cluster.config, group_protocol=request.param)


def counted(monkeypatch: pytest.MonkeyPatch, module: ModuleType, client: str) -> Callable[[], int]:
    """How many clients the module has made."""
    make, made = getattr(module, client), [0]

    def another(*given: Any, **named: Any) -> Any:
        made[0] += 1
        return make(*given, **named)

    monkeypatch.setattr(module, client, another)
    return lambda: made[0]


async def put_for_ever(table: KafkaTable) -> None:
    """Until one fails: the broker may not have stopped yet."""
    while True:
        await table.put("a", record("while"))


async def test_another_member_joins_and_serves(
    config: KafkaConfig, cluster: Cluster, broker: Broker, monkeypatch: pytest.MonkeyPatch
) -> None:
    await cluster.create(COMMANDS, assignments.PARTITIONS)
    made = counted(monkeypatch, _kafka_assignments, "Consumer")
    async with assignments.member(config) as one:
        await one.serves(assignments.PARTITIONS)
        with frozen(broker, monkeypatch):
            before = made()
            await until(lambda: made() > before)
        async with asyncio.timeout(assignments.WITHIN_S):
            while not await one.assignments.confirmed(0):  # noqa: ASYNC110 - nobody tells when the group is whole
                await asyncio.sleep(0.1)
        assert await one.serves(assignments.PARTITIONS) == assignments.ALL


async def test_another_member_receives_what_comes(
    config: KafkaConfig, cluster: Cluster, broker: Broker, monkeypatch: pytest.MonkeyPatch
) -> None:
    facts = await cluster.create(TICKETS, 1)
    made = counted(monkeypatch, _kafka_source, "Consumer")
    inbox = KafkaInbox(cluster.connect(), facts)
    async with source.member(config) as one:
        await inbox.send(0, record("before"))
        before_it = await one.next()
        with frozen(broker, monkeypatch):
            before = made()
            await until(lambda: made() > before)
        await inbox.send(0, record("after"))
        while (found := await one.next()).offset == before_it.offset:
            pass  # what was not committed comes again
        assert found.offset == before_it.offset + 1


async def test_another_producer_writes_on_and_what_was_under_way_may_stand(
    cluster: Cluster, broker: Broker, monkeypatch: pytest.MonkeyPatch
) -> None:
    cluster.config = replace(cluster.config, delivery_timeout_s=2.0)
    made = counted(monkeypatch, _kafka_producer, "Producer")
    table = KafkaTable(cluster.connect(), await cluster.create(SETTINGS, 1))
    await table.put("a", record("before"))
    with frozen(broker, monkeypatch), pytest.raises(FateUnknown):
        await put_for_ever(table)
    before = made()
    cluster.config = replace(cluster.config, delivery_timeout_s=60.0)
    await table.put("a", record("after"))
    assert made() == before + 1


async def test_another_client_asks_and_another_reads(
    cluster: Cluster, broker: Broker, monkeypatch: pytest.MonkeyPatch
) -> None:
    facts = await cluster.create(COMMANDS, 1)
    asking = counted(monkeypatch, _kafka_asking, "AdminClient")
    reading = counted(monkeypatch, _kafka_live, "Consumer")
    connection = cluster.connect()
    inbox = KafkaInbox(connection, facts)
    received = inbox.receive(0, 0)
    first = asyncio.ensure_future(anext(received))
    sent = await inbox.send(0, record("before"))
    assert (await first)[0] == sent[0]
    second = asyncio.ensure_future(anext(received))
    with frozen(broker, monkeypatch):
        before = asking(), reading()
        end = asyncio.ensure_future(connection.end(Place(facts.name, 0)))
        await until(lambda: asking() > before[0] and reading() > before[1])
    assert await asyncio.wait_for(end, 60) == sent[0] + 1
    other = KafkaInbox(cluster.connect(), facts)
    [offset] = await other.send(0, record("after"))
    assert (await asyncio.wait_for(second, 60))[0] == offset
    await received.aclose()
