"""`agentspan agent …`: the options, and what is checked before anything is asked. The work is done next door.

Each command imports its work when it is called, so that `--help` does not.
"""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from agentspan.cli import _complete, execution
from agentspan.cli._options import (
    DryRun,
    Format,
    Output,
    Reason,
    RunId,
    RunIds,
    edited_args,
    pair,
    run_id,
    split_id,
)

if TYPE_CHECKING:
    from agentspan.cli._control import Verb
    from agentspan.cli._respond import Response

app = typer.Typer(help="Runs: start, follow, decide, steer.", no_args_is_help=True, rich_markup_mode=None)
app.command("list", short_help=execution.LISTS)(execution.list_)

Target = Annotated[str, typer.Argument(metavar="MODULE:AGENT", help="Looked for from the current folder.")]


@app.command()
def respond(
    target: Annotated[
        str,
        typer.Argument(metavar="ID", help="An execution's id, or an approval's.", autocompletion=_complete.executions),
    ],
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
    output: Output = Format.TABLE,
) -> None:
    """Approve or reject the call that a run waits with."""
    execution_id, named = split_id(target)
    if named is not None and call not in (None, named):
        raise typer.BadParameter(f"{target!r} names call {named!r}, and --call names {call!r}: leave one out")
    response = _response(approve, reject, deny, reason, args)

    from agentspan.cli import _respond
    from agentspan.cli._api import talk

    decided = talk(lambda server: _respond.respond(server, execution_id, named or call, response))
    _respond.show(decided, output)


@app.command(short_help="Start a run, run its tools here, follow it to its end.")
def run(
    target: Target,
    prompt: Annotated[str, typer.Argument(help="What the agent is asked; - reads it from standard input.")],
    metadata: Annotated[
        list[str] | None, typer.Option("--metadata", "-m", metavar="KEY=VALUE", help="Kept with the run; repeatable.")
    ] = None,
    detach: Annotated[
        bool, typer.Option("--detach", help="Print the run's id and leave its tools to other workers.")
    ] = False,
    output: Output = Format.TABLE,
) -> None:
    """Start a run of an agent, run its tools here, and follow it to its end.

    Its answer goes to standard output, its events to standard error. With -o jsonl the events are the output, with
    -o json the run as it is in the end.
    """
    pairs = dict(pair(text) for text in metadata or ())

    from agentspan.cli import _run

    asked = _run.text_of(prompt)
    agent = _run.load_agent(target, Path.cwd())
    if not detach:
        raise typer.Exit(_run.run(agent, asked, pairs, output, target))
    _run.start_only(agent, asked, pairs, output, target)


@app.command(short_help="Run agents' tools for every run, until interrupted.")
def serve(
    targets: Annotated[list[str], typer.Argument(metavar="MODULE:AGENT", help="Looked for from the current folder.")],
) -> None:
    """Run the tools of agents for every run that calls them, until interrupted."""
    from agentspan.cli import _run

    _run.serve([_run.load_agent(target, Path.cwd()) for target in targets])


@app.command()
def status(target: RunId, output: Output = Format.TABLE) -> None:
    """Where a run stands, what it waits for, and what to do next."""
    execution_id = run_id(target)

    from agentspan.cli import _history
    from agentspan.cli._api import talk

    _history.show_standing(talk(lambda server: _history.standing(server, execution_id)), output)


@app.command()
def stream(
    target: RunId,
    after: Annotated[int, typer.Option(min=0, help="Begin behind this event; 0 replays all.")] = 0,
    output: Output = Format.TABLE,
) -> None:
    """A run's events as they come, until it ends."""
    execution_id = run_id(target)

    from agentspan.cli import _run
    from agentspan.cli._api import talk

    with _run.Printer(output) as printer:
        talk(lambda server: _run.stream(server, execution_id, after, printer))


@app.command()
def cancel(targets: RunIds, reason: Reason = None, dry_run: DryRun = False, output: Output = Format.TABLE) -> None:
    """End runs. A call that was handed out already is waited for: the run ends with its result."""
    _steer("cancel", targets, reason, dry_run, output)


@app.command()
def pause(targets: RunIds, reason: Reason = None, dry_run: DryRun = False, output: Output = Format.TABLE) -> None:
    """Let runs start nothing new. What works may finish, and decisions are kept."""
    _steer("pause", targets, reason, dry_run, output)


@app.command()
def resume(targets: RunIds, reason: Reason = None, dry_run: DryRun = False, output: Output = Format.TABLE) -> None:
    """Let paused runs go on. What was decided meanwhile takes effect."""
    _steer("resume", targets, reason, dry_run, output)


@app.command()
def send(
    target: RunId,
    text: Annotated[str, typer.Argument(help="What the agent reads before its next turn; - reads standard input.")],
    output: Output = Format.TABLE,
) -> None:
    """Tell a run's agent something."""
    execution_id = run_id(target)

    from agentspan.cli import _control
    from agentspan.cli._api import talk
    from agentspan.cli._run import text_of

    message = text_of(text)
    _control.show_sent(talk(lambda server: _control.send(server, execution_id, message)), output)


@app.command(short_help="Finish runs of an agent's earlier version.")
def rebind(
    target: Target,
    targets: Annotated[
        list[str] | None,
        typer.Argument(metavar="ID", help="Runs of this agent; none: all that have not ended."),
    ] = None,
    check: Annotated[
        bool, typer.Option("--check", help="Say which runs this code can finish, and do no more.")
    ] = False,
    output: Output = Format.TABLE,
) -> None:
    """Finish runs that began with an earlier version of an agent: see which of their calls this code can run, then run
    them until those runs end.

    A run keeps the model, the instructions and the tools that it began with. What is bound anew is who runs its calls:
    code whose tool has the same name and parameters.
    """
    named = [run_id(text) for text in targets or ()]

    from agentspan.cli import _rebind, _run

    raise typer.Exit(_rebind.rebind(_run.load_agent(target, Path.cwd()), named, output, target, only_check=check))


def _steer(verb: "Verb", targets: list[str], reason: str | None, dry_run: bool, output: Format) -> None:
    from agentspan.cli import _batch, _control

    named = _batch.named(targets, of_calls=False)
    raise typer.Exit(_control.steer(verb, named, reason, output, dry_run=dry_run))


def _response(approve: bool, reject: str | None, deny: bool, reason: str | None, args: str | None) -> "Response":
    said = [
        name
        for name, is_said in (("--approve", approve), ("--reject", reject is not None), ("--deny", deny))
        if is_said
    ]
    if not said:
        raise typer.BadParameter('nothing is decided: say --approve, or --reject "reason"')
    if len(said) > 1:
        raise typer.BadParameter(f"{' and '.join(said)} contradict each other or say the same twice: leave one")
    if reject is not None and reason is not None:
        raise typer.BadParameter("--reject has the reason already: leave --reason out")
    if reject is not None and not reject.strip():
        raise typer.BadParameter("--reject needs a reason: the agent reads it and goes on with it")
    if deny and not (reason or "").strip():
        raise typer.BadParameter("--deny needs --reason TEXT: the agent reads it and goes on with it")
    if args is not None and not approve:
        raise typer.BadParameter("--args goes with --approve: a rejected call does not run")
    edited = edited_args(args) if args is not None else None

    from agentspan.cli._respond import Response

    return Response("approve" if approve else "reject", reject or reason, edited)
