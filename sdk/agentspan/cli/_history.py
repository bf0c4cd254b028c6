"""`agent list` and `agent status`: what there is, and what a person can do about it."""

import sys
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import UTC, datetime

from agentspan.cli._api import Server
from agentspan.cli._colours import painted
from agentspan.cli._held import Held, grants, held
from agentspan.cli._options import Format
from agentspan.cli._respond import missing_for
from agentspan.cli._respond import steps as respond_steps
from agentspan.cli._show import brief, compact, counted, excerpt, fields, many, moment, one, out, printable, room, say
from agentspan_schemas import events as e
from agentspan_schemas.approvals import ApprovalRecord
from agentspan_schemas.events import TERMINAL
from agentspan_schemas.http import ExecutionView

LONGEST = 200
"""Of a prompt, for people."""

AWAITED = (("state", "pending"), ("state", "in_doubt"))
"""Of a request for a decision, while a person is awaited."""


@dataclass(frozen=True, slots=True)
class Standing:
    """Where a run stands."""

    execution: ExecutionView
    approvals: tuple[ApprovalRecord, ...]
    """What a person is awaited for."""
    missing: tuple[str, ...]
    """Calls that nobody can run now, and what to start."""
    held: tuple[Held, ...] = ()
    """Calls that workers have in hand."""
    retries: tuple[e.RetryScheduled, ...] = ()
    """What is tried again at its time."""


@dataclass(frozen=True, slots=True)
class Waiting:
    """Runs that wait for a person."""

    executions: Sequence[ExecutionView]
    calls: Mapping[str, Sequence[ApprovalRecord]]
    """What each waits with, oldest first, as far as it was looked for."""
    as_of: str


async def waiting(server: Server, filters: Sequence[tuple[str, str]], agent: str | None, limit: int) -> Waiting:
    """Those that fit, with their calls; `agent` is whose, where one is meant."""
    executions, as_of = await server.executions(filters, limit)
    of_agent = [("agent", agent)] if agent is not None else []
    calls: dict[str, list[ApprovalRecord]] = {}
    for record in await server.approvals([*AWAITED, *of_agent]) if executions else ():
        calls.setdefault(record.execution_id, []).append(record)
    return Waiting(executions, calls, as_of)


async def standing(server: Server, execution_id: str) -> Standing:
    """Where the run stands now."""
    execution = await server.client.execution(execution_id)
    events = [] if execution.status in TERMINAL else await server.events(execution)
    return await standing_of(server, execution, events)


async def standing_of(server: Server, execution: ExecutionView, events: Sequence[e.Event]) -> Standing:
    """The same, of a run whose events were read."""
    execution_id = execution.execution_id
    if execution.status in TERMINAL:
        return Standing(execution, (), ())
    states = [("execution_id", execution_id), *AWAITED]
    missing: dict[str, None] = {}
    in_hand: list[Held] = []
    granted = grants(events)
    for call in open_calls(events):
        if holder := await held(server, call, granted.get(call.call_id)):
            in_hand.append(holder)
        elif problem := await missing_for(server, call.agent, call.tool, call.input_schema_hash):
            missing[problem] = None
    return Standing(execution, await server.approvals(states), tuple(missing), tuple(in_hand), pauses(events))


def open_calls(events: Sequence[e.Event]) -> list[e.ToolCall]:
    """The calls that are free to run, or run already, and have no result yet."""
    calls: dict[str, e.ToolCall] = {}
    gated: dict[str, e.ToolCall] = {}
    for event in events:
        match event:
            case e.ToolCall(approval_required=True):
                gated[event.call_id] = event
            case e.ToolCall():
                calls[event.call_id] = event
            case e.Approved() if event.call_id in gated:
                calls[event.call_id] = gated[event.call_id]
            case e.ToolResult() | e.Rejected() | e.Expired() | e.InDoubt():
                calls.pop(event.call_id, None)
            case e.RetryScheduled() if event.call_id in gated:
                calls[event.call_id] = gated[event.call_id]
            case _:
                pass
    return list(calls.values())


def pauses(events: Sequence[e.Event]) -> tuple[e.RetryScheduled, ...]:
    """The attempts whose time has not come."""
    last: dict[str | None, e.Event] = {}
    for event in events:
        if isinstance(event, e.ModelCalled | e.ModelReplied):
            last[None] = event
        elif (call_id := getattr(event, "call_id", None)) or isinstance(event, e.RetryScheduled):
            last[call_id] = event
    now = datetime.now(UTC)
    return tuple(event for event in last.values() if isinstance(event, e.RetryScheduled) and event.retry_at > now)


