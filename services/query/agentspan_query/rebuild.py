"""History from the log's beginning, into new tables beside those that people read, which are exchanged at the end.

A server may go on meanwhile: what it wrote into the old tables is on the log, and is written into the new ones after
the exchange. Killed anywhere, the next rebuild goes on where this one was.
"""

from collections.abc import Callable

from agentspan.eventlog import BEGINNING, Log
from agentspan_query.batch import batches
from agentspan_query.ports import Counts, NewHistory

Told = Callable[[str], None]
"""Says to a person what is going on."""


async def rebuild(log: Log, new: NewHistory, told: Told) -> Counts:
    """Build, compare, exchange. Raises HistoryUnavailable, HistoryFailed or RebuildMismatch, and can be run again; or
    WrittenLater, where a later release has to do it."""
    await new.open()
    if not new.exchanged:
        await _fill(log, new, told)
        await _fill(log, new, told)  # what came in during the long first round: little is left for the last one
        told("comparing the new tables with the log")
        await new.verify()
        told("exchanging the tables")
        await new.exchange()
    await _fill(log, new, told)
    counts = await new.counts()
    await new.finish()
    return counts


async def _fill(log: Log, new: NewHistory, told: Told) -> None:
    positions = await new.positions()
    for number in range(log.partitions):
        end = await log.partition(number).end()
        async for batch in batches(log, number, positions.get(number, BEGINNING), end):
            for refused in await new.write(number, batch.begins, batch.position, batch.events, batch.executions):
                told(f"left out: {refused}")
            for unread in batch.unread:
                told(f"left out: {unread}")
            told(f"partition {number}: {batch.position.offset} of {end} records")
