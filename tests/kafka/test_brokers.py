"""What brokers do to a log: go away and come back, answer nobody, lose a topic; and what others write on it."""

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import replace
from datetime import UTC, datetime

import pytest
from confluent_kafka import KafkaError, KafkaException, Producer, TopicPartition
from confluent_kafka.admin import AdminClient

from agentspan.eventlog import (
    BeyondEnd,
    CaughtUp,
    Change,
    Deposed,
    FateUnknown,
    LogClosed,
    LogMismatch,
    Outcome,
    Ownership,
    Record,
    WriteError,
)
from agentspan.eventlog._kafka_connection import TopicFacts
from agentspan.eventlog.kafka import Kafka, KafkaInbox, KafkaLog, KafkaTable, WriteRefused
from agentspan_schemas.topics import COMMANDS, EVENTS, SETTINGS
from tests.contract.reading import counted, keys, outcome, record, take
from tests.support.kafka.broker import READY_S, Broker
from tests.support.kafka.topics import Cluster


async def log_of(cluster: Cluster) -> KafkaLog:
    facts = await cluster.create(EVENTS, 1)
    return KafkaLog(cluster.connect(), facts)


async def collect(log: KafkaLog, into: "asyncio.Queue[Outcome]") -> None:
    async for found in log.partition(0).follow():
        into.put_nowait(found)


@asynccontextmanager
async def followed(log: KafkaLog) -> AsyncIterator["asyncio.Queue[Outcome]"]:
    """What a follower gets meanwhile."""
    found: asyncio.Queue[Outcome] = asyncio.Queue()
    following = asyncio.create_task(collect(log, found))
    yield found
    following.cancel()
    await asyncio.wait([following])


def wait_for_the_broker(cluster: Cluster) -> None:
    """Writes are given up on later than a slow machine takes to start one."""
    cluster.config = replace(cluster.config, delivery_timeout_s=READY_S)


async def test_a_follower_and_its_owner_outlive_a_broker(cluster: Cluster, broker: Broker) -> None:
    wait_for_the_broker(cluster)
    log = await log_of(cluster)
    owner = await log.partition(0).take_over("a")
    async with followed(KafkaLog(cluster.connect(), await facts(cluster))) as found:
        first = await owner.append(outcome("before"))
        assert await found.get() == first
        await asyncio.to_thread(broker.stop)
        waiting = owner.append(outcome("while"))
        await asyncio.to_thread(broker.start)
        after = [await waiting, await owner.append(outcome("after"))]
        assert [await found.get(), await found.get()] == after
    assert keys(await counted(log.partition(0))) == ["before/0", "while/0", "after/0"]


async def test_a_broker_that_is_killed_loses_nothing_that_was_released(cluster: Cluster, broker: Broker) -> None:
    wait_for_the_broker(cluster)
    log = await log_of(cluster)
    owner = await log.partition(0).take_over("a")
    released = [await owner.append(outcome(str(number), 2)) for number in range(20)]
    await asyncio.to_thread(broker.kill)
    waiting = [owner.append(outcome(f"later-{number}")) for number in range(3)]
    await asyncio.to_thread(broker.start)
    released += await asyncio.gather(*waiting)
    assert await counted(log.partition(0)) == released


async def test_an_append_that_nobody_acknowledges_in_time_ends_the_ownership(broker: Broker) -> None:
    """Its fate is learned by reading: here it stands or not, but never in part, and the next owner goes on."""
    async with Cluster(broker.bootstrap) as cluster:
        cluster.config = replace(cluster.config, delivery_timeout_s=5.0, request_timeout_s=2.0)
        log = await log_of(cluster)
        owner = await log.partition(0).take_over("a")
        await owner.append(outcome("before"))
        with broker.frozen(), pytest.raises(Deposed) as deposed:
            await owner.append(outcome("lost", 3))
        assert isinstance(deposed.value.__cause__, FateUnknown)
        assert "not acknowledged" in str(deposed.value.__cause__)
        again = await take_over(log, "b")
        await again.append(outcome("after"))
        standing = keys(await counted(log.partition(0)))
        assert standing in (["before/0", "after/0"], ["before/0", "lost/0", "lost/1", "lost/2", "after/0"])


