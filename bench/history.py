"""`make bench-history`: how long lists take over a million executions in the embedded ClickHouse.

The history is made once and kept (`--data`). Lists are read through the client and the statements of the query service,
over HTTP, from the child process that `agentspan server start` runs; `--writing` lets the projection's own sink write
into the newest month meanwhile.
"""

import argparse
import asyncio
import random
import sys
import time
from collections.abc import Awaitable, Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import asdict, dataclass
from pathlib import Path

from agentspan_query.adapters.clickhouse import Database
from agentspan_query.adapters.clickhouse_child import ClickHouseChild
from agentspan_query.adapters.history import ClickHouseHistory
from agentspan_query.adapters.migrations import migrate
from agentspan_query.domain.filters import ExecutionFilter
from bench.calibration import Calibration
from bench.history_rows import AGENTS, EVENTS_EACH, MONTHS, insert_events, insert_executions, month_start, slices
from bench.history_writing import write_on
from bench.results import RESULTS, Run, p

SLICE, NEWEST_SLICE = 20_000, 2_000
SETTLES_WITHIN_S = 300.0
PAGE = 50


@dataclass(frozen=True, slots=True)
class Question:
    """Something that people ask of history; each time with another agent, month and execution."""

    name: str
    ask: Callable[[ClickHouseHistory, random.Random], Awaitable[object]]


async def main(argv: Sequence[str] | None = None) -> None:
    """Make the history if it is not there, ask, print and append the figures."""
    options = _options(argv)
    child = ClickHouseChild(options.data)
    serving = asyncio.create_task(child.run())
    try:
        await child.ready()
        with ThreadPoolExecutor(4) as threads:
            database = Database(child.address, threads)
            await _filled(database, options.executions)
            figures = await _measured(database, options)
            database.close()
    finally:
        serving.cancel()
        with suppress(asyncio.CancelledError):
            await serving
    run = Run.now("history", "none")
    run.figures.update(figures)
    run.append_to(RESULTS)
    print(run.model_dump_json(indent=2))


def _options(argv: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="bench.history", description=__doc__)
    parser.add_argument("--executions", type=int, default=1_000_000)
    parser.add_argument("--data", type=Path, default=Path(".agentspan/bench-history"), help="kept between runs")
    parser.add_argument("--samples", type=int, default=200)
    parser.add_argument("--writing", type=int, default=0, metavar="N", help="events a second, written meanwhile")
    parser.add_argument("--only", default="", metavar="TEXT", help="questions whose name has this in it")
    parser.add_argument("--seed", type=int, default=1)
    options = parser.parse_args(argv)
    options.data.mkdir(parents=True, exist_ok=True)
    return options


async def _filled(database: Database, executions: int) -> None:
    await migrate(database)
    there = (await database.query("SELECT count() FROM events", {}))[0][0]
    if not there:
        await _fill(database, executions)
    await _settled(database)
    (found, made), *_ = await database.query(
        "SELECT uniqExact(execution_id), count() FROM events FINAL", {}, within_s=120
    )
    if made < executions * EVENTS_EACH:
        raise SystemExit(f"{made} events of {found} executions are there: remove the folder, and it is made anew")


async def _fill(database: Database, executions: int) -> None:
    parts = slices(executions, SLICE, NEWEST_SLICE)
    began = time.monotonic()
    settings = {"max_threads": 2, "min_insert_block_size_rows": 200_000, "min_insert_block_size_bytes": 200_000_000}
    for done, part in enumerate(parts, 1):
        for sql in (insert_events(part), insert_executions(part, waiting=True), insert_executions(part, waiting=False)):
            await database.call(lambda client, sql=sql: client.command(sql, settings=settings))  # type: ignore[misc]
        print(f"\rmade {done}/{len(parts)} parts in {time.monotonic() - began:.0f} s", end="", file=sys.stderr)
    print(file=sys.stderr)


async def _settled(database: Database) -> None:
    """Return when ClickHouse merges no more of what was made, as it is after a quiet night."""
    began = time.monotonic()
    while time.monotonic() - began < SETTLES_WITHIN_S:
        ((merging,),) = await database.query("SELECT count() FROM system.merges", {})
        if not merging:
            return
        await asyncio.sleep(1)


