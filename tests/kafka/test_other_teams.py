"""What another team does with the topics of a real cluster, through our client and through a plain one."""

from collections.abc import AsyncIterator
from contextlib import aclosing, asynccontextmanager
from datetime import UTC, datetime, timedelta

from confluent_kafka import Message, TopicPartition

from agentspan.eventlog import Position
from agentspan.eventlog._kafka_log import KafkaLog
from agentspan.eventlog._kafka_table import KafkaTable
from agentspan.eventlog.intake import Delivery
from agentspan.eventlog.messages import log_record
from agentspan.topics import Ticket, Topics, connect
from agentspan_orchestrator.ingest import read_ticket
from agentspan_schemas import topics as t
from agentspan_schemas.codec import DECISIONS, EVENTS
from agentspan_schemas.events import Event
from tests.support.kafka.topics import Cluster
from tests.unit.schemas_examples import ENVELOPE, EVENT_FIELDS
from tests.unit.test_topics_client import REQUEST, request, seqs, take

PARTITIONS = 2


@asynccontextmanager
async def topics_of(cluster: Cluster) -> AsyncIterator[Topics]:
    async with connect(cluster.config.bootstrap, prefix=cluster.prefix) as topics:
        yield topics


def all_of(cluster: Cluster, topic: str, count: int) -> list[Delivery]:
    """The first records of a topic, by a plain consumer."""
    consumer = cluster.consumer("look")
    consumer.assign([TopicPartition(f"{cluster.prefix}.{topic}", number, 0) for number in range(PARTITIONS)])
    found: list[Delivery] = []
    while len(found) < count:
        message = consumer.poll(20)
        assert message is not None
        assert message.error() is None
        found.append(delivery(message))
    consumer.close()
    return found


def delivery(message: Message) -> Delivery:
    headers = dict(message.headers() or [])
    texts = tuple((name, value if isinstance(value, bytes) else str(value).encode()) for name, value in headers.items())
    key = message.key()
    return Delivery(
        message.topic() or "", message.partition() or 0, message.offset() or 0,
        key, message.value() or b"", texts,
    )  # fmt: skip


async def test_tickets_and_decisions_that_are_sent_stand_on_their_topics(cluster: Cluster) -> None:
    await cluster.create(t.TICKETS, PARTITIONS)
    await cluster.create(t.DECISIONS, PARTITIONS)
    async with topics_of(cluster) as topics:
        for number in range(3):
            await topics.emit(Ticket(id=f"T-{number}", source="crm", text="Help"), type="com.shop.x")
        await topics.decide(REQUEST, "approve", by="risk")
    tickets = [read_ticket(each) for each in all_of(cluster, "tickets", 3)]
    assert {ticket.id for ticket, _ in tickets} == {"T-0", "T-1", "T-2"}
    assert {envelope.ce_type for _, envelope in tickets} == {"com.shop.x"}
    [decision] = all_of(cluster, "decisions", 1)
    assert decision.key == REQUEST.approval_id.encode()
    assert DECISIONS.decode(decision.value).args_hash == REQUEST.args_hash


async def test_requests_come_as_they_stand_and_as_they_change(cluster: Cluster) -> None:
    table = KafkaTable(cluster.connect(), await cluster.create(t.APPROVALS, PARTITIONS))
    await table.put("a", request("a", seq=5), partition=1)
    async with topics_of(cluster) as topics, aclosing(topics.approvals()) as requests:
        assert (await anext(requests)).seq == 5
        await table.put("a", request("a", seq=4), partition=1)
        await table.put("a", request("a", seq=6), partition=1)
        assert (await anext(requests)).seq == 6


def event(seq: int, at: datetime) -> Event:
    fields = {"type": "message", "execution_id": "exec-a", "seq": seq, "at": at}
    return EVENTS.adapter.validate_python(ENVELOPE | EVENT_FIELDS["message"] | fields)


async def test_events_are_replayed_from_the_beginning_a_position_or_a_time(cluster: Cluster) -> None:
    log = KafkaLog(cluster.connect(), await cluster.create(t.EVENTS, PARTITIONS))
    old = await log.partition(1).take_over("one")
    began = datetime.now(UTC)
    await old.append([log_record(event(1, began)), log_record(event(2, began))])
    new = await log.partition(1).take_over("two")
    await new.append([log_record(event(3, began + timedelta(seconds=1)))])
    async with topics_of(cluster) as topics:
        whole = await take(topics.events(), 3)
        assert seqs(whole) == [1, 2, 3]
        saved = Position.parse(str(whole[1].resume))
        assert seqs(await take(topics.events(after={1: saved}), 1)) == [3]
        assert seqs(await take(topics.events(after={1: whole[2].offset}), 1)) == [3]
        assert seqs(await take(topics.events(since=began), 3)) == [1, 2, 3]
        assert seqs(await take(topics.events(since=began + timedelta(seconds=1)), 1)) == [3]
