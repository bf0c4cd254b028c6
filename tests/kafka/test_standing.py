"""A table is read whole: the last of each key in its order, each decoded once, however much of it there is."""

import asyncio
from contextlib import aclosing

import pytest
from confluent_kafka import Message

from agentspan.eventlog import Record
from agentspan.eventlog._kafka_connection import TopicFacts
from agentspan.eventlog._kafka_live import Place
from agentspan.eventlog._kafka_standing import AT_ONCE, KEPT_BYTES, PIECE, Standing
from agentspan.eventlog.kafka import KafkaTable
from agentspan_schemas.topics import SNAPSHOTS
from tests.support.kafka.topics import Cluster

ROUNDS = 4
KEYS = 700


async def filled(cluster: Cluster) -> TopicFacts:
    """More than a piece, of few keys: the evens are put again and again, every third is buried in the end."""
    facts = await cluster.create(SNAPSHOTS, 1)
    table = KafkaTable(cluster.connect(), facts)
    puts = [table.put(str(n), Record("snapshot", str(n), b"0"), partition=0) for n in range(KEYS)]
    for round_ in range(1, ROUNDS):
        puts += [table.put(str(n), Record("snapshot", str(n), b"%d" % round_), partition=0) for n in range(0, KEYS, 2)]
    puts += [table.put(str(n), None, partition=0) for n in range(0, KEYS, 3)]
    await asyncio.gather(*puts)
    assert len(puts) > PIECE
    return facts


@pytest.mark.parametrize("kept_bytes", [KEPT_BYTES, 1000])
async def test_the_last_of_each_key_is_given_in_the_order_of_the_puts_and_nothing_else_is_decoded(
    cluster: Cluster, kept_bytes: int
) -> None:
    facts = await filled(cluster)
    end = await cluster.connect().end(place := Place(facts.name, 0))
    standing, decoded = Standing(cluster.config, kept_bytes=kept_bytes), list[int]()

    def decode(message: Message) -> tuple[bytes, bytes]:
        decoded.append(message.offset() or 0)
        return message.key(), message.value()  # type: ignore[return-value]

    async with aclosing(standing.read(place, 0, end, decode)) as pieces:
        found = [item async for piece in pieces for item in piece]
    await standing.close()
    odd = [(str(n).encode(), b"0") for n in range(1, KEYS, 2) if n % 3]
    even = [(str(n).encode(), b"%d" % (ROUNDS - 1)) for n in range(0, KEYS, 2) if n % 3]
    assert found == odd + even
    assert len(decoded) == len(found)


async def test_what_is_put_behind_the_end_is_not_given(cluster: Cluster) -> None:
    facts = await filled(cluster)
    standing = Standing(cluster.config)
    async with aclosing(standing.read(Place(facts.name, 0), 0, KEYS, Message.value)) as pieces:
        assert [value async for piece in pieces for value in piece] == [b"0"] * KEYS
    await standing.close()


async def test_a_reading_that_is_let_go_of_leaves_its_turn_to_others(cluster: Cluster) -> None:
    facts = await filled(cluster)
    place, standing = Place(facts.name, 0), Standing(cluster.config)

    async def first_piece() -> None:
        async with aclosing(standing.read(place, 0, KEYS, Message.value)) as pieces:
            async for _ in pieces:
                return

    async with asyncio.timeout(30):
        await asyncio.gather(*[first_piece() for _ in range(3 * AT_ONCE)])
    assert len(standing._made) == AT_ONCE
    await standing.close()
