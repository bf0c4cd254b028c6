"""`execution show` and `execution events`: a run's calls, each with what came of it, and its log, filtered."""

import difflib
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import typer

from agentspan.agents import EventType
from agentspan.agents._events import view
from agentspan.cli._api import Server
from agentspan.cli._history import Standing, facts, next_steps, standing_of
from agentspan.cli._options import Format, Range
from agentspan.cli._run import line
from agentspan.cli._show import compact, excerpt, fields, one, out, printable, room, say, several, table
from agentspan_schemas import events as e


@dataclass(frozen=True, slots=True)
class Call:
    """One call of a run, as its events have it."""

    call_id: str
    tool: str
    state: str
    args: dict[str, Any]
    """What it ran with, or would."""
    outcome: str = ""
    """What it returned, or why not, on one line."""


@dataclass(frozen=True, slots=True)
class Story:
    """A run, where it stands and what it called."""

    standing: Standing
    calls: tuple[Call, ...]


@dataclass(frozen=True, slots=True)
class Wanted:
    """Which events."""

    types: frozenset[str]
    """Empty: all."""
    tool: str | None
    within: Range
    after: int

    def has(self, event: e.Event) -> bool:
        """Whether it is one of them."""
        return (
            (not self.types or event.type in self.types)
            and (self.tool is None or getattr(event, "tool", None) == self.tool)
            and event.at in self.within
        )


def types(given: Sequence[str]) -> frozenset[str]:
    """The event types that are meant. Raises BadParameter for what is none."""
    known = [str(type_) for type_ in EventType if type_ is not EventType.DELTA]
    for name in given:
        if name not in known:
            close = difflib.get_close_matches(name, known, n=1)
            hint = f"did you mean {close[0]!r}?" if close else f"they are {', '.join(known)}"
            raise typer.BadParameter(f"--type {name!r} is no type of event; {hint}")
    return frozenset(given)


async def story(server: Server, execution_id: str) -> Story:
    """The run, told."""
    execution = await server.client.execution(execution_id)
    events = await server.events(execution)
    return Story(await standing_of(server, execution, events), calls_of(events))


async def events(server: Server, execution_id: str, wanted: Wanted) -> list[e.Event]:
    """Those that are wanted, in order."""
    execution = await server.client.execution(execution_id)
    return [event for event in await server.events(execution, wanted.after) if wanted.has(event)]


def calls_of(found: Sequence[e.Event]) -> tuple[Call, ...]:
    """Every call, in the order in which the model asked for them."""
    calls: dict[str, Call] = {}
    for event in found:
        match event:
            case e.ToolCall():
                state = "asked for" if event.approval_required else "open"
                calls[event.call_id] = Call(event.call_id, event.tool, state, event.args)
            case _ if (call_id := getattr(event, "call_id", None)) in calls:
                calls[call_id] = _after(calls[call_id], event)
            case _:
                pass
    return tuple(calls.values())


def show(told: Story, output: Format) -> None:
    """`execution show`."""
    steps = next_steps(told.standing)
    if output is not Format.TABLE:
        calls = [_plain(call) for call in told.calls]
        return one({"execution": told.standing.execution, "calls": calls, "next": steps}, output)
    fields(facts(told.standing.execution))
    if told.calls:
        out("")
        titles = ("CALL", "TOOL", "STATE", "ARGS", "CAME OF IT")
        table(titles, [_row(call) for call in told.calls])
    for step in steps:
        say(f"next: {step}")


def show_events(found: Sequence[e.Event], output: Format) -> None:
    """`execution events`."""
    if output is not Format.TABLE:
        return several(found, output)
    for event in found:
        out(line(view(event)))
    if not found:
        say("no events fit")


def _after(call: Call, event: e.Event) -> Call:
    match event:
        case e.Waiting():
            return replace(call, state="waiting")
        case e.Approved():
            return replace(call, state="approved", args=event.args, outcome=f"by {event.by}")
        case e.Rejected():
            return replace(call, state="rejected", outcome=printable(f"by {event.by}: {event.reason or 'no reason'}"))
        case e.Expired():
            return replace(call, state="expired")
        case e.ToolStarted():
            return replace(call, state="running", outcome=f"attempt {event.attempt} at {event.worker}")
        case e.InDoubt():
            return replace(call, state="in_doubt", outcome=printable(f"attempt {event.attempt}: {event.reason}"))
        case e.RetryScheduled():
            return replace(call, state="retried", outcome=f"attempt {event.attempt} is next: {event.reason}")
        case e.ToolResult():
            said = event.error.message if event.error else compact(event.value)
            return replace(call, state="ok" if event.ok else "failed", outcome=printable(said))
        case _:
            return call


def _row(call: Call) -> tuple[str, ...]:
    args, outcome = excerpt(compact(call.args), room()), excerpt(call.outcome, room())
    return call.call_id, call.tool, call.state, args, outcome


def _plain(call: Call) -> dict[str, Any]:
    return {
        "call_id": call.call_id,
        "tool": call.tool,
        "state": call.state,
        "args": call.args,
        "outcome": call.outcome,
    }
