"""`agentspan query`: the query service alone; and the upkeep of the ClickHouse that it writes history into.

The options and what is printed; what is done is the server's packages' part.
"""

from typing import Annotated

import typer

from agentspan.cli._exits import ExitCode
from agentspan.cli._extra import asked
from agentspan.cli._options import Format, Output
from agentspan.cli.server import ClickHouse, Data, Detach, Host, Log, Port, help_unless_meant, refuse_options, start

app = typer.Typer(rich_markup_mode=None)


@app.callback(invoke_without_command=True)
def query(
    context: typer.Context,
    log: Log = None,
    data: Data = None,
    port: Port = None,
    host: Host = None,
    detach: Detach = False,
    clickhouse: ClickHouse = None,
) -> None:
    """Look after the ClickHouse that history is in.

    With options or AGENTSPAN_LOG, and no command: start a query service alone, on the log of a cluster.
    """
    if context.invoked_subcommand is None:
        help_unless_meant(context)
        start(detach, data, port, host, log, "query", clickhouse)
    refuse_options(context)


@app.command()
def migrate(
    clickhouse: Annotated[
        str | None, typer.Option("--clickhouse", metavar="URL", help="AGENTSPAN_CLICKHOUSE, as http://user@host:8123.")
    ] = None,
    check: Annotated[
        bool, typer.Option("--check", help="Change nothing; exit code 1 when something is to do.")
    ] = False,
    analysts: Annotated[
        bool, typer.Option("--analysts", help="Let analysts in too, read-only; with --check: print how.")
    ] = False,
    output: Output = Format.TABLE,
) -> None:
    """Bring the tables of a ClickHouse up to this release. Running it again, or twice at once, does no harm."""
    from agentspan.cli._show import counted, one, out, say

    found = asked("upkeep", lambda upkeep: upkeep.migrate_tables(clickhouse, check=check, with_analysts=analysts))
    if output is not Format.TABLE:
        one({"migrations": found.names, "applied": found.applied, "analysts": found.analysts}, output)
    else:
        for line in (*found.names, *(f"{statement};" for statement in found.analysts if check)):
            out(line)
    if found.analysts and not check:
        say("the role agentspan_analyst is there; let somebody in: GRANT agentspan_analyst TO <user>")
    match found.names, found.applied:
        case (), _:
            say("the tables are this release's")
        case names, True:
            say(f"ran {counted(len(names), 'migration')}")
        case names, _:
            say(f"to be run: {counted(len(names), 'migration')}; the same command without --check runs them")
            raise typer.Exit(ExitCode.REFUSED)


@app.command()
def rebuild(log: Log = None, data: Data = None, clickhouse: ClickHouse = None) -> None:
    """Build history anew from the log. People read the old one until the new one is whole."""
    from agentspan.cli._show import say

    say(asked("upkeep", lambda upkeep: upkeep.rebuild_tables(log, data, clickhouse, say)))