async def test_a_topic_that_was_made_anew_is_another_log(cluster: Cluster) -> None:
    log = await log_of(cluster)
    owner = await log.partition(0).take_over("a")
    [*_, last] = [await owner.append(outcome(str(number))) for number in range(5)]
    async with followed(log) as found:
        for _ in range(5):
            await found.get()
        await delete(cluster, f"{cluster.prefix}.events")
        anew = await log_of(cluster)
        assert anew.id != log.id
        with pytest.raises(BeyondEnd, match="another log"):
            await anext(anew.partition(0).follow(last.position))
        first = await anew.partition(0).take_over("b")
        assert first.epoch == 1


async def test_a_follower_of_a_topic_that_was_made_anew_is_told(cluster: Cluster) -> None:
    log = await log_of(cluster)
    owner = await log.partition(0).take_over("a")
    last = await owner.append(outcome("x"))
    following = asyncio.create_task(anext(log.partition(0).follow(last.position)))
    await log.partition(0).wait(last.position.offset - 1)
    await delete(cluster, f"{cluster.prefix}.events")
    await log_of(cluster)
    with pytest.raises((BeyondEnd, LogMismatch)):
        await asyncio.wait_for(following, 60)


async def test_what_others_write_beside_the_rule_counts_for_nobody(cluster: Cluster) -> None:
    log = await log_of(cluster)
    owner = await log.partition(0).take_over("a")
    released = [await owner.append(outcome("x"))]
    write_beside(cluster, f"{cluster.prefix}.events", transaction=False)
    released.append(await owner.append(outcome("y")))
    assert await counted(log.partition(0)) == released


async def test_offsets_that_a_foreign_transaction_took_stop_no_owner(cluster: Cluster) -> None:
    """Its marker is an offset at which no record ever is."""
    log = await log_of(cluster)
    owner = await log.partition(0).take_over("a")
    async with followed(log) as found:
        released = [await owner.append(outcome("x"))]
        write_beside(cluster, f"{cluster.prefix}.events", transaction=True)
        released.append(await owner.append(outcome("y", 2)))
        assert [await found.get(), await found.get()] == released
    assert await counted(log.partition(0)) == released


@pytest.mark.parametrize("followers", [0, 1])
async def test_a_log_that_ends_with_a_foreign_marker_is_taken_over(cluster: Cluster, followers: int) -> None:
    log = await log_of(cluster)
    owner = await log.partition(0).take_over("a")
    released = [await owner.append(outcome("x"))]
    write_beside(cluster, f"{cluster.prefix}.events", transaction=True)
    while await log.partition(0).end() < 4:
        pass  # the marker comes after the transaction's end is acknowledged
    other = KafkaLog(cluster.connect(), await facts(cluster))
    async with AsyncExitStack() as following:
        for _ in range(followers):
            await following.enter_async_context(followed(other))
        released.append(await (await other.partition(0).take_over("b")).append(outcome("y")))
    assert await counted(other.partition(0)) == released


async def test_a_receiver_starts_at_the_earliest_command_that_is_kept(cluster: Cluster) -> None:
    facts = await cluster.create(COMMANDS, 1)
    inbox = KafkaInbox(cluster.connect(), facts)
    for number in range(6):
        await inbox.send(0, record(str(number)))
    admin = AdminClient(cluster.config.admin())
    for deleted in admin.delete_records([TopicPartition(facts.name, 0, 4)]).values():
        deleted.result()
    assert [(at, got.key) for at, got in await take(inbox.receive(0, 0), 2)] == [(4, "4"), (5, "5")]


async def test_a_receiver_that_is_ahead_of_its_topic_waits_at_the_end(cluster: Cluster) -> None:
    inbox = KafkaInbox(cluster.connect(), await cluster.create(COMMANDS, 1))
    await inbox.send(0, record("old"))
    receiving = asyncio.ensure_future(take(inbox.receive(0, 1000), 1))
    while not receiving.done():
        await inbox.send(0, record("new"))
    [(_, received)] = await receiving
    assert received.key == "new"


async def test_commands_are_cloud_events(cluster: Cluster) -> None:
    facts = await cluster.create(COMMANDS, 1)
    inbox = KafkaInbox(cluster.connect(), facts)
    await inbox.send(0, Record("start", "exec-1", b'{"n": 1}', {"commandid": "c-1"}))
    consumer = cluster.consumer("look")
    consumer.assign([TopicPartition(facts.name, 0, 0)])
    message = consumer.poll(20)
    consumer.close()
    assert message is not None
    headers = dict(message.headers() or [])
    time = headers.pop("ce_time")
    assert isinstance(time, bytes)
    assert datetime.fromisoformat(time.decode()).tzinfo is UTC
    assert headers == {
        "ce_specversion": b"1.0",
        "ce_id": b"c-1",
        "ce_type": b"start",
        "ce_source": f"/{facts.name}".encode(),
        "ce_subject": b"exec-1",
        "ce_commandid": b"c-1",
        "content-type": b"application/json",
    }
    assert (message.key(), json.loads(message.value() or b"")) == (b"exec-1", {"n": 1})


