"""Where a partition begins and ends while its leader changes, and what an inbox does when that changes under it."""

import asyncio
from concurrent.futures import Future
from types import SimpleNamespace
from typing import Any

import pytest
from confluent_kafka import TopicPartition
from confluent_kafka.admin._listoffsets import OffsetSpec

from agentspan.eventlog import BeyondEnd, Record
from agentspan.eventlog._kafka_live import Place
from agentspan.eventlog.kafka import KafkaInbox
from agentspan_schemas.topics import COMMANDS, EVENTS
from tests.support.kafka.topics import Cluster

UNKNOWN = -1001
"""What librdkafka answers, without an error, for a partition whose new leader does not know its end yet."""


async def test_an_end_that_a_new_leader_does_not_know_yet_is_asked_for_again(
    cluster: Cluster, monkeypatch: pytest.MonkeyPatch
) -> None:
    facts = await cluster.create(EVENTS, 1)
    connection = cluster.connect()
    with connection._asking.client() as admin:
        pass
    asks, unknown = admin.list_offsets, iter([UNKNOWN, UNKNOWN])

    def list_offsets(asked: dict[TopicPartition, OffsetSpec], **options: Any) -> Any:
        for offset in unknown:
            answer: Future[Any] = Future()
            answer.set_result(SimpleNamespace(offset=offset))
            return dict.fromkeys(asked, answer)
        return asks(asked, **options)

    monkeypatch.setattr(admin, "list_offsets", list_offsets)
    assert await connection.end(Place(facts.name, 0)) == 0
    assert next(unknown, None) is None, "it was asked again"


async def test_an_inbox_that_retention_has_overtaken_goes_on_with_what_is_kept(cluster: Cluster) -> None:
    inbox = KafkaInbox(cluster.connect(), await cluster.create(COMMANDS, 1))
    receiving = inbox.receive(0, 0)
    first = asyncio.ensure_future(anext(receiving))
    await inbox.send(0, Record("start", "exec-1", b"{}"))
    assert (await first)[0] == 0

    following = await inbox._feeds[0].following()
    following.fail(BeyondEnd("the offset that is to be read is no longer kept"))
    await inbox.send(0, Record("start", "exec-2", b"{}"))
    offset, record = await anext(receiving)
    assert (offset, record.key) == (1, "exec-2")
    await receiving.aclose()
