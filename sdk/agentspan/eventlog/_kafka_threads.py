"""From librdkafka's threads into the event loop."""

import asyncio
import concurrent.futures
import contextlib
from collections.abc import Callable
from typing import TypeVar, TypeVarTuple

T = TypeVar("T")
Ts = TypeVarTuple("Ts")


def post(loop: asyncio.AbstractEventLoop, act: Callable[[*Ts], object], *args: *Ts) -> None:
    """Let the loop do something; nothing, when it has been closed: nobody waits any more."""
    with contextlib.suppress(RuntimeError):
        loop.call_soon_threadsafe(act, *args)


async def result(asked: "concurrent.futures.Future[T]") -> T:
    """What an admin client answers. Whoever stops waiting does not cancel the request, which librdkafka cannot bear."""
    loop = asyncio.get_running_loop()
    answered: asyncio.Future[T] = loop.create_future()
    asked.add_done_callback(lambda done: post(loop, _copy, done, answered))
    return await answered


def _copy(done: "concurrent.futures.Future[T]", answered: asyncio.Future[T]) -> None:
    if answered.done():
        return
    error = done.exception()
    if error is not None:
        answered.set_exception(error)
    else:
        answered.set_result(done.result())