async def _measured(database: Database, options: argparse.Namespace) -> dict[str, float]:
    history = ClickHouseHistory(database)
    writing = asyncio.create_task(write_on(database, options.writing)) if options.writing else None
    found: dict[str, float] = {}
    try:
        for question in (each for each in QUESTIONS if options.only in each.name):
            found |= await _timed(question, history, random.Random(options.seed), options.samples)
    finally:
        if writing is not None:
            writing.cancel()
            with suppress(asyncio.CancelledError):
                await writing
    found["written meanwhile, events/s"] = options.writing
    found |= {f"calibration {name}": value for name, value in asdict(Calibration.measured(options.data)).items()}
    return found | await _sizes(database)


async def _sizes(database: Database) -> dict[str, float]:
    parts = await database.query(
        "SELECT table, count(), sum(rows), sum(bytes_on_disk) FROM system.parts WHERE active"
        " AND database = currentDatabase() AND table IN ('events', 'executions') GROUP BY table ORDER BY table",
        {},
    )
    found: dict[str, float] = {}
    for table, count, rows, size in parts:
        found |= {f"{table}, parts": count, f"{table}, rows": rows, f"{table}, MB": round(size / 1e6)}
    return found


async def _timed(
    question: Question, history: ClickHouseHistory, chance: random.Random, samples: int
) -> dict[str, float]:
    for _ in range(5):
        await question.ask(history, chance)
    taken: list[float] = []
    for _ in range(samples):
        began = time.perf_counter()
        await question.ask(history, chance)
        taken.append((time.perf_counter() - began) * 1000)
    figures = {"p50": p(50, taken), "p95": p(95, taken), "most": max(taken)}
    print(f"{question.name:52} " + "  ".join(f"{k} {v:7.1f} ms" for k, v in figures.items()), file=sys.stderr)
    return {f"{question.name}, {name} ms": round(value, 1) for name, value in figures.items()}


def _month(
    chance: random.Random, *, agent: bool = True, status: str | None = None, month: int | None = None
) -> ExecutionFilter:
    chosen = chance.randrange(MONTHS) if month is None else month
    return ExecutionFilter(
        agent=chance.choice(AGENTS) if agent else None,
        statuses=(status,) if status else (),  # type: ignore[arg-type]
        since=month_start(chosen),
        until=month_start(chosen + 1),
    )


async def _paged(history: ClickHouseHistory, chance: random.Random) -> None:
    """Ten pages, one after another, through one month."""
    chosen = _month(chance, status="completed")
    cursor = None
    for _ in range(10):
        page = await history.executions(chosen, cursor=cursor, limit=PAGE)
        cursor = page.cursor
        if cursor is None:
            return


async def _timeline(history: ClickHouseHistory, chance: random.Random) -> None:
    page = await history.executions(_month(chance), limit=1)
    assert len(await history.events(page.items[0].execution_id)) == EVENTS_EACH


QUESTIONS = (
    Question("agent + waiting + month", lambda h, c: h.executions(_month(c, status="waiting"), limit=PAGE)),
    Question("agent + completed + month", lambda h, c: h.executions(_month(c, status="completed"), limit=PAGE)),
    Question(
        "agent + waiting + the newest month",
        lambda h, c: h.executions(_month(c, status="waiting", month=MONTHS - 1), limit=PAGE),
    ),
    Question("ten pages of agent + completed + month, by cursor", _paged),
    Question("agent + month", lambda h, c: h.executions(_month(c), limit=PAGE)),
    Question("everything", lambda h, c: h.executions(ExecutionFilter(), limit=PAGE)),
    Question("everything that waits", lambda h, c: h.executions(ExecutionFilter(statuses=("waiting",)), limit=PAGE)),
    Question("status counts of agent + month", lambda h, c: h.status_counts(_month(c))),
    Question("status counts of everything", lambda h, c: h.status_counts(ExecutionFilter())),
    Question("agents", lambda h, c: h.agents()),
    Question("agent + month, then the events of the newest", _timeline),
)


if __name__ == "__main__":
    asyncio.run(main())