async def test_an_attribute_of_the_envelope_is_refused(cluster: Cluster) -> None:
    inbox = KafkaInbox(cluster.connect(), await cluster.create(COMMANDS, 1))
    with pytest.raises(ValueError, match="'epoch'"):
        inbox.send(0, Record("x", "k", b"{}", {"epoch": "7"}))


async def test_a_record_that_no_topic_takes_is_refused_by_name(cluster: Cluster) -> None:
    inbox = KafkaInbox(cluster.connect(), await cluster.create(COMMANDS, 1))
    with pytest.raises(WriteRefused, match="too large"):
        await inbox.send(0, record("large", b"x" * 4_000_000))
    await inbox.send(0, record("small"))


async def test_a_tombstone_of_a_table_has_no_value(cluster: Cluster) -> None:
    facts = await cluster.create(SETTINGS, 1)
    table = KafkaTable(cluster.connect(), facts)
    await table.put("kind/name", record("x"))
    await table.put("kind/name", None)
    consumer = cluster.consumer("look")
    consumer.assign([TopicPartition(facts.name, 0, 1)])
    message = consumer.poll(20)
    consumer.close()
    assert message is not None
    assert (message.key(), message.value()) == (b"kind/name", None)


async def test_the_key_of_an_entry_and_that_of_its_record_are_two_things(cluster: Cluster) -> None:
    facts = await cluster.create(SETTINGS, 1)
    await KafkaTable(cluster.connect(), facts).put("exec-1/0-0/1", record("exec-1"))
    [change, caught_up] = await take(KafkaTable(cluster.connect(), facts).follow(), 2)
    assert (change, caught_up) == (Change(0, "exec-1/0-0/1", record("exec-1")), CaughtUp())


async def test_a_connection_that_was_closed_takes_nothing_more(cluster: Cluster) -> None:
    facts = await cluster.create(COMMANDS, 1)
    kafka = Kafka(cluster.config)
    inbox = await kafka.inbox()
    last = inbox.send(0, record("last"))
    await kafka.close()
    assert await last == [0]
    with pytest.raises(LogClosed):
        await inbox.send(0, record("late"))
    assert facts.id == inbox.id


class FatalProducer(Producer):
    """At its end, as after a broken sequence of an idempotent producer."""

    def produce(self, *_: object, **__: object) -> None:
        raise KafkaException(KafkaError(KafkaError._FATAL, "for the test", fatal=True))


async def test_after_a_fatal_error_a_new_producer_goes_on(cluster: Cluster, monkeypatch: pytest.MonkeyPatch) -> None:
    inbox = KafkaInbox(cluster.connect(), await cluster.create(COMMANDS, 1))
    with monkeypatch.context() as broken:
        broken.setattr("agentspan.eventlog._kafka_producer.Producer", FatalProducer)
        with pytest.raises(FateUnknown, match="_FATAL"):
            await inbox.send(0, record("lost"))
    await inbox.send(0, record("after"))
    assert [got.key for _, got in await take(inbox.receive(0, 0), 1)] == ["after"]


async def facts(cluster: Cluster) -> TopicFacts:
    [found] = await cluster.connect().facts([f"{cluster.prefix}.events"])
    return found


async def take_over(log: KafkaLog, owner_id: str) -> Ownership:
    while True:
        try:
            return await log.partition(0).take_over(owner_id)
        except WriteError:
            continue


async def delete(cluster: Cluster, topic: str) -> None:
    admin = AdminClient(cluster.config.admin())
    for deleted in admin.delete_topics([topic]).values():
        await asyncio.to_thread(deleted.result)


def write_beside(cluster: Cluster, topic: str, *, transaction: bool) -> None:
    """A producer that knows nothing of the log."""
    settings = {"bootstrap.servers": cluster.config.bootstrap}
    producer = Producer(settings | ({"transactional.id": topic} if transaction else {}))
    if transaction:
        producer.init_transactions(60)
        producer.begin_transaction()
    producer.produce(topic, b"no event", partition=0)
    if transaction:
        producer.commit_transaction(60)
    producer.flush(60)