def next_steps(standing: Standing) -> list[str]:
    """What to do so that the run goes on, as commands or sentences."""
    steps = [step for record in standing.approvals for step in respond_steps(record)]
    run = standing.execution
    match run.status:
        case "paused":
            steps.append(f"agentspan agent resume {run.execution_id}")
        case "running" if not standing.missing:
            steps.append(f"agentspan agent stream {run.execution_id}")
        case _:
            pass
    return [*steps, *standing.missing]


def show_standing(standing: Standing, output: Format) -> None:
    """`agent status`."""
    steps = next_steps(standing)
    if output is not Format.TABLE:
        whole = {
            "execution": standing.execution,
            "approvals": standing.approvals,
            "retries": standing.retries,
            "held": [asdict(held) for held in standing.held],
            "missing_workers": standing.missing,
            "next": steps,
        }
        return one(whole, output)
    fields(facts(standing.execution))
    for record in standing.approvals:
        out(f"{_awaits(record):<10} {record.tool} {compact(record.args)}, {_since(record)}")
    for pause in standing.retries:
        out(f"{'retries':<10} {_pause(pause)}")
    for holder in standing.held:
        out(f"{'runs':<10} {holder}")
    for step in steps:
        out(f"{'next':<10} {step}")


def show_executions(executions: Sequence[ExecutionView], as_of: str, output: Format) -> None:
    """`agent list`, `execution list`."""
    titles = ("EXECUTION", "AGENT", "STATUS", "WAITING ON", "STARTED", "PROMPT")
    many(executions, output, titles, _row, f"no executions fit (as of {as_of})")
    if executions and output is Format.TABLE:
        say(f"as of {as_of}")


def show_waiting(found: Waiting) -> None:
    """The same, of those that wait: as `approvals list` shows their calls."""

    def row(run: ExecutionView) -> tuple[str, ...]:
        awaits = _calls(found.calls.get(run.execution_id, ())) or ", ".join(run.totals.waiting_on)
        return run.execution_id, run.agent, moment(run.started_at), awaits, _line(run.prompt or "", room())

    titles = ("EXECUTION", "AGENT", "STARTED", "WAITING ON", "PROMPT")
    many(found.executions, Format.TABLE, titles, row, f"no executions fit (as of {found.as_of})")
    if found.executions:
        say(f"as of {found.as_of}; `agentspan approvals list` shows each call by its id")


def _calls(records: Sequence[ApprovalRecord]) -> str:
    """The first with its arguments in short, the others by their tools."""
    if not records:
        return ""
    first, *others = records
    doubt = "in doubt: " if first.state == "in_doubt" else ""
    more = f"; and {', '.join(record.tool for record in others)}" if others else ""
    return f"{doubt}{first.tool} {brief(first.args)}{more}"


def _since(record: ApprovalRecord) -> str:
    """When it was asked for; of a call in doubt, which came to be so later, that word and no other."""
    return f"{'called' if record.state == 'in_doubt' else 'since'} {moment(record.requested_at)}"


def _pause(event: e.RetryScheduled) -> str:
    why = event.error.message if event.error else event.reason
    return f"{event.tool or 'the model'} at {moment(event.retry_at)}, attempt {event.attempt}: {printable(why)}"


def _awaits(record: ApprovalRecord) -> str:
    return "in doubt" if record.state == "in_doubt" else "waits for"


def facts(run: ExecutionView) -> list[tuple[str, str]]:
    """What there is to know about it, for people."""
    totals = run.totals
    turns, calls = counted(totals.turns, "turn"), counted(totals.tool_calls, "tool call")
    known = [
        ("execution", run.execution_id),
        ("status", painted(run.status, sys.stdout)),
        ("agent", f"{run.agent} (version {run.agent_version})"),
        ("started", moment(run.started_at) + (f" by {run.requested_by}" if run.requested_by else "")),
        ("updated", f"{moment(run.updated_at)}, event {run.seq}"),
        ("totals", f"{turns}, {calls}, {counted(totals.input_tokens, 'token')} in, {totals.output_tokens} out"),
    ]
    if run.prompt:
        known.append(("prompt", _line(run.prompt, LONGEST)))
    if run.output is not None:
        known.append(("output", compact(run.output)))
    if run.output_error:
        known.append(("", printable(f"not of the agent's output type: {run.output_error}")))
    if run.error:
        known.append(("error", printable(f"{run.error.message} ({run.error.kind})")))
    return known


def _row(run: ExecutionView) -> tuple[str, ...]:
    waiting_on = ", ".join(run.totals.waiting_on)
    return (
        run.execution_id,
        run.agent,
        run.status,
        waiting_on,
        moment(run.started_at),
        _line(run.prompt or "", room()),
    )


def _line(text: str, most: int) -> str:
    return excerpt(printable(" ".join(text.split())), most)
