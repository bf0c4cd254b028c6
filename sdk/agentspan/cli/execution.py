"""`agentspan execution …`: what happened, as history has it, and the last word on a call in doubt."""

from typing import TYPE_CHECKING, Annotated

import typer

from agentspan.cli import _complete
from agentspan.cli._options import (
    Format,
    Limit,
    OfAgent,
    OfTool,
    Order,
    Output,
    Reason,
    RunId,
    Since,
    Status,
    Until,
    read_range,
    run_id,
    split_id,
)

if TYPE_CHECKING:
    from agentspan_schemas.http import ResolutionRequest

app = typer.Typer(help="What happened in runs, and calls in doubt.", no_args_is_help=True, rich_markup_mode=None)


LISTS = "Runs, newest first, or those that wait, oldest first."


@app.command("list", short_help=LISTS)
def list_(
    agent: OfAgent = None,
    status: Annotated[list[Status] | None, typer.Option(help="Only with this status; repeatable.")] = None,
    since: Since = None,
    until: Until = None,
    tool: Annotated[str | None, typer.Option("--tool", help="Only those that called this tool.")] = None,
    order: Annotated[
        Order | None, typer.Option(help="Which stand first. Default: newest; with --status waiting alone, oldest.")
    ] = None,
    limit: Limit = 50,
    output: Output = Format.TABLE,
) -> None:
    """Runs, newest first; those that wait for a person, where no others are asked for, oldest first and each with its
    call. --since and --until are about when they started."""
    waits = set(status or ()) == {Status.WAITING}
    begun = read_range(since, until)
    filters = [("status", str(wanted)) for wanted in status or ()]
    filters += [(name, value) for name, value in (("agent", agent), ("tool", tool)) if value is not None]
    filters += [("from", begun.since.isoformat())] if begun.since is not None else []
    filters += [("to", begun.until.isoformat())] if begun.until is not None else []
    filters += [("order", "oldest")] if (order or (Order.OLDEST if waits else Order.NEWEST)) is Order.OLDEST else []

    from agentspan.cli import _history
    from agentspan.cli._api import talk

    if waits and output is Format.TABLE:
        _history.show_waiting(talk(lambda server: _history.waiting(server, filters, agent, limit)))
    else:
        _history.show_executions(*talk(lambda server: server.executions(filters, limit)), output)


@app.command(short_help="One run: its facts, its calls, and what came of them.")
def show(target: RunId, output: Output = Format.TABLE) -> None:
    """One run: its facts, and every call with its arguments and what came of it."""
    execution_id = run_id(target)

    from agentspan.cli import _calls
    from agentspan.cli._api import talk

    _calls.show(talk(lambda server: _calls.story(server, execution_id)), output)


@app.command(short_help="A run's events as they stand on the log now.")
def events(
    target: RunId,
    type_: Annotated[list[str] | None, typer.Option("--type", help="Only those of this type; repeatable.")] = None,
    tool: OfTool = None,
    since: Since = None,
    until: Until = None,
    after: Annotated[int, typer.Option("--after", min=0, help="Only behind this event.")] = 0,
    output: Output = Format.TABLE,
) -> None:
    """A run's events as they stand on the log now; `agentspan agent stream` follows them."""
    execution_id = run_id(target)
    within = read_range(since, until)

    from agentspan.cli import _calls
    from agentspan.cli._api import talk

    wanted = _calls.Wanted(_calls.types(type_ or ()), tool, within, after)
    _calls.show_events(talk(lambda server: _calls.events(server, execution_id, wanted)), output)


@app.command(short_help="Say what became of a call in doubt.")
def resolve(
    target: Annotated[
        str,
        typer.Argument(metavar="ID", help="The call's id, as exec-a1b2c3.2-0.", autocompletion=_complete.executions),
    ],
    attempt: Annotated[
        int, typer.Option("--attempt", min=1, help="Which attempt you looked into: `approvals show` has it.")
    ],
    succeeded: Annotated[
        str | None, typer.Option("--succeeded", metavar="JSON", help="It ran, and this is what it returned.")
    ] = None,
    failed: Annotated[
        str | None, typer.Option("--failed", metavar="TEXT", help="It ran, and failed: the agent reads why.")
    ] = None,
    not_run: Annotated[bool, typer.Option("--not-run", help="It did not run: it may be run now.")] = False,
    reason: Reason = None,
    output: Output = Format.TABLE,
) -> None:
    """Say what became of a call in doubt, whose worker was lost after it had begun.

    Find out first, where the effect would be seen: nothing else stops a call from being run twice.
    """
    execution_id, call_id = split_id(target)
    if call_id is None:
        raise typer.BadParameter(
            f"{target!r} names a run, not a call: write {target}.2-0, say; "
            "`agentspan approvals list --state in_doubt` shows those in doubt"
        )
    resolution = _resolution(attempt, succeeded, failed, not_run, reason)

    from agentspan.cli import _control
    from agentspan.cli._api import talk

    ref = talk(lambda server: _control.resolve(server, execution_id, call_id, resolution))
    _control.show_resolved(ref, call_id, resolution, output)


def _resolution(
    attempt: int, succeeded: str | None, failed: str | None, not_run: bool, reason: str | None
) -> "ResolutionRequest":
    options = (("--succeeded", succeeded is not None), ("--failed", failed is not None), ("--not-run", not_run))
    said = [name for name, is_said in options if is_said]
    if not said:
        raise typer.BadParameter("nothing is resolved: say --succeeded JSON, --failed TEXT, or --not-run")
    if len(said) > 1:
        raise typer.BadParameter(f"{' and '.join(said)} can't both have become of it: leave one")
    if failed is not None and not failed.strip():
        raise typer.BadParameter("--failed needs the error's words: the agent reads them and goes on with them")

    import json

    try:
        value = json.loads(succeeded) if succeeded is not None else None
    except ValueError as error:
        raise typer.BadParameter(
            f"--succeeded is not JSON ({error}): text stands in quotes, as in '\"re_1\"'; null is nothing"
        ) from None

    from agentspan_schemas.http import ResolutionRequest

    if succeeded is not None:
        return ResolutionRequest(attempt=attempt, outcome="succeeded", value=value, reason=reason)
    if failed is not None:
        return ResolutionRequest(attempt=attempt, outcome="failed", error=failed, reason=reason)
    return ResolutionRequest(attempt=attempt, outcome="not_run", reason=reason)
