"""Each event in a line: who or what acted, and what happened. The whole event stands under it as JSON."""

import json
from dataclasses import dataclass
from datetime import timedelta
from typing import assert_never

from agentspan_query.web.formats import count, duration, line, plain, short
from agentspan_schemas import Failure, JsonObject
from agentspan_schemas import events as e


@dataclass(frozen=True, slots=True)
class Summary:
    """`actor` is empty where the orchestrator itself acted; `text` is what is worth reading whole."""

    actor: str
    what: str
    text: str = ""


def summary(event: e.Event) -> Summary:
    """The line of an event."""
    match event:
        case e.Started():
            return Summary(event.requested_by, line(event.prompt), event.prompt)
        case e.ModelCalled() | e.ModelReplied():
            return _of_model(event)
        case e.ToolCall() | e.ToolStarted() | e.ToolResult() | e.InDoubt() | e.RetryScheduled():
            return _of_tool(event)
        case e.Waiting() | e.Approved() | e.Rejected() | e.Expired():
            return _of_decision(event)
        case e.MessageAdded():
            return Summary(event.by, line(event.text), event.text)
        case e.Paused() | e.Resumed() | e.CancelRequested() | e.Cancelled():
            return Summary(event.by, _because(_CONTROLS[event.type], event.reason), event.reason or "")
        case e.Done():
            return Summary("", short(event.output), plain(event.output))
        case e.Failed():
            return Summary("", _failure(event.error), event.error.message)
        case _:
            assert_never(event)


_CONTROLS = {
    "paused": "paused: nothing new starts",
    "resumed": "resumed",
    "cancel_requested": "to be ended as soon as the running call is over",
    "cancelled": "ended",
}


def call_text(tool: str, args: JsonObject) -> str:
    """A call as code would write it, on one line: a text in quotes, so that none looks like another argument."""
    given = (f"{line(name, 48)}={line(json.dumps(value, ensure_ascii=False), 48)}" for name, value in args.items())
    return line(f"{tool}({', '.join(given)})")


def _of_model(event: e.ModelCalled | e.ModelReplied) -> Summary:
    match event:
        case e.ModelCalled():
            what = f"turn {event.turn}{_attempt(event.attempt)} (conversation of {count(event.messages)})"
            return Summary(event.model, what, event.ask_again or "")
        case e.ModelReplied():
            asked = f"asks for {', '.join(call.tool for call in event.tool_calls)}" if event.tool_calls else ""
            said = " · ".join(filter(None, (line(event.text, 110), asked))) or "nothing"
            tokens = f"{count(event.usage.input_tokens)} tokens in, {count(event.usage.output_tokens)} out"
            return Summary(event.model, f"{said} ({tokens}{_took(event.duration_ms)})", event.text)
        case _:
            assert_never(event)


def _of_tool(event: e.ToolCall | e.ToolStarted | e.ToolResult | e.InDoubt | e.RetryScheduled) -> Summary:
    match event:
        case e.ToolCall():
            return Summary("", call_text(event.tool, event.args))
        case e.ToolStarted():
            return Summary(event.worker, f"{event.tool} may run now{_attempt(event.attempt)}")
        case e.ToolResult():
            outcome = short(event.value) if event.error is None else _failure(event.error)
            who = event.resolved_by or event.worker or ""
            return Summary(who, f"{event.tool}: {outcome}{_in_parens(event.duration_ms)}", event.reason or "")
        case e.InDoubt():
            return Summary("", f"{event.tool}: nobody knows whether it ran", event.reason)
        case e.RetryScheduled():
            why = _failure(event.error) if event.error else event.reason
            pause = f" after {duration(event.retry_at - event.at)}" if event.retry_at > event.at else ""
            what = f"{event.tool or 'the model'} again{pause}, attempt {event.attempt} ({why})"
            return Summary(event.by or "", what, event.error.message if event.error else "")
        case _:
            assert_never(event)


def _of_decision(event: e.Waiting | e.Approved | e.Rejected | e.Expired) -> Summary:
    match event:
        case e.Waiting():
            return Summary("", f"{call_text(event.tool, event.args)} needs a decision")
        case e.Approved():
            how = f"{event.tool} approved{' with edited arguments' if event.edited_args is not None else ''}"
            return Summary(event.by, _because(how, event.reason), event.reason or "")
        case e.Rejected():
            return Summary(event.by, _because(f"{event.tool} rejected", event.reason), event.reason or "")
        case e.Expired():
            return Summary("", f"{event.tool}: nobody decided in time")
        case _:
            assert_never(event)


def _because(what: str, reason: str | None) -> str:
    return f"{what}: {line(reason, 110)}" if reason else what


def _failure(error: Failure) -> str:
    return f"{error.kind}: {line(error.message, 110)}"


def _attempt(number: int) -> str:
    return f", attempt {number}" if number > 1 else ""


def _took(duration_ms: float | None) -> str:
    return "" if duration_ms is None else f", {duration(timedelta(milliseconds=duration_ms))}"


def _in_parens(duration_ms: float | None) -> str:
    return "" if duration_ms is None else f" ({duration(timedelta(milliseconds=duration_ms))})"
