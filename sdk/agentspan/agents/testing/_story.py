"""A run as text, one event a line, with the point marked at which a check failed. What a failed test prints.

The text is stable: it depends on the events alone, never on the time, the terminal or the order of a set.
"""

import json
from collections.abc import Mapping
from typing import Any, assert_never

from agentspan.agents._events import AgentEvent
from agentspan.agents._result import AgentResult
from agentspan_schemas import events as e

WIDTH = 160
"""Details beyond this are cut."""

END = -1
"""The point behind the last event."""


def story(result: AgentResult, point: int | None = None) -> str:
    """The run, one event a line; the line of event `point` (its `seq`, or END) is marked with `>`.

    >>> from agentspan.agents import Agent
    >>> from agentspan.agents.testing import MockEvent, mock_run, story
    >>> print(story(mock_run(Agent("echo", "replay/echo"), "hi", [MockEvent.done("hello")]), point=4))
    the run of 'echo' (completed):
        1 started        "hi"
        2 model_called   turn 1
        3 model_replied  "hello"
    >   4 done           "hello"
    """
    agent = result.events[0].data.agent if result.events else ""
    lines = [f"the run of {agent!r} ({result.status}):"]
    lines += [_line(event, marked=event.seq == point) for event in result.events]
    if point == END:
        lines.append(
            f">     here it ended, {result.status}" if _ended(result) else f">     here it stands, {result.status}"
        )
    return "\n".join(lines)


def _ended(result: AgentResult) -> bool:
    return bool(result.events) and result.events[-1].ends


def _line(event: AgentEvent, *, marked: bool) -> str:
    details = " ".join(part for part in _details(event.data) if part)
    if len(details) > WIDTH:
        details = f"{details[: WIDTH - 3]}..."
    return f"{'>' if marked else ' '} {event.seq:>3} {event.type:<14} {details}".rstrip()


def _details(event: e.Event) -> tuple[str, ...]:
    match event:
        case e.Started():
            return (_json(event.prompt),)
        case e.ModelCalled():
            return (
                f"turn {event.turn}",
                _attempt(event.attempt),
                f"asked again: {event.ask_again}" if event.ask_again else "",
            )
        case e.ModelReplied():
            return _reply(event)
        case e.ToolCall():
            return (event.tool, _json(event.args))
        case e.Waiting():
            return (event.tool, _json(event.args))
        case e.Approved():
            return (event.tool, _by(event), f"with {_json(event.args)}" if event.edited_args is not None else "")
        case e.Rejected():
            return (event.tool, _by(event))
        case e.Expired():
            return (event.tool, "nobody decided in time")
        case e.ToolStarted():
            return (event.tool, _attempt(event.attempt))
        case e.ToolResult():
            return (event.tool, _came(event), f"as {event.resolved_by} says" if event.resolved_by else "")
        case e.InDoubt():
            return (event.tool, event.reason)
        case e.RetryScheduled():
            return (
                event.tool or "the model",
                _attempt(event.attempt),
                event.error.message if event.error else event.reason,
            )
        case e.MessageAdded():
            return (_json(event.text), f"by {event.by}")
        case e.Paused() | e.Resumed() | e.CancelRequested() | e.Cancelled():
            return (_by(event),)
        case e.Done():
            return (_json(event.output), f"({event.output_error})" if event.output_error else "")
        case e.Failed():
            return (f"{event.error.kind}: {event.error.message}",)
        case _:
            assert_never(event)


def _reply(event: e.ModelReplied) -> tuple[str, ...]:
    asks = ", ".join(call.tool for call in event.tool_calls)
    thoughts = [str(block["thinking"]) for block in event.blocks or () if block.get("thinking")]
    return (
        *(f"(thinks {_json(thought)})" for thought in thoughts),
        _json(event.text) if event.text or not asks else "",
        f"asks for {asks}" if asks else "",
    )


def _came(event: e.ToolResult) -> str:
    return f"-> {_json(event.value)}" if event.error is None else f"failed: {event.error.message}"


def _attempt(attempt: int) -> str:
    return f"attempt {attempt}" if attempt > 1 else ""


def _by(event: e.Decided) -> str:
    return f"by {event.by}: {_json(event.reason)}" if event.reason else f"by {event.by}"


def _json(value: Mapping[str, Any] | Any) -> str:
    return json.dumps(value, ensure_ascii=False, default=repr)
