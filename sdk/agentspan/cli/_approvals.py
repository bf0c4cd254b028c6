"""`approvals list|show|approve|reject`: what waits, as it comes, and decisions about many calls."""

import asyncio
import sys
from collections.abc import Awaitable, Callable, Sequence

from agentspan.agents import ServerUnavailable
from agentspan.cli import _respond
from agentspan.cli._api import PAGE, Server, talk
from agentspan.cli._batch import WOULD, Named, Outcome, each
from agentspan.cli._batch import show as show_outcomes
from agentspan.cli._colours import painted
from agentspan.cli._exits import ExitCode
from agentspan.cli._options import Format, Range
from agentspan.cli._respond import Response, steps
from agentspan.cli._show import as_json_lines, brief, compact, counted, many, moment, one, out, printable, say
from agentspan_schemas.approvals import ApprovalRecord, DecisionOutcome

WATCHED = 1000
"""So many, the oldest, are looked at again and again."""

EVERY_S = 2.0
"""How often --watch looks."""


async def found(server: Server, filters: Sequence[tuple[str, str]], within: Range, limit: int) -> list[ApprovalRecord]:
    """Those that fit, oldest first."""
    is_open = within == Range(None, None)
    records: list[ApprovalRecord] = []
    async for page in server.approval_pages(filters, min(limit, PAGE) if is_open else PAGE):
        records += [record for record in page.items if record.requested_at in within]
        if len(records) >= limit:
            break
    return records[:limit]


async def watch(
    server: Server,
    filters: Sequence[tuple[str, str]],
    within: Range,
    output: Format,
    pause: Callable[[float], Awaitable[None]] = asyncio.sleep,
) -> None:
    """Each record as it comes, or is another than it was, until interrupted. A server that is away is waited for."""
    seen: dict[str, tuple[int, int]] = {}
    is_away = is_cut = False
    while True:
        try:
            records = await found(server, filters, within, WATCHED)
            is_away = False
        except ServerUnavailable as error:
            if not is_away:
                say(f"waiting for the server: {error}")
            is_away, records = True, []
        if len(records) == WATCHED and not is_cut:
            say(
                f"more than the oldest {WATCHED} fit; those behind them are not shown: narrow it with --agent or --tool"
            )
            is_cut = True
        for record in records:
            if seen.get(record.approval_id) != record.version:
                seen[record.approval_id] = record.version
                _line(record, output)
        await pause(EVERY_S)


def show_list(records: Sequence[ApprovalRecord], output: Format, limit: int) -> None:
    """`approvals list`."""
    titles = ["APPROVAL", "STATE", "AGENT", "SINCE", "EXPIRES", "TOOL", "ARGS"]
    if not (expires := any(record.expires_at for record in records)):
        titles.remove("EXPIRES")
    many(
        records,
        output,
        titles,
        lambda record: _row(record, expires=expires),
        "no approvals fit; `agentspan agent list` shows the runs",
    )
    if len(records) == limit:
        say(f"the first {limit}; there may be more: --limit")


def show_one(record: ApprovalRecord, output: Format) -> None:
    """`approvals show`."""
    if output is not Format.TABLE:
        return one(record, output)
    for name, value in _facts(record):
        out(f"{name:<10} {value}")
    for step in steps(record) if record.state in ("pending", "in_doubt") else ():
        out(f"{'next':<10} {step}")


def decide(items: Sequence[Named], response: Response, output: Format, *, dry_run: bool) -> ExitCode:
    """Decide each; the exit code."""

    async def work(server: Server) -> list[Outcome]:
        async def act(item: Named) -> Outcome:
            record, _ = await _respond.meant(server, item.execution_id, item.call_id, item.args_hash)
            if dry_run:
                return _outcome(record, response, would=True)
            decided = await _respond.respond(server, item.execution_id, record.call_id, response, record.args_hash)
            if decided.missing:
                say(decided.missing)
            return _outcome(decided.record, response, would=False)

        return await each(items, act)

    return show_outcomes(talk(work), output)


def _outcome(record: ApprovalRecord, response: Response, *, would: bool) -> Outcome:
    done = "approved" if response.decision == "approve" else "rejected"
    args = response.args if response.args is not None else record.edited_args or record.args
    details = f"{record.tool} {compact(args)}"
    return Outcome(
        record.approval_id, f"{WOULD} {done}" if would else done, details, data=record.model_dump(mode="json")
    )


def _line(record: ApprovalRecord, output: Format) -> None:
    if output is Format.JSONL:
        return as_json_lines([record])
    approval_id, state, agent, since, expires, tool, args = _row(record, expires=True)
    until = f"  (until {expires})" if expires else ""
    out(f"{since}  {painted(state, sys.stdout):<8}  {approval_id}  {agent}  {tool} {args}{until}")


def _row(record: ApprovalRecord, *, expires: bool) -> tuple[str, ...]:
    since = moment(record.requested_at)
    until = (moment(record.expires_at) if record.expires_at else "",) if expires else ()
    return record.approval_id, record.state, record.agent, since, *until, record.tool, brief(record.args)


def _came_of(attempt: DecisionOutcome) -> str:
    said = "accepted" if attempt.accepted else f"refused ({attempt.code}): {attempt.message}"
    return printable(f"{moment(attempt.at)} {attempt.by} {said}")


def _facts(record: ApprovalRecord) -> list[tuple[str, str]]:
    facts = [
        ("approval", record.approval_id),
        ("state", painted(record.state, sys.stdout)),
        ("agent", f"{record.agent} (version {record.agent_version})"),
        ("tool", record.tool),
        ("args", compact(record.args)),
        ("args hash", record.args_hash),
        ("requested", moment(record.requested_at)),
    ]
    if record.expires_at is not None:
        facts.append(("expires", moment(record.expires_at)))
    if record.attempt is not None:
        facts.append(("attempt", str(record.attempt)))
    if record.edited_args is not None:
        facts.append(("ran with", compact(record.edited_args)))
    if record.decided_at is not None:
        through = f" through {record.channel}" if record.channel else ""
        facts.append(("decided", f"{moment(record.decided_at)} by {record.decided_by}{through}"))
    if record.reason:
        facts.append(("doubt" if record.state == "in_doubt" else "reason", printable(record.reason)))
    if record.attempts_total:
        facts.append(("attempts", f"{counted(record.attempts_total, 'decision')} of other services, the last of them:"))
    facts += [("", _came_of(attempt)) for attempt in record.attempts]
    return facts
