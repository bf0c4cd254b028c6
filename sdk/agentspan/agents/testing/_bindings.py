"""Which call each line of a script is about: a line names a tool, not a call.

It is the oldest call of that name that the line can be about; `where` and a recording's call ids narrow it.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from agentspan.agents.testing._args import args_match
from agentspan.agents.testing._script import MockEvent


@dataclass(frozen=True, slots=True)
class Bound:
    """A call that lines may be about, as far as the script has come."""

    call_id: str
    tool: str
    args: Mapping[str, Any]
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

    def happened(self, call_id: str, *, decided: bool = False, closed: bool = False) -> None:
        """Something became of the call without a line that is about it: it waits, was decided, or is over."""
        self._mark(self._calls[call_id], waited=True, decided=decided, closed=closed)

    def bind(self, line: MockEvent) -> Bound | None:
        """The call that this line is about, now marked so; None when there is none."""
        match line.kind:
            case "waiting":
                return self._mark(self._oldest(line, lambda c: c.gated and not c.waited), waited=True)
            case "approved" | "rejected" | "expired":
                found = self._oldest(line, lambda c: c.gated and not c.decided)
                return self._mark(found, waited=True, decided=True, closed=line.kind != "approved")
            case "tool_result" | "tool_error":
                return self._mark(self._oldest(line, lambda c: True), closed=True)
            case "lost" | "resolved":
                return self._oldest(line, lambda c: True)
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

    def _oldest(self, line: MockEvent, fits: Callable[[Bound], bool]) -> Bound | None:
        calls = (call for call in self._calls.values() if not call.closed and _meant(call, line) and fits(call))
        return next(calls, None)

    def _mark(
        self, call: Bound | None, *, waited: bool = False, decided: bool = False, closed: bool = False
    ) -> Bound | None:
        if call is not None:
            self._calls[call.call_id] = replace(
                call, waited=call.waited or waited, decided=call.decided or decided, closed=call.closed or closed
            )
        return call


def _meant(call: Bound, line: MockEvent) -> bool:
    return line.tool in (None, call.tool) and line.call_id in (None, call.call_id) and args_match(call.args, line.where)
