"""Topics as code: what is made, what differs, and that nothing else makes a topic."""

import asyncio
from dataclasses import replace

import pytest

from agentspan.eventlog import LogError, LogMismatch
from agentspan.eventlog.kafka import (
    ClusterUnreachable,
    Difference,
    Kafka,
    KafkaConfig,
    acls,
    check_group,
    check_topics,
    create_topics,
    describe_topics,
    planned_topics,
)
from agentspan_schemas.topics import COMMANDS, TASKS, TOPICS, topic_name
from tests.support.kafka.altering import alter_group, alter_topic
from tests.support.kafka.broker import Broker, free_ports
from tests.support.kafka.topics import Cluster


async def test_what_was_made_as_planned_differs_in_nothing(cluster: Cluster) -> None:
    plan = planned_topics(cluster.choices(3))
    assert {each.name for each in plan} > {topic_name(topic, cluster.prefix) for topic in TOPICS}
    assert await create_topics(cluster.config, plan) == tuple(each.name for each in plan)
    assert await check_topics(cluster.config, plan) == ()


async def test_what_exists_is_left_as_it_is(cluster: Cluster) -> None:
    plan = planned_topics(cluster.choices(3))
    await create_topics(cluster.config, plan[:4])
    before = await describe_topics(cluster.config, [each.name for each in plan[:4]])
    assert await create_topics(cluster.config, plan) == tuple(each.name for each in plan[4:])
    assert await describe_topics(cluster.config, [each.name for each in plan[:4]]) == before


async def test_every_difference_is_told(cluster: Cluster) -> None:
    plan = planned_topics(cluster.choices(3))
    events = next(each for each in plan if each.name.endswith(".events"))
    await create_topics(cluster.config, [each for each in plan if not each.name.endswith(".tasks")])
    await asyncio.to_thread(
        alter_topic, cluster.config.bootstrap, events.name, {"unclean.leader.election.enable": "true"}
    )
    wanted = [replace(each, partitions=4) if each is events else each for each in plan]
    assert set(await check_topics(cluster.config, wanted)) == {
        Difference(events.name, "partitions", "4", "3"),
        Difference(events.name, "unclean.leader.election.enable", "false", "true"),
        Difference(topic_name(TASKS, cluster.prefix), "topic", "3 partitions", "missing"),
    }


async def test_a_topic_is_described_as_it_is(cluster: Cluster) -> None:
    facts = await cluster.create(COMMANDS, 2)
    [described] = await describe_topics(cluster.config, [facts.name, f"{cluster.prefix}.none"])
    assert (described.partitions, described.replication) == (2, 1)
    assert facts.id.endswith(f"/{described.id}")
    assert described.config["retention.ms"] == str(7 * 24 * 3600 * 1000)


async def test_too_few_brokers_are_the_clusters_word(cluster: Cluster) -> None:
    plan = planned_topics(replace(cluster.choices(1), replication=3))
    with pytest.raises(LogError, match=r"events|tickets"):
        await create_topics(cluster.config, plan)


async def test_timeouts_of_a_group_are_checked_where_the_cluster_sets_them(cluster: Cluster) -> None:
    assert await check_group(cluster.config, "orchestrators") == ()
    config = replace(cluster.config, group_protocol="consumer")
    name = f"{cluster.prefix}.orchestrators"
    found = await check_group(config, "orchestrators")
    assert {(each.name, each.setting, each.planned) for each in found} == {
        (name, "consumer.session.timeout.ms", "6000"),
        (name, "consumer.heartbeat.interval.ms", "2000"),
    }
    await asyncio.to_thread(alter_group, config.bootstrap, name, {each.setting: each.planned for each in found})
    assert await check_group(config, "orchestrators") == ()


async def test_a_missing_topic_is_not_made(cluster: Cluster) -> None:
    kafka = Kafka(cluster.config)
    with pytest.raises(LogMismatch, match="topics create"):
        await kafka.log()
    await kafka.close()
    assert await describe_topics(cluster.config, [f"{cluster.prefix}.events"]) == ()


async def test_a_cluster_that_is_not_there_is_named() -> None:
    [port] = free_ports(1)
    config = KafkaConfig(bootstrap=f"127.0.0.1:{port}", connect_timeout_s=1)
    kafka = Kafka(config)
    with pytest.raises(ClusterUnreachable, match=str(port)):
        await kafka.inbox()
    await kafka.close()
    with pytest.raises(ClusterUnreachable, match=str(port)):
        await describe_topics(config, ["agentspan.events"])


async def test_a_table_is_made_of_a_compacted_topic_alone(broker: Broker) -> None:
    kafka = Kafka(KafkaConfig(bootstrap=broker.bootstrap))
    with pytest.raises(ValueError, match="not compacted"):
        await kafka.table(COMMANDS)
    await kafka.close()


def test_only_the_orchestrator_may_write_the_log() -> None:
    writers = {acl.service for acl in acls("p") if acl.name in ("p.events", "p.tasks") and acl.operation == "Write"}
    assert writers == {"orchestrator"}


def test_security_settings_are_passed_on_and_nothing_else() -> None:
    security = {"security.protocol": "SASL_SSL", "sasl.mechanism": "SCRAM-SHA-512"}
    config = KafkaConfig(bootstrap="b:9092", security=security)
    for client in (config.producer(), config.member("g"), config.admin(), config.consumer(wait_ms=1, queued_kb=1)):
        assert client["sasl.mechanism"] == "SCRAM-SHA-512"
    with pytest.raises(ValueError, match="'acks'"):
        KafkaConfig(bootstrap="b:9092", security={"acks": "1"})
    assert "SCRAM" not in repr(config)
