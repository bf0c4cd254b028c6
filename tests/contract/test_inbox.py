"""What every inbox promises: order, by offset, for whoever comes and from wherever he comes."""

import asyncio
from collections.abc import AsyncIterator, Callable

from agentspan.eventlog import Inbox, Record
from tests.contract.reading import record, take

Inboxes = Callable[[], Inbox]


async def received(inbox: Inbox, partition: int, offset: int, count: int) -> list[tuple[int, str]]:
    receiving: AsyncIterator[tuple[int, Record]] = inbox.receive(partition, offset)
    return [(at, got.key) for at, got in await take(receiving, count)]


async def test_records_come_in_the_order_in_which_they_were_sent(inboxes: Inboxes) -> None:
    sender = inboxes()
    sending = [sender.send(0, record(str(i))) for i in range(20)]
    expected = [(i, str(i)) for i in range(20)]
    assert await received(inboxes(), 0, 0, 20) == expected
    for sent in sending:
        await sent
    assert await received(inboxes(), 0, 0, 20) == expected


async def test_a_receiver_starts_at_any_offset(inboxes: Inboxes) -> None:
    for i in range(5):
        await inboxes().send(1, record(str(i)))
    assert await received(inboxes(), 1, 3, 2) == [(3, "3"), (4, "4")]


async def test_all_receivers_see_the_same_order_of_several_senders(inboxes: Inboxes) -> None:
    senders = [inboxes() for _ in range(3)]
    await asyncio.gather(*[sender.send(0, record(f"{at}.{i}")) for i in range(5) for at, sender in enumerate(senders)])
    first, second = await received(inboxes(), 0, 0, 15), await received(inboxes(), 0, 0, 15)
    assert first == second
    for at in range(3):
        assert [key for _, key in first if key.startswith(f"{at}.")] == [f"{at}.{i}" for i in range(5)]


async def test_a_receiver_is_woken_by_what_comes(inboxes: Inboxes) -> None:
    receiving = asyncio.create_task(received(inboxes(), 0, 0, 1))
    await asyncio.sleep(0)
    await inboxes().send(0, record("x"))
    assert await receiving == [(0, "x")]


async def test_partitions_have_offsets_of_their_own(inboxes: Inboxes) -> None:
    await inboxes().send(0, record("zero"))
    await inboxes().send(1, record("one"))
    assert await received(inboxes(), 0, 0, 1) == [(0, "zero")]
    assert await received(inboxes(), 1, 0, 1) == [(0, "one")]


def test_every_process_sees_the_same_identity(inboxes: Inboxes) -> None:
    assert inboxes().id == inboxes().id != ""
