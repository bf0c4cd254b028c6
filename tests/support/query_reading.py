"""The query service over a world's log while it runs: its tail, its projection into a ClickHouse, and what people ask.

Apart from the small histories because these come from a real orchestrator.
"""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass

from agentspan_query.adapters.clickhouse import Database
from agentspan_query.adapters.history import ClickHouseHistory
from agentspan_query.adapters.sink import ClickHouseSink
from agentspan_query.aside import Aside
from agentspan_query.projection import Projection
from agentspan_query.service import Query
from agentspan_query.tail import Tail
from tests.support.eventually import WITHIN_S
from tests.support.intake import MemoryDeadLetters
from tests.support.orchestration import Process, World, approve, ask, claim, result, say, start


@dataclass(frozen=True, slots=True)
class Reading:
    """What runs."""

    query: Query
    tail: Tail
    projection: Projection
    world: World
    letters: MemoryDeadLetters
    """The events that ClickHouse will never take."""

    async def projected(self) -> None:
        """Return when ClickHouse has all that counts."""
        async with asyncio.timeout(WITHIN_S):
            await self.tail.is_projected(0, await self.world.log.partition(0).end())


async def soon(seconds: float) -> None:
    """Sleeps shorter than a projection would."""
    await asyncio.sleep(min(seconds, 0.01))


@asynccontextmanager
async def reading(
    world: World,
    database: Database,
    *,
    project: bool = True,
    sleep: Callable[[float], Awaitable[None]] = soon,
    **bounds: int,
) -> AsyncIterator[Reading]:
    """It runs within the block, from what is on the log now; `bounds` are the tail's."""
    tail = Tail(world.log, **bounds)
    letters = MemoryDeadLetters()
    aside = Aside(letters, "agentspan.events", now=world.clock.now)
    projection = Projection(world.log, ClickHouseSink(database, world.log.id), tail, aside, sleep=sleep)
    query = Query(log=world.log, history=ClickHouseHistory(database), tail=tail, now=world.clock.now)
    services = [tail.run(), *([projection.run()] if project else [])]
    running = [asyncio.create_task(service) for service in services]
    try:
        await tail.reached(0, await world.log.partition(0).end() - 1)
        yield Reading(query, tail, projection, world, letters)
        assert not any(task.done() for task in running)
    finally:
        for task in running:
            task.cancel()
        await asyncio.wait(running)


async def whole_run(here: Process) -> None:
    """From its start by an approval to its end."""
    await here.send(start())
    await here.send(ask("refund"))
    await here.send(approve("1-0"))
    await here.send(claim("1-0"))
    await here.send(result("1-0", claim_id="claim-1"))
    await here.send(say("Refunded.", turn=2))
