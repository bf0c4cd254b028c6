"""`agentspan approvals …`: what waits for a person; and, without a command, the service of that name."""

from typing import Annotated

import typer

from agentspan.cli import server
from agentspan.cli._options import Limit, ListFormat, ListOutput, State

app = typer.Typer(help="Calls that wait, or waited, for a person.", no_args_is_help=True, rich_markup_mode=None)


@app.callback(invoke_without_command=True)
def serve(
    context: typer.Context,
    log: server.Log = None,
    data: server.Data = None,
    port: server.Port = None,
    host: server.Host = None,
    detach: server.Detach = False,
) -> None:
    """Calls that wait, or waited, for a person. Without a command: start an approvals service alone, on the log of a
    cluster."""
    if context.invoked_subcommand is None:
        server.start(detach, data, port, host, log, "approvals")
    elif given := [name for name, value in context.params.items() if value]:
        names = ", ".join(f"--{name}" for name in given)
        raise typer.BadParameter(
            f"{names} start a service: leave them out, or the command {context.invoked_subcommand!r}"
        )


@app.command("list")
def list_(
    state: Annotated[
        list[State] | None, typer.Option(help="Only in this state; repeatable. Default: pending and in_doubt.")
    ] = None,
    agent: Annotated[str | None, typer.Option(help="Only of this agent.")] = None,
    tool: Annotated[str | None, typer.Option(help="Only of this tool.")] = None,
    limit: Limit = 100,
    output: ListOutput = ListFormat.TABLE,
) -> None:
    """Requests for a decision, oldest first; by default those that wait for a person now."""
    filters = [("state", str(wanted)) for wanted in state or (State.PENDING, State.IN_DOUBT)]
    filters += [(name, value) for name, value in (("agent", agent), ("tool", tool)) if value is not None]

    from agentspan.cli import _history
    from agentspan.cli._api import talk
    from agentspan.cli._show import say

    records = talk(lambda server: server.approvals(filters, limit))
    _history.show_approvals(records, output)
    if len(records) == limit:
        say(f"the first {limit}; there may be more: --limit")
