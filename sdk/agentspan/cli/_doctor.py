"""`agentspan doctor`: runs the checks in order, and prints each as soon as it is known.

A check looks at one thing and never raises: what can't be looked at is a finding as well.
"""

import sys
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

from agentspan.cli import _doctor_here, _doctor_server
from agentspan.cli._checks import Check
from agentspan.cli._colours import painted
from agentspan.cli._exits import ExitCode
from agentspan.cli._options import Format
from agentspan.cli._show import as_json, as_json_lines, out, printable, say


def run(data: Path | None, output: Format) -> ExitCode:
    """Every check; REFUSED when one failed."""
    found: list[Check] = []
    for check in checks(data):
        found.append(check)
        match output:
            case Format.TABLE:
                _print(check)
            case Format.JSONL:
                as_json_lines([check.plain()])
            case Format.JSON:
                pass
    if output is Format.JSON:
        as_json([check.plain() for check in found])
    counts = {state: sum(check.state == state for check in found) for state in ("ok", "warn", "fail")}
    say(", ".join(f"{number} {state}" for state, number in counts.items()))
    return ExitCode.REFUSED if counts["fail"] else ExitCode.OK


def checks(data: Path | None) -> Iterator[Check]:
    """This machine's, then the server's, then those of the runs."""
    here = _doctor_here.Here(data)
    yield from _each(here.checks())
    server = _doctor_server.Asked(here.url, has_server=here.has_server)
    yield from _each(server.checks())


def _each(several: Sequence[Callable[[], Check | None]]) -> Iterator[Check]:
    for look in several:
        if (check := look()) is not None:
            yield check


def _print(check: Check) -> None:
    state = painted(check.state, sys.stdout) + " " * (4 - len(check.state))
    out(f"{state}  {check.name:<12}  {printable(check.said)}")
    if check.next is not None:
        out(f"{'':<4}  {'':<12}  next: {check.next}")
