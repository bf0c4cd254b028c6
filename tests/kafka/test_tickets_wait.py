"""A thousand tickets and no worker: their executions wait for one, while the tool-runner is killed three times.

The worker comes after a day, for which the end of retention stands: nothing is left of the tickets and the commands.
"""

import uuid
from collections import Counter
from collections.abc import Iterator, Mapping
from pathlib import Path

import pytest
from confluent_kafka import Consumer, TopicPartition

from agentspan_schemas.ids import execution_id_for
from tests.e2e.conftest import LOOKUP
from tests.kafka import history
from tests.kafka.evidence import records_of
from tests.kafka.frozen import findings
from tests.kafka.servers import Fleet, fleet
from tests.kafka.teams import Team
from tests.support.eventually import eventually
from tests.support.kafka.altering import alter_topic
from tests.support.kafka.broker import Broker
from tests.support.server import turn

TICKETS = 1000
IDS = frozenset(execution_id_for("crm", f"T-{number}") for number in range(TICKETS))
WITHIN_S = 240.0
LEASE = "AGENTSPAN_LEASE_S=30"
"""A worker with hundreds of tasks on a busy machine is not lost."""


@pytest.fixture
def apart(broker: Broker, tmp_path: Path) -> Iterator[Fleet]:
    """An orchestrator, a tool-runner, and the rest."""
    processes = {"orchestrator": f"{LEASE} orchestrator", "tools": f"{LEASE} tool-runner"}
    processes["rest"] = "server start --roles approvals,query"
    with fleet(tmp_path, broker.bootstrap, f"test-{uuid.uuid4().hex[:12]}", **processes) as all_:
        for process in all_.processes:
            process.record("look", turn("", ("lookup_customer", LOOKUP)), turn("Looked up."))
        all_.shop.register()
        yield all_


def test_a_thousand_tickets_wait_for_a_worker_longer_than_they_and_their_commands_are_kept(apart: Fleet) -> None:
    orchestrator, tools, _ = apart.processes
    send_tickets(Team(apart.bootstrap, apart.prefix))
    for so_many in (1, TICKETS // 4, TICKETS // 2):
        await_waiting(apart, so_many)
        tools.restart()
    await_waiting(apart, TICKETS)
    assert waiting(apart) == IDS

    for topic in ("tickets", "commands"):
        expire(apart, topic)
    orchestrator.restart()
    assert waiting(apart) == IDS

    with apart.shop.worker(), apart.shop.worker():
        eventually(lambda: not waiting(apart), "nothing waits for a worker", WITHIN_S)
        eventually(lambda: ended(apart) == IDS, "all are done", WITHIN_S)
    audit(apart)


def send_tickets(team: Team) -> None:
    """As another team's program does, over all partitions of their topic."""
    for number in range(TICKETS):
        ticket = {"id": f"T-{number}", "source": "crm", "agent": "shop", "text": "who is it", "metadata": LOOK}
        team.queue("tickets", ticket, partition=number % 3)
    team.flush()


LOOK = {"recording": "look"}


def waiting(apart: Fleet) -> frozenset[str]:
    """The executions whose tool call stands on the tasks topic."""
    standing: dict[str, bool] = {}
    for raw in records_of(apart.bootstrap, apart.topic("tasks")):
        standing[raw.key] = raw.value is not None and "/model-" not in raw.key
    return frozenset(key.partition("/")[0] for key, stands in standing.items() if stands)


def await_waiting(apart: Fleet, so_many: int) -> None:
    eventually(lambda: len(waiting(apart)) >= so_many, f"{so_many} wait for a worker", WITHIN_S)


def ended(apart: Fleet) -> frozenset[str]:
    events = history.read(apart.bootstrap, apart.topic("events")).events
    return frozenset(key for key, found in events.items() if found[-1]["type"] == "done")


def expire(apart: Fleet, topic: str) -> None:
    """Let the broker delete all that stands on a topic, as it does when its time is over; see that it has."""
    before = kept(apart, topic)
    assert sum(end - begin for begin, end in before.values()) >= TICKETS
    name, week = apart.topic(topic), str(7 * 24 * 3600 * 1000)
    alter_topic(apart.bootstrap, name, {"retention.ms": "1"})
    gone = {number: (end, end) for number, (_, end) in before.items()}
    eventually(lambda: kept(apart, topic) == gone, f"the segments of {topic} are deleted", WITHIN_S)
    alter_topic(apart.bootstrap, name, {"retention.ms": week})


def kept(apart: Fleet, topic: str) -> Mapping[int, tuple[int, int]]:
    """Where each partition begins and ends."""
    name = apart.topic(topic)
    consumer = Consumer({"bootstrap.servers": apart.bootstrap, "group.id": "another-team"})
    try:
        numbers = consumer.list_topics(name, timeout=20).topics[name].partitions
        return {number: consumer.get_watermark_offsets(TopicPartition(name, number), timeout=20) for number in numbers}
    finally:
        consumer.close()


def audit(apart: Fleet) -> None:
    """Each is there once and ended well, with one result of its tool, and nothing else is there."""
    events = history.read(apart.bootstrap, apart.topic("events")).events
    assert events.keys() == IDS
    for found in events.values():
        types = Counter(event["type"] for event in found)
        assert [event["seq"] for event in found] == list(range(1, len(found) + 1))
        assert (types["started"], types["tool_result"], types["done"]) == (1, 1, 1), types
    # the tool is no `once` tool: where a worker was thought lost it may have run again, under the same key
    effects = {key for key, _ in apart.shop.effects("lookup_customer")}
    assert effects == {f"{execution_id}.1-0" for execution_id in IDS}
    assert [each for each in findings(apart) if not each.startswith("command-")] == [], "of commands nothing is kept"
