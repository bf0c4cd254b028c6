"""`python -m tests.simulation --seed 7`: one run, its summary and the hash of its log; `--seeds 500` runs that many."""

import argparse
import logging
import sys
import time

from tests.simulation.world import Report, simulate


def main() -> int:
    """The exit code: 0 when every law held."""
    parser = argparse.ArgumentParser(prog="python -m tests.simulation", description=__doc__)
    parser.add_argument("--seed", type=int, default=1, help="the (first) seed")
    parser.add_argument("--seeds", type=int, default=1, help="how many seeds, one after the other")
    parser.add_argument("--log", action="store_true", help="show what the services log")
    options = parser.parse_args()
    logging.basicConfig(level=logging.INFO if options.log else logging.CRITICAL, format="%(name)s: %(message)s")
    began, reports = time.perf_counter(), []
    for seed in range(options.seed, options.seed + options.seeds):
        reports.append(simulate(seed))
        if options.seeds == 1 or reports[-1].broken:
            _show(reports[-1])
    if options.seeds > 1:
        _sum_up(reports, time.perf_counter() - began)
    return int(any(report.broken for report in reports))


def _show(report: Report) -> None:
    ends = ", ".join(f"{count} {status}" for status, count in report.statuses.items())
    print(f"seed {report.seed}: {report.executions} executions ({ends}) in {report.virtual_s:.0f} virtual seconds")
    print(f"  {report.events} events, {report.takeovers} takeovers, {report.effects} effects")
    print(f"  {report.records} records, of which {report.uncounted} do not count; log {report.log_hash}")
    print(f"  broken law: {report.broken}" if report.broken else "  every law held")


def _sum_up(reports: list[Report], seconds: float) -> None:
    executions = sum(report.executions for report in reports)
    broken = sum(report.broken is not None for report in reports)
    print(f"{len(reports)} seeds, {executions} executions in {seconds:.1f} s; {broken} seeds broke a law")
    print(f"{len(reports) / seconds:.1f} seeds/s, {executions / seconds:.1f} executions/s")
    print(f"{sum(r.takeovers for r in reports)} takeovers, {sum(r.uncounted for r in reports)} records do not count")


if __name__ == "__main__":
    sys.exit(main())
