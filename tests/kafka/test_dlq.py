"""Dead letters on a real cluster: what was put aside is listed, comes again as it was, or is put away for good."""

import asyncio
import base64
import json
import os
import random
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from agentspan.eventlog.kafka import Kafka, check_topics, create_topics, planned_topics
from agentspan.eventlog.letters import letters
from agentspan.eventlog.messages import log_record
from agentspan_schemas.dead_letters import HANDLED, NOT_IN_HISTORY, Why
from agentspan_schemas.ids import execution_id_for
from agentspan_schemas.topics import EVENTS, TICKETS
from tests.kafka.circle import Circle, opened_circle
from tests.kafka.servers import AGENTSPAN
from tests.kafka.teams import Team
from tests.support.eventually import eventually
from tests.support.kafka.broker import Broker
from tests.support.kafka.topics import Cluster
from tests.support.query_history import History
from tests.support.server import run

TICKET = {"source": "crm", "text": "charged twice", "metadata": {"recording": "refund_at_once"}}
TOPIC_LIMIT = 2 * 1024 * 1024


@pytest.fixture
def circle(broker: Broker, tmp_path: Path) -> Iterator[Circle]:
    with opened_circle(broker.bootstrap, tmp_path) as circle:
        yield circle


def dlq(circle: Circle, *words: str, ends: int = 0) -> Any:
    """What `agentspan dlq …` says, as JSON."""
    done = run([AGENTSPAN, "dlq", *words, "-o", "json", "--log", circle.log], os.environ)
    assert done.returncode == ends, done.stderr
    return json.loads(done.stdout)


def await_letters(circle: Circle, topic: str, count: int) -> None:
    eventually(lambda: len(circle.team.read(f"{topic}.dlq")) == count, f"{count} stand on {topic}.dlq")


def test_what_nobody_could_take_is_replayed_when_somebody_can_and_starts_once(circle: Circle) -> None:
    for number in range(3):
        circle.team.send("tickets", TICKET | {"id": f"T-{number}"}, key=b"k", partition=number)
    await_letters(circle, "tickets", 3)
    found = dlq(circle, "list")
    assert {(each["why"], each["source"]["partition"], each["key"]["text"]) for each in found} == {
        ("no_mapping", number, "k") for number in range(3)
    }
    mapping = {"agent": "shop", "source": "crm"}
    assert circle.server.http.put("/ticket-mappings/all", json=mapping).is_success
    first = found[0]["id"]
    assert [each["id"] for each in dlq(circle, "replay", first)] == [first]
    assert len(dlq(circle, "replay", "--all", "--why", "no_mapping")) == 2
    assert dlq(circle, "list") == []
    dlq(circle, "replay", first, "--again")  # as after a crash before the note
    circle.team.send("tickets", TICKET | {"id": "last"}, partition=found[0]["source"]["partition"])
    ids = [execution_id_for("crm", id_) for id_ in ("T-0", "T-1", "T-2", "last")]
    eventually(lambda: circle.started() == dict.fromkeys(ids, 1), "each is started once")
    assert [each for each in circle.team.read("tickets.dlq") if HANDLED not in each.headers][3:] == []


def test_a_record_as_large_as_its_topic_takes_is_kept_whole_and_comes_again(circle: Circle) -> None:
    raw = random.Random(7).randbytes(TOPIC_LIMIT - 1000)
    team = Team(circle.bootstrap, circle.prefix, max_bytes=4 * 1024 * 1024)
    team.send("tickets", raw, headers={"team": "x" * 500})
    await_letters(circle, "tickets", 1)
    [letter] = dlq(circle, "list")
    assert (letter["why"], letter["size"], letter["omitted"]) == ("too_large", len(raw), None)
    whole = dlq(circle, "show", letter["id"])
    assert base64.b64decode(whole["value"]["base64"]) == raw
    dlq(circle, "replay", letter["id"])
    await_letters(circle, "tickets", 3)  # the letter, the note, and the letter of the same record again
    [again] = dlq(circle, "list")
    assert (again["id"], again["size"]) != (letter["id"], 0)


def test_decisions_are_put_away_with_a_name_and_a_reason(circle: Circle) -> None:
    circle.team.send("decisions", b"no decision", key=b"\xff")
    await_letters(circle, "decisions", 1)
    [letter] = dlq(circle, "list", "--topic", "decisions", "--since", "1h")
    assert (letter["id"], letter["why"], letter["key"]) == ("decisions/0:0", "unreadable", {"base64": "/w=="})
    dlq(circle, "discard", "decisions/0:0", "--reason", "a test of theirs")
    assert dlq(circle, "list") == []
    [handled] = dlq(circle, "list", "--handled")
    assert (handled["handled"]["action"], handled["handled"]["reason"]) == ("discarded", "a test of theirs")
    refused = run([AGENTSPAN, "dlq", "replay", "decisions/0:0", "--log", circle.log], os.environ)
    assert (refused.returncode, "was discarded" in refused.stderr) == (5, True)


async def test_every_partition_of_dead_letters_is_read(cluster: Cluster) -> None:
    team = Team(cluster.config.bootstrap, cluster.prefix)
    await cluster.create(TICKETS, 2)
    plan = [each for each in planned_topics(cluster.choices(2)) if each.name.endswith("tickets.dlq")]
    await create_topics(cluster.config, plan)
    assert await check_topics(cluster.config, plan) == ()
    assert int(plan[0].config["max.message.bytes"]) > TOPIC_LIMIT
    why = {f"dlq.{name}": text for name, text in (("error", "failed"), ("message", "?"), ("at", "2026-03-01T09:00:00Z"),
                                                  ("topic", "t"), ("partition", "1"), ("offset", "4"),
                                                  ("service", "x"))}  # fmt: skip
    for number in range(250):
        team.queue("tickets.dlq", str(number).encode(), headers=why)
    team.flush()
    kafka = Kafka(cluster.config)
    found = await letters(await kafka.letterbox(TICKETS))
    assert [letter.id.offset for letter in found] == list(range(250))
    await kafka.close()


async def test_an_event_that_history_lacks_stands_among_the_dead_letters_of_its_topic(cluster: Cluster) -> None:
    await cluster.create(EVENTS, 2)
    plan = [each for each in planned_topics(cluster.choices(2)) if each.name.endswith("events.dlq")]
    await create_topics(cluster.config, plan)
    kafka = Kafka(cluster.config)
    event = log_record(History("exec-a").started().events[0])
    place = f"{cluster.prefix}.events", 1, 7
    why = Why(NOT_IN_HISTORY, "refused", datetime(2026, 3, 1, 9, tzinfo=UTC), *place, "query")
    await (await kafka.dead_letters(EVENTS)).put(event.key.encode(), event.value, why.headers())
    [letter] = await letters(await kafka.letterbox(EVENTS))
    await kafka.close()
    assert (str(letter.id), letter.key, letter.size, letter.why) == ("events/0:0", b"exec-a", len(event.value), why)
    log = f"kafka://{cluster.config.bootstrap}?prefix={cluster.prefix}"
    refused = await asyncio.to_thread(
        run, [AGENTSPAN, "dlq", "replay", "--all", "--topic", "events", "--log", log], os.environ
    )
    assert (refused.returncode, "agentspan query rebuild" in refused.stderr) == (1, True)


def test_a_cluster_without_the_topics_says_how_to_make_them(broker: Broker) -> None:
    log = f"kafka://{broker.bootstrap}?prefix=nobodys"
    done = run([AGENTSPAN, "dlq", "list", "--log", log], os.environ)
    assert (done.returncode, "agentspan topics create" in done.stderr) == (1, True)
