"""`agentspan agent …`: the options, and what is checked before anything is asked. The work is done next door.

Each command imports its work when it is called, so that `--help` does not.
"""

import json
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from agentspan.cli._options import (
    Format,
    Limit,
    ListFormat,
    ListOutput,
    Output,
    RunId,
    Status,
    StreamFormat,
    StreamOutput,
    read_moment,
    run_id,
    split_id,
)

if TYPE_CHECKING:
    from agentspan.cli._respond import Response

app = typer.Typer(help="Runs: start, follow, decide.", no_args_is_help=True, rich_markup_mode=None)

Target = Annotated[str, typer.Argument(metavar="MODULE:AGENT", help="Looked for from the current folder.")]


@app.command()
def respond(
    target: Annotated[str, typer.Argument(metavar="ID", help="An execution's id, or an approval's.")],
    approve: Annotated[bool, typer.Option("--approve", help="Let the waiting call run.")] = False,
    reject: Annotated[
        str | None, typer.Option("--reject", metavar="REASON", help="Don't run it; the agent reads why.")
    ] = None,
    deny: Annotated[bool, typer.Option("--deny", help="As --reject, with the reason in --reason.")] = False,
    reason: Annotated[str | None, typer.Option("--reason", help="Why, for the record and the agent.")] = None,
    call: Annotated[str | None, typer.Option("--call", metavar="CALL_ID", help="Which one, when several wait.")] = None,
    args: Annotated[
        str | None, typer.Option("--args", metavar="JSON", help="Approve it with these arguments instead.")
    ] = None,
    output: Output = Format.TEXT,
) -> None:
    """Approve or reject the call that a run waits with."""
    execution_id, named = split_id(target)
    if named is not None and call not in (None, named):
        raise typer.BadParameter(f"{target!r} names call {named!r}, and --call names {call!r}: leave one out")
    response = _response(approve, reject, deny, reason, args)

    from agentspan.cli import _respond
    from agentspan.cli._api import talk

    decided = talk(lambda server: _respond.respond(server, execution_id, named or call, response))
    _respond.show(decided, json_output=output is Format.JSON)


@app.command()
def run(
    target: Target,
    prompt: Annotated[str, typer.Argument(help="What the agent is asked.")],
    metadata: Annotated[
        list[str] | None, typer.Option("--metadata", "-m", metavar="KEY=VALUE", help="Kept with the run; repeatable.")
    ] = None,
    detach: Annotated[
        bool, typer.Option("--detach", help="Print the run's id and leave its tools to other workers.")
    ] = False,
    output: StreamOutput = StreamFormat.TEXT,
) -> None:
    """Start a run of an agent, run its tools here, and follow it to its end.

    Its answer goes to standard output, its events to standard error; with -o jsonl, the events are the output.
    """
    pairs = dict(_pair(text) for text in metadata or ())

    from agentspan.cli import _run

    agent = _run.load_agent(target, Path.cwd())
    if not detach:
        raise typer.Exit(_run.run(agent, prompt, pairs, output, target))

    from agentspan.agents._client import new_key
    from agentspan.cli._api import talk
    from agentspan.cli._show import as_json_lines, out, say

    key = new_key()
    ref = talk(lambda server: _run.start(server, agent, prompt, pairs, key))
    if output is StreamFormat.JSONL:
        as_json_lines([ref])
    else:
        out(ref.execution_id)
    say(f"its tools run while somebody serves them: `agentspan agent serve {target}`")


@app.command()
def serve(
    targets: Annotated[
        list[str], typer.Argument(metavar="MODULE:AGENT...", help="Looked for from the current folder.")
    ],
) -> None:
    """Run the tools of agents for every run that calls them, until interrupted."""
    from agentspan.cli import _run

    _run.serve([_run.load_agent(target, Path.cwd()) for target in targets])


@app.command("list")
def list_(
    agent: Annotated[str | None, typer.Option(help="Only of this agent.")] = None,
    status: Annotated[list[Status] | None, typer.Option(help="Only with this status; repeatable.")] = None,
    since: Annotated[
        str | None, typer.Option("--from", metavar="WHEN", help="Started at or after: 2026-05-01, or 7d ago.")
    ] = None,
    until: Annotated[
        str | None, typer.Option("--to", metavar="WHEN", help="Started before; a date includes its day.")
    ] = None,
    limit: Limit = 50,
    output: ListOutput = ListFormat.TABLE,
) -> None:
    """Runs, newest first."""
    now = datetime.now(UTC)
    filters = [("status", str(wanted)) for wanted in status or ()]
    if agent is not None:
        filters.append(("agent", agent))
    if since is not None:
        filters.append(("from", read_moment(since, now).isoformat()))
    if until is not None:
        filters.append(("to", read_moment(until, now, end=True).isoformat()))

    from agentspan.cli import _history
    from agentspan.cli._api import talk

    executions, as_of = talk(lambda server: server.executions(filters, limit))
    _history.show_executions(executions, as_of, output)


@app.command()
def status(target: RunId, output: Output = Format.TEXT) -> None:
    """Where a run stands, what it waits for, and what to do next."""
    execution_id = run_id(target)

    from agentspan.cli import _history
    from agentspan.cli._api import talk

    _history.show_standing(talk(lambda server: _history.standing(server, execution_id)), output)


@app.command()
def stream(
    target: RunId,
    after: Annotated[int, typer.Option(min=0, help="Begin behind this event; 0 replays all.")] = 0,
    output: StreamOutput = StreamFormat.TEXT,
) -> None:
    """A run's events as they come, until it ends."""
    execution_id = run_id(target)

    from agentspan.cli import _run
    from agentspan.cli._api import talk

    talk(lambda server: _run.stream(server, execution_id, after, output))


def _response(approve: bool, reject: str | None, deny: bool, reason: str | None, args: str | None) -> "Response":
    if [approve, reject is not None, deny].count(True) != 1:
        raise typer.BadParameter('say what you decide: --approve, or --reject "reason"')
    if reject is not None and reason is not None:
        raise typer.BadParameter("--reject has the reason already: leave --reason out")
    if reject is not None and not reject.strip():
        raise typer.BadParameter("--reject needs a reason: the agent reads it and goes on with it")
    if args is not None and not approve:
        raise typer.BadParameter("--args goes with --approve: a rejected call does not run")
    edited = _args(args) if args is not None else None

    from agentspan.cli._respond import Response

    return Response("approve" if approve else "reject", reject or reason, edited)


def _args(text: str) -> dict[str, Any]:
    try:
        value = json.loads(text)
    except ValueError as error:
        raise typer.BadParameter(f"--args is not JSON: {error}") from None
    if not isinstance(value, dict):
        raise typer.BadParameter("--args is a JSON object, such as '{\"amount_usd\": 20}'")
    return value


def _pair(text: str) -> tuple[str, str]:
    name, equals, value = text.partition("=")
    if not name or not equals:
        raise typer.BadParameter(f"--metadata {text!r}: write KEY=VALUE")
    return name, value
