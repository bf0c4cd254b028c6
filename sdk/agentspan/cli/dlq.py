"""`agentspan dlq …`: what other teams sent and nobody could take, and events that history lacks. Look at it, send it
again, or put it away.

The options; what is asked of the cluster or the data folder is the server's packages' part, and how letters look is
`_letters`'.
"""

from collections.abc import Callable
from datetime import UTC, datetime
from types import ModuleType
from typing import TYPE_CHECKING, Annotated

import typer

from agentspan.cli._exits import Refused
from agentspan.cli._extra import asked
from agentspan.cli._options import Format, Output, read_moment
from agentspan.cli.server import Data
from agentspan.cli.topics import Log

if TYPE_CHECKING:
    from agentspan_standalone.dlq import Done, Note, Which

app = typer.Typer(
    help="Dead letters: what could not be taken, and events that history lacks.",
    no_args_is_help=True,
    rich_markup_mode=None,
)

LetterIds = Annotated[list[str] | None, typer.Argument(metavar="ID…", help="As `dlq list` shows them: tickets/0:12")]
TopicName = Annotated[
    str | None, typer.Option("--topic", help="Only those of this topic: tickets, decisions, or events.")
]
Why = Annotated[list[str] | None, typer.Option("--why", help="Only with this reason; repeatable.")]
Since = Annotated[str | None, typer.Option(metavar="WHEN", help="Only those put aside since then: 2026-05-01, or 24h.")]
All = Annotated[bool, typer.Option("--all", help="All that --topic, --why and --since leave.")]
DryRun = Annotated[bool, typer.Option("--dry-run", help="Only show which.")]


@app.command("list")
def list_(
    topic: TopicName = None,
    why: Why = None,
    since: Since = None,
    handled: Annotated[bool, typer.Option("--handled", help="Also those that were replayed or discarded.")] = False,
    output: Output = Format.TABLE,
    log: Log = None,
    data: Data = None,
) -> None:
    """What waits for somebody, oldest first."""
    from agentspan.cli import _letters

    found = asked(
        "dlq", lambda dlq: dlq.listed(dlq.Where(log, data), _filters(dlq, topic, why, since), handled=handled)
    )
    _letters.show_list(found, output, handled=handled)


@app.command(short_help="One dead letter: why it is one, and what to do next.")
def show(
    id_: Annotated[str, typer.Argument(metavar="ID", help="As `dlq list` shows it: tickets/0:12")],
    raw: Annotated[
        bool, typer.Option("--raw", help="Nothing but the bytes of the record's value, as they came.")
    ] = False,
    output: Output = Format.TABLE,
    log: Log = None,
    data: Data = None,
) -> None:
    """One dead letter: why it was put aside, what to do next, its headers and its bytes."""
    from agentspan.cli import _letters

    letter = asked("dlq", lambda dlq: dlq.shown(dlq.Where(log, data), id_))
    if raw:
        _letters.write_raw(letter)
    else:
        _letters.show(letter, output)


@app.command(short_help="Send records to their topic again, as they came.")
def replay(
    ids: LetterIds = None,
    every: All = False,
    topic: TopicName = None,
    why: Why = None,
    since: Since = None,
    again: Annotated[bool, typer.Option("--again", help="Also what was replayed or discarded before.")] = False,
    dry_run: DryRun = False,
    output: Output = Format.TABLE,
    log: Log = None,
    data: Data = None,
) -> None:
    """Send records to their topic again, with their own key, headers and bytes. Twice is harmless. Not events: they
    stand on the log, from which `agentspan query rebuild` reads them."""
    _check(ids, every, topic, why, since)
    if again and not ids:
        raise typer.BadParameter("--again goes with IDs: name what to send once more")
    _act(
        lambda dlq: dlq.replayed(
            dlq.Where(log, data), _which(dlq, ids, topic, why, since, again), _note(dlq, None), dry_run=dry_run
        ),
        "would be replayed" if dry_run else "replayed",
        output,
    )


@app.command()
def discard(
    ids: LetterIds = None,
    reason: Annotated[str, typer.Option("--reason", help="Why nobody needs them; it is kept with your name.")] = "",
    every: All = False,
    topic: TopicName = None,
    why: Why = None,
    since: Since = None,
    dry_run: DryRun = False,
    output: Output = Format.TABLE,
    log: Log = None,
    data: Data = None,
) -> None:
    """Put letters away: the list no longer shows them. Nothing is deleted; `list --handled` has them."""
    _check(ids, every, topic, why, since)
    if not reason.strip():
        raise typer.BadParameter("why does nobody need them? Give --reason TEXT: it is kept with your name")
    _act(
        lambda dlq: dlq.discarded(
            dlq.Where(log, data), _which(dlq, ids, topic, why, since), _note(dlq, reason), dry_run=dry_run
        ),
        "would be discarded" if dry_run else "discarded",
        output,
    )


def _check(ids: list[str] | None, every: bool, topic: str | None, why: list[str] | None, since: str | None) -> None:
    if not ids and not every:
        raise typer.BadParameter("which ones? Give IDs as `agentspan dlq list` shows them, or --all")
    if ids and (every or topic or why or since):
        raise typer.BadParameter("IDs, or --all with --topic, --why and --since: not both")


def _filters(dlq: ModuleType, topic: str | None, why: list[str] | None, since: str | None) -> object:
    began = None if since is None else read_moment(since, datetime.now(UTC))
    return dlq.Filters(topic, tuple(why or ()), began)


def _which(
    dlq: ModuleType,
    ids: list[str] | None,
    topic: str | None,
    why: list[str] | None,
    since: str | None,
    again: bool = False,
) -> "Which":
    which: Which = dlq.Which(tuple(ids or ()), _filters(dlq, topic, why, since), again)
    return which


def _note(dlq: ModuleType, reason: str | None) -> "Note":
    """By the person who is logged in."""
    import getpass

    try:
        user = getpass.getuser()
    except (OSError, KeyError):  # the system has no name for them
        user = "local"
    note: Note = dlq.Note(f"user:{user}", datetime.now(UTC), reason)
    return note


def _act(ask: "Callable[[ModuleType], Done]", verb: str, output: Format) -> None:
    """Do it, show what was done, and say what was not. Raises Refused."""
    from agentspan.cli import _letters

    done: Done = asked("dlq", ask)
    _letters.show_done(done, verb, output)
    if undone := _letters.undone(done):
        raise Refused("; ".join(undone), code=_letters.code(done))
