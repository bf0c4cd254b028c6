"""Short ways to write and read in the tests of the contract."""

from collections.abc import AsyncIterator
from contextlib import aclosing
from typing import TypeVar

from agentspan.eventlog import BEGINNING, Outcome, Ownership, PartitionLog, Position, Record

T = TypeVar("T")


def record(key: str, value: bytes = b"{}") -> Record:
    return Record("started", key, value, {"status": "running"})


def outcome(name: str, size: int = 1) -> list[Record]:
    return [record(f"{name}/{i}") for i in range(size)]


def keys(read: list[Outcome]) -> list[str]:
    return [stored.record.key for outcome in read for stored in outcome.records]


async def counted(partition: PartitionLog, position: Position | int = BEGINNING) -> list[Outcome]:
    """All that counts after the position. The takeover that it makes to know the end counts for nothing."""
    until = (await partition.take_over("auditor")).position
    return [outcome async for outcome in partition.follow(position, until=until)]


async def fill(owner: Ownership, name: str, sizes: list[int]) -> list[Outcome]:
    return [await owner.append(outcome(f"{name}{at}", size)) for at, size in enumerate(sizes)]


async def take(items: AsyncIterator[T], count: int) -> list[T]:
    """The first so many, waiting for them."""
    taken: list[T] = []
    async for item in items:
        taken.append(item)
        if len(taken) == count:
            break
    return taken


async def first_outcomes(partition: PartitionLog, count: int) -> list[Outcome]:
    async with aclosing(partition.follow()) as outcomes:
        return await take(outcomes, count)
