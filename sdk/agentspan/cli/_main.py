"""Puts the commands together, and turns what goes wrong in them into a sentence and an exit code.

Nothing heavy is imported here or by the modules that declare commands: `agentspan --help` has to be there at once.
"""

import sys
from collections.abc import Sequence

import typer

from agentspan.cli import agent, approvals, dlq, query, server, topics

EPILOG = """\b
Data goes to standard output, everything else to standard error.
The server is the one at AGENTSPAN_SERVER_URL (default http://localhost:6767).

\b
Exit codes:
  0    done
  1    refused or failed: the message says why and what to do next
  2    the command line is wrong, or not enough to act on
  3    no server answers, or no cluster
  4    there is no such run, call, approval or dead letter
  5    somebody else decided first, or handled the dead letter
  130  interrupted
"""

app = typer.Typer(
    help="Durable agent runs that stop for a human where it matters.",
    epilog=EPILOG,
    no_args_is_help=True,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
)
app.add_typer(agent.app, name="agent")
app.add_typer(approvals.app, name="approvals")
app.add_typer(server.app, name="server")
app.add_typer(topics.app, name="topics")
app.add_typer(dlq.app, name="dlq")
app.add_typer(query.app, name="query")
for alone in (server.orchestrator, server.tool_runner):
    app.command()(alone)


def main(argv: Sequence[str] | None = None) -> int:
    """Do what the command line says; the exit code. `argv` is what stands behind the program's name."""
    try:
        app(args=list(argv) if argv is not None else None, prog_name="agentspan")
    except SystemExit as ended:
        return ended.code if isinstance(ended.code, int) else int(ended.code is not None)
    except Exception as error:
        from agentspan.cli._exits import explained

        known = explained(error)
        if known is None:
            raise
        print(f"error: {known.message}", file=sys.stderr)
        return known.code
    return 0
