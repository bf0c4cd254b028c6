"""What a mock run's script is made of, and which call each line of it is about.

A line is a fact that the test states. It names a tool, not a call: `Bindings` pairs it with the oldest call of that
name that it can be about.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal

from agentspan.agents._errors import AgentspanError

Kind = Literal["tool_call", "tool_result", "tool_error", "waiting", "approved", "rejected", "message", "done", "failed"]

_ABOUT_CALLS: frozenset[Kind] = frozenset({"tool_result", "tool_error", "waiting", "approved", "rejected"})


class ScriptError(AgentspanError, ValueError):
    """The script says something that no run could do; the text names the line."""


@dataclass(frozen=True, slots=True)
class MockEvent:
    """One line of a script: made by its class methods."""

    kind: Kind
    tool: str | None = None
    value: Any = None
    text: str | None = None

    @classmethod
    def tool_call(cls, name: str, args: Mapping[str, Any] | None = None) -> "MockEvent":
        """The model calls a tool. Calls that follow each other directly are one turn."""
        return cls("tool_call", name, dict(args or {}))

    @classmethod
    def tool_result(cls, name: str, value: Any = None) -> "MockEvent":
        """The oldest open call of that tool returned this."""
        return cls("tool_result", name, value)

    @classmethod
    def tool_error(cls, name: str, message: str) -> "MockEvent":
        """The oldest open call of that tool failed for good."""
        return cls("tool_error", name, text=message)

    @classmethod
    def waiting(cls, message: str = "", *, tool: str | None = None) -> "MockEvent":
        """A call waits for a person: the one of `tool`, else the oldest that can. `message` is for the reader."""
        return cls("waiting", tool, text=message)

    @classmethod
    def approved(
        cls, tool: str | None = None, *, args: Mapping[str, Any] | None = None, reason: str | None = None
    ) -> "MockEvent":
        """A reviewer lets the waiting call run, with other `args` where they are given."""
        return cls("approved", tool, dict(args) if args is not None else None, reason)

    @classmethod
    def rejected(cls, reason: str | None = None, *, tool: str | None = None) -> "MockEvent":
        """A reviewer rejects the waiting call."""
        return cls("rejected", tool, text=reason)

    @classmethod
    def message(cls, text: str) -> "MockEvent":
        """Somebody tells the agent something."""
        return cls("message", text=text)

    @classmethod
    def done(cls, output: Any = "") -> "MockEvent":
        """The run completes with this answer, the model's text or a value; it ends even while a call waits."""
        return cls("done", value=output)

    @classmethod
    def failed(cls, message: str) -> "MockEvent":
        """The run fails."""
        return cls("failed", text=message)


@dataclass(frozen=True, slots=True)
class Bound:
    """A call that lines may be about, as far as the script has come."""

    call_id: str
    tool: str
    gated: bool
    waited: bool = False
    decided: bool = False
    closed: bool = False


class Bindings:
    """The calls of a run, and what the lines so far have said of them."""

    def __init__(self, calls: Iterable[Bound] = ()) -> None:
        self._calls = {call.call_id: call for call in calls}

    def add(self, call: Bound) -> None:
        """The model made this call."""
        self._calls[call.call_id] = call

    def happened(self, call_id: str, *, closed: bool) -> None:
        """The core added an event about this call: it waits now, or is over."""
        self._mark(self._calls[call_id], waited=True, closed=closed)

    def bind(self, line: MockEvent) -> Bound | None:
        """The call that this line is about, now marked so; None when there is none."""
        match line.kind:
            case "waiting":
                found = self._oldest(line.tool, lambda c: c.gated and not c.waited)
                found = found or self._oldest(line.tool, lambda c: not c.waited)
                return self._mark(found, waited=True)
            case "approved" | "rejected":
                found = self._oldest(line.tool, lambda c: c.gated and not c.decided)
                return self._mark(found, waited=True, decided=True, closed=line.kind == "rejected")
            case "tool_result" | "tool_error":
                return self._mark(self._oldest(line.tool, lambda c: True), closed=True)
            case _:
                return None

    def spoken_for(self, lines: Sequence[MockEvent]) -> dict[str, MockEvent]:
        """For each call that the rest of this turn speaks of: the first line that is about it."""
        ahead, first = Bindings(self._calls.values()), dict[str, MockEvent]()
        for line in lines:
            if line.kind in ("tool_call", "done", "failed"):
                break
            call = ahead.bind(line)
            if call is not None:
                first.setdefault(call.call_id, line)
        return first

    def _oldest(self, tool: str | None, fits: Callable[[Bound], bool]) -> Bound | None:
        calls = (c for c in self._calls.values() if not c.closed and tool in (None, c.tool) and fits(c))
        return next(calls, None)

    def _mark(
        self, call: Bound | None, *, waited: bool = False, decided: bool = False, closed: bool = False
    ) -> Bound | None:
        if call is not None:
            self._calls[call.call_id] = replace(
                call, waited=call.waited or waited, decided=call.decided or decided, closed=call.closed or closed
            )
        return call


def about_a_call(line: MockEvent) -> bool:
    """Whether the line makes no sense without a call."""
    return line.kind in _ABOUT_CALLS
