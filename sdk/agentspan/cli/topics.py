"""`agentspan topics …`: the topics of the cluster that holds the log, as code.

The options and how a report looks; what is asked of the cluster is the server's packages' part.
"""

from collections.abc import Callable
from types import ModuleType
from typing import TYPE_CHECKING, Annotated, NoReturn

import typer

from agentspan.cli._exits import ExitCode
from agentspan.cli._extra import asked
from agentspan.cli._options import Format, Output

if TYPE_CHECKING:
    from agentspan_standalone.topics import Report

app = typer.Typer(help="The topics of a cluster that holds the log.", no_args_is_help=True, rich_markup_mode=None)

Log = Annotated[
    str | None, typer.Option(metavar="URL", help="AGENTSPAN_LOG, as kafka://host:port,host:port?prefix=agentspan.")
]
Partitions = Annotated[
    int, typer.Option(min=1, help="Of the events and what goes with them. They can't be changed later.")
]
Replication = Annotated[int, typer.Option(min=1, help="On how many brokers each topic is.")]
MinInsync = Annotated[int, typer.Option(min=1, help="How many of those must have a write before it counts.")]


@app.command()
def create(
    log: Log = None,
    partitions: Annotated[
        int | None,
        typer.Option(min=1, help="Of the events and what goes with them, for ever: 12, or as many as are there."),
    ] = None,
    replication: Annotated[
        int | None, typer.Option(min=1, help="On how many brokers each topic is: 3, or as those that are there.")
    ] = None,
    min_insync: Annotated[
        int | None,
        typer.Option(
            min=1, help="How many of those must have a write before it counts: 2, or as those that are there."
        ),
    ] = None,
    output: Output = Format.TABLE,
) -> None:
    """Make the topics that are missing. Those that exist are left as they are."""
    _show(lambda topics: topics.create(log, topics.Counts(partitions, replication, min_insync)), output)


@app.command()
def check(
    log: Log = None,
    partitions: Partitions = 12,
    replication: Replication = 3,
    min_insync: MinInsync = 2,
    output: Output = Format.TABLE,
) -> None:
    """What is not as planned on the live cluster. Exit code 1 when anything is not."""
    _show(lambda topics: topics.check(log, topics.Counts(partitions, replication, min_insync)), output)


@app.command()
def describe(log: Log = None, output: Output = Format.TABLE) -> None:
    """The topics that there are. Exit code 1 when one is missing."""
    _show(lambda topics: topics.describe(log), output)


@app.command(short_help="What each service has to be allowed, and no more.")
def acls(log: Log = None, output: Output = Format.TABLE) -> None:
    """What each service, and the operator, has to be allowed, and no more: lines for kafka-acls.sh, or JSON. Asks no
    cluster."""
    from agentspan.cli._show import out, say, several

    report = asked("topics", lambda topics: topics.acls(log))
    if output is not Format.TABLE:
        several(report.items, output)
    else:
        for line in report.lines:
            out(line)
    say(report.said)


def _show(ask: "Callable[[ModuleType], Report]", output: Format) -> NoReturn:
    """Print the report, and end with its exit code."""
    from agentspan.cli._show import say, several, table

    report: Report = asked("topics", ask)
    if output is not Format.TABLE:
        several(report.items, output)
    elif report.items:
        titles = list(report.items[0])
        table([title.upper() for title in titles], [[str(item[title]) for title in titles] for item in report.items])
    say(report.said)
    raise typer.Exit(ExitCode.OK if report.as_planned else ExitCode.REFUSED)
