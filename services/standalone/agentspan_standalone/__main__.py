"""`python -m agentspan_standalone start|stop|status`: what `agentspan server` does, without the CLI's package."""

import argparse
import sys
from pathlib import Path

from agentspan_standalone import commands
from agentspan_standalone.errors import SettingsError, StartError


def main() -> int:
    """Parse the arguments and do it; the exit code: 2 for a wrong setting, 1 for what else is known to go wrong."""
    try:
        return _done(_parsed())
    except StartError as error:
        print(error, file=sys.stderr)
        return 2 if isinstance(error, SettingsError) else 1


def _parsed() -> argparse.Namespace:
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
    return parser.parse_args()


def _done(given: argparse.Namespace) -> int:
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
