"""`python -m agentspan_standalone start|stop|status`: what `agentspan server` does, without the CLI's package."""

import argparse
import sys
from pathlib import Path

from agentspan_standalone import commands


def main() -> int:
    """Parse the arguments and do it."""
    parser = argparse.ArgumentParser(prog="agentspan_standalone", description=__doc__)
    verbs = parser.add_subparsers(dest="verb", required=True)
    for verb in ("start", "stop", "status"):
        verbs.add_parser(verb).add_argument("--data", type=Path)
    start = verbs.choices["start"]
    start.add_argument("--host")
    start.add_argument("--port", type=int)
    start.add_argument("--detach", action="store_true")
    for flag in ("--log", "--roles", "--clickhouse"):
        start.add_argument(flag)
    given = parser.parse_args()
    match given.verb:
        case "start":
            elsewhere = {"log": given.log, "roles": given.roles, "clickhouse": given.clickhouse}
            return commands.start(given.data, given.host, given.port, detach=given.detach, **elsewhere)
        case "stop":
            return commands.stop(given.data)
        case _:
            return commands.status(given.data)


if __name__ == "__main__":
    sys.exit(main())
