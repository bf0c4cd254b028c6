"""`agentspan approvals …`: what waits for a person, and many decisions at once; and, without a command, the service of
that name."""

from typing import TYPE_CHECKING, Annotated

import typer

from agentspan.cli import _complete, server
from agentspan.cli._options import (
    DryRun,
    Format,
    Limit,
    OfAgent,
    OfTool,
    Output,
    Since,
    State,
    Until,
    edited_args,
    read_range,
    run_id,
    split_id,
)

if TYPE_CHECKING:
    from agentspan.cli._respond import Response

app = typer.Typer(rich_markup_mode=None)

Calls = Annotated[
    list[str],
    typer.Argument(
        metavar="ID...",
        help="Approvals' ids, or executions' that wait with one call; - reads them from standard input, one a line, or "
        "as `approvals list -o jsonl` writes them: then each is bound to the arguments that stood there.",
        autocompletion=_complete.approvals,
    ),
]


@app.callback(invoke_without_command=True)
def serve(
    context: typer.Context,
    log: server.Log = None,
    data: server.Data = None,
    port: server.Port = None,
    host: server.Host = None,
    detach: server.Detach = False,
) -> None:
    """Calls that wait, or waited, for a person.

    With options or AGENTSPAN_LOG, and no command: start an approvals service alone, on the log of a cluster.
    """
    if context.invoked_subcommand is None:
        server.help_unless_meant(context)
        server.start(detach, data, port, host, log, "approvals")
    server.refuse_options(context)


@app.command("list", short_help="What waits, or waited, for a person, oldest first.")
def list_(
    state: Annotated[
        list[State] | None, typer.Option(help="Only in this state; repeatable. Default: pending and in_doubt.")
    ] = None,
    agent: OfAgent = None,
    tool: OfTool = None,
    execution: Annotated[str | None, typer.Option(metavar="ID", help="Only those of this run.")] = None,
    since: Since = None,
    until: Until = None,
    watch: Annotated[bool, typer.Option("--watch", "-w", help="Stay, and show each as it comes or changes.")] = False,
    limit: Limit = 100,
    output: Output = Format.TABLE,
) -> None:
    """Requests for a decision, oldest first; by default those that wait for a person now."""
    if watch and output is Format.JSON:
        raise typer.BadParameter("--watch has no end, and -o json is one document: take -o jsonl, one a line")
    filters = [("state", str(wanted)) for wanted in state or (State.PENDING, State.IN_DOUBT)]
    filters += [(name, value) for name, value in (("agent", agent), ("tool", tool)) if value is not None]
    filters += [("execution_id", run_id(execution))] if execution is not None else []
    within = read_range(since, until)

    from agentspan.cli import _approvals
    from agentspan.cli._api import talk

    if watch:
        talk(lambda api: _approvals.watch(api, filters, within, output))
    else:
        _approvals.show_list(talk(lambda api: _approvals.found(api, filters, within, limit)), output, limit)


@app.command(short_help="One request: its arguments, their hash, who decided what.")
def show(
    target: Annotated[
        str,
        typer.Argument(metavar="ID", help="An approval's id, as exec-a1b2c3.2-0.", autocompletion=_complete.approvals),
    ],
    output: Output = Format.TABLE,
) -> None:
    """One request: the exact arguments, what they hash to, and what was decided by whom."""
    execution_id, call_id = split_id(target)
    if call_id is None:
        raise typer.BadParameter(
            f"{target!r} names a run, not a call: `agentspan approvals list --execution {target}` "
            "shows what waits there"
        )

    from agentspan.cli import _approvals
    from agentspan.cli._api import talk

    _approvals.show_one(talk(lambda api: api.approval(f"{execution_id}.{call_id}")), output)


@app.command()
def approve(
    targets: Calls,
    reason: Annotated[str | None, typer.Option("--reason", help="Why, for the record.")] = None,
    args: Annotated[
        str | None, typer.Option("--args", metavar="JSON", help="Run it with these instead; for one call.")
    ] = None,
    dry_run: DryRun = False,
    output: Output = Format.TABLE,
) -> None:
    """Let calls run."""
    edited = edited_args(args) if args is not None else None
    if edited is not None and len(targets) > 1:
        raise typer.BadParameter(f"--args are those of one call, and {len(targets)} ids are given: name one")

    from agentspan.cli._respond import Response

    _decide(targets, Response("approve", reason, edited), dry_run, output)


@app.command()
def reject(
    targets: Calls,
    reason: Annotated[str, typer.Option("--reason", help="Why: the agent reads it and goes on with it.")],
    dry_run: DryRun = False,
    output: Output = Format.TABLE,
) -> None:
    """Don't run calls. Each agent reads the reason."""
    if not reason.strip():
        raise typer.BadParameter("--reason is empty: the agent reads it and goes on with it; say why")

    from agentspan.cli._respond import Response

    _decide(targets, Response("reject", reason), dry_run, output)


def _decide(targets: list[str], response: "Response", dry_run: bool, output: Format) -> None:
    from agentspan.cli import _approvals, _batch

    raise typer.Exit(_approvals.decide(_batch.named(targets, of_calls=True), response, output, dry_run=dry_run))
