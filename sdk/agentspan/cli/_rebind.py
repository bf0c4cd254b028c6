"""`agent rebind`: which runs of earlier versions this code can finish, and finishing them.

A run keeps the definition that it began with: its log says what the model was told, and people approved calls of those
tools. What may change is the code that runs the calls, as long as a tool of that name takes the same parameters: the
gateway asks no more of a worker. So rebinding is to see whether that holds, to serve, and to wait for the end.
"""

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass

from agentspan.agents import Agent, AgentRuntime, EventType
from agentspan.cli._api import Server, talk
from agentspan.cli._exits import ExitCode
from agentspan.cli._history import open_calls
from agentspan.cli._options import Format
from agentspan.cli._run import line
from agentspan.cli._show import say, several, table
from agentspan_schemas import events as e
from agentspan_schemas.agents import AgentDefinition
from agentspan_schemas.events import TERMINAL
from agentspan_schemas.http import ExecutionView

OPEN = ("running", "waiting", "paused")
MOST = 1000


@dataclass(frozen=True, slots=True)
class Fit:
    """Whether the code at hand can finish a run."""

    run: ExecutionView
    problems: tuple[str, ...]
    """Why it can't: what keeps an open call from being run."""
    notes: tuple[str, ...] = ()
    """What may keep a later call from being run."""

    @property
    def fits(self) -> bool:
        """Whether every open call can be run."""
        return not self.problems


def rebind(agent: Agent, named: Sequence[str], output: Format, target: str, *, only_check: bool) -> ExitCode:
    """Say which runs fit; serve those until they end."""
    fits = talk(lambda server: fitting(server, agent.definition, named))
    if not fits:
        say(f"no run of {agent.name!r} is open: there is nothing to finish")
        _show([], output)
        return ExitCode.OK
    good = [fit.run for fit in fits if fit.fits]
    left = ExitCode.OK if len(good) == len(fits) else ExitCode.REFUSED
    if only_check or not good:
        _show(fits, output)
        return left
    _explain(fits)
    return _finish(agent, good, fits, output, target) or left


async def fitting(server: Server, definition: AgentDefinition, named: Sequence[str]) -> list[Fit]:
    """Each run that is named, or every open one of the agent, against this definition."""
    if named:
        runs = [await server.client.execution(execution_id) for execution_id in dict.fromkeys(named)]
    else:
        filters = [("agent", definition.name), *(("status", status) for status in OPEN)]
        runs, _ = await server.executions(filters, MOST)
    return [await _fit(server, definition, run) for run in runs]


async def _fit(server: Server, definition: AgentDefinition, run: ExecutionView) -> Fit:
    if run.agent != definition.name:
        return Fit(
            run, (f"it is a run of agent {run.agent!r}, not of {definition.name!r}: give the module of that one",)
        )
    if run.status in TERMINAL:
        return Fit(run, (f"it is {run.status}: it has ended, and there is nothing to finish",))
    if run.agent_version == definition.version:
        return Fit(run, ())
    events = await server.events(run)
    problems = [_lacks(definition, call) for call in open_or_gated(events)]
    tools = {event.tool: event for event in events if isinstance(event, e.ToolCall)}
    notes = [text for call in tools.values() if (text := _lacks(definition, call)) and text not in problems]
    kept = f"it keeps the model, instructions and tools of version {run.agent_version}"
    return Fit(run, tuple(dict.fromkeys(text for text in problems if text)), (kept, *notes))


def open_or_gated(events: Sequence[e.Event]) -> list[e.ToolCall]:
    """The calls that run, or will once they are approved, and have no result."""
    calls = {event.call_id: event for event in events if isinstance(event, e.ToolCall)}
    over = {event.call_id for event in events if isinstance(event, e.ToolResult | e.Rejected | e.Expired)}
    running = {call.call_id for call in open_calls(events)}
    return [call for call_id, call in calls.items() if call_id in running or call_id not in over]


def _counted(runs: Sequence[ExecutionView]) -> str:
    return "1 run has" if len(runs) == 1 else f"{len(runs)} runs have"


def _lacks(definition: AgentDefinition, call: e.ToolCall) -> str | None:
    """Why this definition's code can't run the call; None when it can."""
    tool = definition.tool(call.tool)
    if tool is None:
        return f"tool {call.tool!r} is not there any more: put it back, beside the new ones"
    if call.input_schema_hash and tool.input_schema_hash != call.input_schema_hash:
        return (
            f"tool {call.tool!r} takes other parameters now, and call {call.call_id} has arguments for the old "
            f"ones: serve the code of version {call.agent_version}, or reject the call"
        )
    return None


def _finish(
    agent: Agent, runs: Sequence[ExecutionView], fits: Sequence[Fit], output: Format, target: str
) -> ExitCode | None:
    """Serve until they have ended; INTERRUPTED when somebody had enough."""
    try:
        with AgentRuntime(autostart=False) as runtime:
            runtime.serve(agent, blocking=False)
            say(f"serving {agent.name}, until {_counted(runs)} ended; Ctrl-C ends it")
            ended = talk(lambda server: _ends(server, runs))
    except KeyboardInterrupt:
        say(f"the runs go on without you; their tools run while somebody serves them: `agentspan agent serve {target}`")
        return ExitCode.INTERRUPTED
    _show([Fit(ended.get(fit.run.execution_id, fit.run), fit.problems, fit.notes) for fit in fits], output)
    return None


async def _ends(server: Server, runs: Sequence[ExecutionView]) -> dict[str, ExecutionView]:
    """Follow them all to their ends."""
    await asyncio.gather(*(_follow(server, run) for run in runs))
    return {run.execution_id: await server.client.execution(run.execution_id) for run in runs}


async def _follow(server: Server, run: ExecutionView) -> None:
    async for event in server.client.stream(run.execution_id, run.seq):
        say(f"{run.execution_id}  {line(event)}")
        if event.type is EventType.WAITING:
            say(f"      agentspan agent respond {run.execution_id}.{event.call_id} --approve")


def _explain(fits: Sequence[Fit]) -> None:
    for fit in fits:
        for problem in fit.problems:
            say(f"{fit.run.execution_id}: {problem}")


def _show(fits: Sequence[Fit], output: Format) -> None:
    rows = [
        {
            "execution_id": fit.run.execution_id,
            "agent_version": fit.run.agent_version,
            "status": fit.run.status,
            "fits": fit.fits,
            "problems": list(fit.problems),
            "notes": list(fit.notes),
        }
        for fit in fits
    ]
    if output is not Format.TABLE:
        several(rows, output)
    elif fits:
        titles = ("EXECUTION", "VERSION", "STATUS", "FITS", "WHY")
        table(titles, [_row(fit) for fit in fits])


def _row(fit: Fit) -> tuple[str, ...]:
    why = "; ".join(fit.problems or fit.notes)
    return fit.run.execution_id, fit.run.agent_version, fit.run.status, "yes" if fit.fits else "no", why
