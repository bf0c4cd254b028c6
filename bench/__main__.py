"""The command line of the benchmarks: `python -m bench jobs|compare --help`. `make bench` and its kin call it."""

from __future__ import annotations

import argparse
import asyncio
import shutil
import signal
import tempfile
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path
from typing import Final

from . import jobs, load, parked
from .errors import BenchError
from .processes import ROOT
from .results import RESULTS, Run, compared
from .site import Plan

WORK: Final = ROOT / ".agentspan" / "bench"
"""Runs work here, on a real disk; a run that failed leaves its folder."""


def main(argv: Sequence[str] | None = None) -> int:
    """Returns the exit status: 1 when a result is wrong or missing."""
    options = _parser().parse_args(argv)
    try:
        match options.bench:
            case "compare":
                for line in compared(options.results, options.before, options.after):
                    _say(line)
            case _:
                asyncio.run(_run(options))
    except BenchError as error:
        _say(f"bench: {error}")
        return 1
    except (KeyboardInterrupt, asyncio.CancelledError):
        return 130
    return 0


async def _run(options: argparse.Namespace) -> None:
    _end_on(signal.SIGTERM, signal.SIGHUP)
    run = Run.now(options.bench, options.log)
    WORK.mkdir(parents=True, exist_ok=True)
    folder = Path(tempfile.mkdtemp(prefix=f"{options.bench}-", dir=WORK))
    async with _planned(folder, options) as plan:
        run.figures = await _figures(plan, options)
    run.append_to(options.results)
    shutil.rmtree(folder)


async def _figures(plan: Plan, options: argparse.Namespace) -> dict[str, float]:
    match options.bench:
        case "parked":
            return await parked.run(plan, parked.Crowd(options.count, options.approve, idle_s=options.idle), _say)
        case "restore":
            from . import restore  # needs what only a cluster needs

            return await restore.run(plan, restore.Loss(options.count, options.times), _say)
        case "load":
            return await load.run(plan, load.Flood(options.count, model_s=options.model, tool_s=options.tool), _say)
        case _:
            return await jobs.run(plan, _load(options), _say)


@asynccontextmanager
async def _planned(folder: Path, options: argparse.Namespace) -> AsyncIterator[Plan]:
    plan = Plan(folder, worker=options.worker)
    if options.log == "sqlite":
        yield plan
        return
    from .kafka import cluster  # needs what only the tests of Kafka need

    async with cluster(folder, options.partitions) as found:
        yield replace(plan, log=found.log, bootstrap=found.bootstrap, broker_pid=found.pid)


def _load(options: argparse.Namespace) -> jobs.Load:
    concurrencies = [int(each) for each in options.concurrency.split(",")]
    return jobs.Load(concurrencies, options.samples, options.count, options.warm_up)


def _end_on(*signals: signal.Signals) -> None:
    """End as Ctrl-C does: by cancelling the task, so that every process is ended first; told twice, it does so once."""
    task = asyncio.current_task()
    assert task is not None

    def end() -> None:
        if not task.cancelling():
            task.cancel()

    for signum in signals:
        asyncio.get_running_loop().add_signal_handler(signum, end)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m bench", description="Measure, through the public doors.")
    benches = parser.add_subparsers(dest="bench", required=True)
    measured = benches.add_parser("jobs", help="the job in a closed loop")
    _common(measured)
    measured.add_argument("--concurrency", default="1,32,128", metavar="N,N", help="default: %(default)s")
    measured.add_argument("--samples", type=int, default=300, metavar="N", help="executions one at a time")
    measured.add_argument("--count", type=int, default=3000, metavar="N", help="executions at other concurrencies")
    measured.add_argument(
        "--warm-up", type=int, default=200, metavar="N", help="executions before anything is measured"
    )
    waiting = benches.add_parser("parked", help="executions that wait for a person, and a power cut")
    _common(waiting)
    waiting.add_argument("--count", type=int, default=10_000, metavar="N", help="executions; default: %(default)s")
    waiting.add_argument("--approve", type=int, metavar="N", help="of them, after the power cut; default: all")
    waiting.add_argument("--idle", type=float, default=10.0, metavar="S", help="how long nothing is done, in seconds")
    lost = benches.add_parser("restore", help="a server on Kafka that has lost its caches, executions that wait")
    _common(lost)
    lost.set_defaults(log="kafka", partitions=16)
    lost.add_argument("--count", type=int, default=100_000, metavar="N", help="executions; default: %(default)s")
    lost.add_argument("--times", type=int, default=3, metavar="N", help="how often; default: %(default)s")
    flood = benches.add_parser("load", help="many tickets at once, slow models, and things that die")
    _common(flood)
    flood.add_argument("--count", type=int, default=100_000, metavar="N", help="tickets; default: %(default)s")
    flood.add_argument("--model", type=float, default=1.0, metavar="S", help="a model call, in seconds")
    flood.add_argument("--tool", type=float, default=0.2, metavar="S", help="a tool call, in seconds")
    ratios = benches.add_parser("compare", help="ratios between the last runs of two commits")
    ratios.add_argument("before", metavar="A")
    ratios.add_argument("after", metavar="B")
    ratios.add_argument("--results", type=Path, default=RESULTS, metavar="FILE")
    return parser


def _common(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--log", choices=("sqlite", "kafka"), default="sqlite", help="default: %(default)s")
    parser.add_argument("--partitions", type=int, default=4, metavar="N", help="of the topics; default: %(default)s")
    parser.add_argument("--worker", default="bench.worker", metavar="MODULE", help="the program that serves the tools")
    parser.add_argument("--results", type=Path, default=RESULTS, metavar="FILE", help="figures are appended to it")


def _say(line: str) -> None:
    print(line, flush=True)


if __name__ == "__main__":
    raise SystemExit(main())
