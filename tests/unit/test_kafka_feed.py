"""What a process follows of a partition that it also writes to, without a broker: what it wrote comes as the object
that it made, and what others wrote in between comes before it."""

import asyncio
from collections.abc import Callable, Sequence

from confluent_kafka import Message

from agentspan.eventlog._kafka_feed import DOUBTED_S, Bell, Following

OWN = "own"


class Partition:
    """Followed from offset 0, with the offsets that were decoded."""

    def __init__(self) -> None:
        self.decoded: list[int] = []
        self.following: Following[str] = Following(0, self._decode, Bell())

    @property
    def items(self) -> list[tuple[int, str]]:
        """What whoever follows has."""
        return list(self.following.window.read(0, 100).items)

    def send(self) -> asyncio.Future[Sequence[int]]:
        """A write that is under way until the future is done."""
        write: asyncio.Future[Sequence[int]] = asyncio.get_running_loop().create_future()
        self.following.sending(write)
        return write

    def fetched(self, *offsets: int) -> None:
        """A consumer brings these."""
        told(self.kept(*offsets))

    def kept(self, *offsets: int) -> Callable[[], None] | None:
        """A consumer has these, and the event loop has not heard of it yet."""
        return self.following.keep([Message(topic="t", partition=0, offset=at, value=b"1") for at in offsets])

    def _decode(self, message: Message) -> str:
        self.decoded.append(message.offset() or 0)
        return "fetched"


def told(act: Callable[[], None] | None) -> None:
    """As the event loop does it."""
    if act is not None:
        act()


async def test_what_others_write_is_there_when_it_is_fetched() -> None:
    partition = Partition()
    partition.fetched(0, 1)
    assert partition.items == [(0, "fetched"), (1, "fetched")]


async def test_what_was_written_here_is_not_decoded_though_it_is_fetched_before_its_acknowledgement() -> None:
    partition = Partition()
    write = partition.send()
    partition.fetched(0)
    partition.following.ended(1)
    assert not partition.following.has(0)
    partition.following.landed(0, OWN, 1)
    write.set_result([0])
    partition.fetched(0)
    await asyncio.sleep(0)
    assert partition.items == [(0, OWN)]
    assert not partition.decoded


async def test_what_others_wrote_between_comes_before_what_was_written_here() -> None:
    partition = Partition()
    partition.send()
    partition.fetched(0, 1, 2)
    partition.following.landed(1, OWN, 1)
    assert partition.items == [(0, "fetched"), (1, OWN)]
    assert partition.decoded == [0]


async def test_what_nobody_here_wrote_is_known_when_all_writes_are_settled() -> None:
    partition = Partition()
    write = partition.send()
    partition.fetched(0, 1)
    partition.following.landed(0, OWN, 1)
    write.set_result([0])
    await asyncio.wait_for(partition.following.reached(1), 1)
    assert partition.items == [(0, OWN), (1, "fetched")]


async def test_nothing_is_jumped_over_when_a_write_is_settled_and_another_sent_between_two_fetches() -> None:
    partition = Partition()
    write = partition.send()
    first = partition.kept(0)
    write.set_result([9])
    await asyncio.sleep(0)
    second = partition.kept(1)
    partition.send()
    told(first)
    told(second)
    assert partition.items == [(0, "fetched"), (1, "fetched")]


async def test_a_write_that_fails_leaves_what_stands() -> None:
    partition = Partition()
    write = partition.send()
    partition.fetched(0)
    write.set_exception(OSError("nobody knows"))
    await asyncio.wait_for(partition.following.reached(0), 1)
    assert partition.items == [(0, "fetched")]


async def test_nobody_waits_long_for_an_acknowledgement() -> None:
    partition = Partition()
    write = partition.send()
    partition.fetched(0)
    await asyncio.wait_for(partition.following.reached(0), 20 * DOUBTED_S + 5)
    partition.following.landed(0, OWN, 1)
    write.set_result([0])
    assert partition.items == [(0, "fetched")]


async def test_an_end_that_is_heard_of_jumps_over_nothing() -> None:
    """The marker of a transaction stands at 1: below 2 is nothing but the message at 0."""
    partition = Partition()
    write = partition.send()
    partition.fetched(0)
    partition.following.ended(2)
    write.set_result([7])
    await asyncio.wait_for(partition.following.reached(1), 1)
    assert partition.items == [(0, "fetched")]
    assert partition.following.window.end == 2
