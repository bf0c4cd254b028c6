"""Several streams as one, as they come: the partitions of a topic, each in its own order."""

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator, Sequence
from typing import TypeVar

T = TypeVar("T")

AHEAD = 500
"""So many items are read ahead of whoever takes them."""


async def merged(streams: Sequence[AsyncIterator[T]]) -> AsyncGenerator[T, None]:
    """Every item of every stream, for ever. Raises what one of them raises."""
    queue: asyncio.Queue[T | Exception] = asyncio.Queue(AHEAD)
    readers = [asyncio.create_task(_read(stream, queue)) for stream in streams]
    try:
        while True:
            item = await queue.get()
            if isinstance(item, Exception):
                raise item
            yield item
    finally:
        for task in readers:
            task.cancel()
        await asyncio.wait(readers)


async def _read(stream: AsyncIterator[T], queue: "asyncio.Queue[T | Exception]") -> None:
    try:
        async for item in stream:
            await queue.put(item)
    except Exception as error:  # raised again where the items are taken
        await queue.put(error)
