"""`agent list`, `agent status` and `approvals list`: what there is, and what a person can do about it."""

from collections.abc import Sequence
from dataclasses import dataclass

from agentspan.cli._api import Server
from agentspan.cli._options import Format, ListFormat
from agentspan.cli._respond import missing_for
from agentspan.cli._show import as_json, as_json_lines, compact, moment, out, printable, say, table
from agentspan_schemas import events as e
from agentspan_schemas.approvals import ApprovalRecord
from agentspan_schemas.events import TERMINAL
from agentspan_schemas.http import ExecutionView


@dataclass(frozen=True, slots=True)
class Standing:
    """Where a run stands."""

    execution: ExecutionView
    approvals: tuple[ApprovalRecord, ...]
    """What a person is awaited for."""
    missing: tuple[str, ...]
    """Calls that nobody can run now, and what to start."""


async def standing(server: Server, execution_id: str) -> Standing:
    """Where the run stands now."""
    execution = await server.client.execution(execution_id)
    if execution.status in TERMINAL:
        return Standing(execution, (), ())
    states = [("execution_id", execution_id), ("state", "pending"), ("state", "in_doubt")]
    missing: dict[str, None] = {}
    for call in open_calls(await server.events(execution)):
        if problem := await missing_for(server, call.agent, call.tool, call.input_schema_hash):
            missing[problem] = None
    return Standing(execution, await server.approvals(states), tuple(missing))


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


def next_steps(standing: Standing) -> list[str]:
    """What to do so that the run goes on, as commands or sentences."""
    steps = [step for record in standing.approvals for step in _steps(record)]
    run = standing.execution
    match run.status:
        case "paused":
            steps.append(f"resume it: AgentHandle({run.execution_id!r}).resume(), or the history page")
        case "running" if not standing.missing:
            steps.append(f"agentspan agent stream {run.execution_id}")
        case _:
            pass
    return [*steps, *standing.missing]


def show_standing(standing: Standing, output: Format) -> None:
    """`agent status`."""
    steps = next_steps(standing)
    match output:
        case Format.JSON:
            as_json({
                "execution": standing.execution,
                "approvals": standing.approvals,
                "missing_workers": standing.missing,
                "next": steps,
            })  # fmt: skip
        case Format.TEXT:
            for name, value in _facts(standing.execution):
                out(f"{name:<10} {value}")
            for record in standing.approvals:
                out(f"{_awaits(record):<10} {record.tool} {compact(record.args)}, since {moment(record.requested_at)}")
            for step in steps:
                out(f"{'next':<10} {step}")


def show_executions(executions: Sequence[ExecutionView], as_of: str, output: ListFormat) -> None:
    """`agent list`."""
    match output:
        case ListFormat.JSON:
            as_json(list(executions))
        case ListFormat.JSONL:
            as_json_lines(executions)
        case ListFormat.TABLE if not executions:
            say(f"no executions fit (as of {as_of})")
        case ListFormat.TABLE:
            titles = ("EXECUTION", "AGENT", "STATUS", "WAITING ON", "STARTED", "PROMPT")
            table(titles, [_row(execution) for execution in executions])
            say(f"as of {as_of}")


def show_approvals(records: Sequence[ApprovalRecord], output: ListFormat) -> None:
    """`approvals list`."""
    match output:
        case ListFormat.JSON:
            as_json(list(records))
        case ListFormat.JSONL:
            as_json_lines(records)
        case ListFormat.TABLE if not records:
            say("no approvals fit")
        case ListFormat.TABLE:
            table(
                ("APPROVAL", "STATE", "AGENT", "SINCE", "TOOL", "ARGS"),
                [(r.approval_id, r.state, r.agent, moment(r.requested_at), r.tool, compact(r.args)) for r in records],
            )


def _steps(record: ApprovalRecord) -> list[str]:
    if record.state == "in_doubt":
        return [
            f"find out whether {record.tool} ran, then say so: POST /api/v1/executions/{record.execution_id}/calls/"
            f'{record.call_id}/resolve {{"attempt": {record.attempt}, "outcome": "succeeded" | "failed" | "not_run"}}'
        ]
    return [
        f"agentspan agent respond {record.approval_id} --approve",
        f'agentspan agent respond {record.approval_id} --reject "why"',
    ]


def _awaits(record: ApprovalRecord) -> str:
    return "in doubt" if record.state == "in_doubt" else "waits for"


def _facts(run: ExecutionView) -> list[tuple[str, str]]:
    totals = run.totals
    spent = f"{totals.turns} turns, {totals.tool_calls} tool calls, {totals.input_tokens} tokens in"
    facts = [
        ("execution", run.execution_id),
        ("status", run.status),
        ("agent", f"{run.agent} (version {run.agent_version})"),
        ("started", moment(run.started_at) + (f" by {run.requested_by}" if run.requested_by else "")),
        ("updated", f"{moment(run.updated_at)}, event {run.seq}"),
        ("totals", f"{spent}, {totals.output_tokens} out"),
    ]
    if run.prompt:
        facts.append(("prompt", _excerpt(run.prompt)))
    if run.output is not None:
        facts.append(("output", compact(run.output)))
    if run.output_error:
        facts.append(("", printable(f"not of the agent's output type: {run.output_error}")))
    if run.error:
        facts.append(("error", printable(f"{run.error.message} ({run.error.kind})")))
    return facts


def _row(run: ExecutionView) -> tuple[str, ...]:
    waiting_on = ", ".join(run.totals.waiting_on)
    return run.execution_id, run.agent, run.status, waiting_on, moment(run.started_at), _excerpt(run.prompt or "")


def _excerpt(text: str) -> str:
    line = printable(" ".join(text.split()))
    return line if len(line) <= 200 else line[:199] + "…"
