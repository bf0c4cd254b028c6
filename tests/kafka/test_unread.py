"""On a real cluster, records that count and that nobody can read: other bytes, hardly any headers, no value. Each is
then a dead letter, and history has all others."""

import asyncio

from agentspan.eventlog import Ownership
from agentspan.eventlog._kafka_admin import create_topics
from agentspan.eventlog._kafka_topics import planned_topics
from agentspan.eventlog.kafka import Kafka
from agentspan.eventlog.letters import letters, whole
from agentspan.eventlog.messages import log_record
from agentspan_query.aside import Aside
from agentspan_query.projection import Projection
from agentspan_query.tail import Tail
from agentspan_schemas.topics import EVENTS
from tests.kafka.teams import Team
from tests.support.eventually import WITHIN_S
from tests.support.kafka.topics import Cluster
from tests.support.projection_room import Tables
from tests.support.query_history import T0, History
from tests.support.unread import damaged


def counting(owner: Ownership, n: int, **attributes: str) -> dict[str, str]:
    """Headers with which a record counts as the owner's next."""
    takeover = owner.position.offset - 1
    stamp = {"epoch": owner.epoch, "n": n, "last": "true", "takeover": takeover}
    return {f"ce_{name}": str(value) for name, value in {**stamp, **attributes}.items()}


async def test_each_becomes_a_dead_letter_and_history_has_all_others(cluster: Cluster) -> None:
    await cluster.create(EVENTS, 1)
    await create_topics(
        cluster.config, [each for each in planned_topics(cluster.choices(1)) if each.name.endswith("events.dlq")]
    )
    kafka, team, tables = Kafka(cluster.config), Team(cluster.config.bootstrap, cluster.prefix), Tables()
    log, first = await kafka.log(), History("exec-a").started().waiting().done()
    owner = await log.partition(0).take_over("owner")
    await owner.append(
        [log_record(first.events[0]), damaged(first.events[1], b"\xff\x00"), log_record(first.events[2])]
    )
    team.send("events", b"{}", headers=counting(owner, 4))
    team.send("events", b"", key=b"\xff", headers=counting(owner, 5, type="done", seq="x", subject="exec-b"))
    other = await log.partition(0).take_over("another")
    await other.append([log_record(event) for event in History("exec-c").started().events])
    tail = Tail(log)
    aside = Aside(await kafka.dead_letters(EVENTS), f"{cluster.prefix}.events", now=lambda: T0)
    projection = Projection(log, tables, tail, aside, sleep=asyncio.sleep)
    running = [asyncio.create_task(service) for service in (tail.run(), projection.run())]
    async with asyncio.timeout(WITHIN_S):
        await tail.is_projected(0, await log.partition(0).end())
    for task in running:
        task.cancel()
    await asyncio.wait(running)
    assert tables.rows == ["exec-a/1", "exec-a/3", "exec-c/1"]
    box = await kafka.letterbox(EVENTS)
    found = await letters(box)
    assert [(each.key, each.why.error, each.why.partition, each.why.offset) for each in found] == [
        (b"exec-a", "unreadable_event", 0, 2),
        (b"", "unreadable_event", 0, 4),
        (b"exec-b", "unreadable_event", 0, 5),
    ]
    values = [letter.value async for letter in whole(box, lambda _: True)]
    assert values == [b"\xff\x00", b"{}", b""]
    assert dict(found[0].headers)["ce_status"] == b"waiting"
    await kafka.close()
