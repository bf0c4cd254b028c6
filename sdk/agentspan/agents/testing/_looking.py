"""What the checks look at: a run's events by tool and type, and the words for what was found instead.

Apart from the checks so that each of them is a line or two about what it means.
"""

import difflib
from collections.abc import Callable, Iterable, Sequence
from typing import Any, Self, TypeVar

from agentspan.agents._events import AgentEvent, EventType
from agentspan.agents._result import AgentResult
from agentspan.agents.testing._story import END, story
from agentspan.agents.testing._traceback import of_the_test
from agentspan_schemas.events import Failed, RetryScheduled, ToolResult

__tracebackhide__ = of_the_test(AssertionError)

T = TypeVar("T")


class Looking:
    """A result, and how a check looks at it and fails."""

    def __init__(self, result: AgentResult) -> None:
        self._result = result

    @property
    def _last(self) -> int:
        return self._result.events[-1].seq

    def _why(self) -> str:
        """What else is known of an answer that is missing or wrong."""
        result = self._result
        if result.error is not None:
            return f" ({result.error.message})"
        if result.output_error:
            return f" ({result.output_error})"
        return "" if result.status == "completed" else f" (the run is {result.status})" * (result.output is None)

    def _calls(self, name: str) -> list[AgentEvent]:
        return self._of(EventType.TOOL_CALL, name)

    def _of(self, type_: EventType, name: str | None) -> list[AgentEvent]:
        return [event for event in self._result.events if event.type is type_ and name in (None, event.tool_name)]

    def _called(self) -> str:
        names = dict.fromkeys(e.tool_name or "" for e in self._result.events if e.type is EventType.TOOL_CALL)
        return quoted(list(names)) if names else "no calls at all"

    def _got(self, name: str, calls: Sequence[AgentEvent], how: str = "with other args") -> str:
        """What there was in place of the call that was looked for."""
        if calls:
            return f"{calls_text(len(calls))} {how}"
        called = [event.tool_name or "" for event in self._result.events if event.type is EventType.TOOL_CALL]
        close = difflib.get_close_matches(name, called, n=1)
        return f"none (called: {self._called()})" + (f"; did you mean {close[0]!r}?" if close else "")

    def _decision(self, found: bool, wanted: str, others: Sequence[AgentEvent], name: str | None) -> Self:
        """A check of what was decided about a tool's calls: marked where it was decided otherwise, or waits."""
        decisions = (EventType.APPROVED, EventType.REJECTED, EventType.EXPIRED)
        every = [event for type_ in decisions for event in self._of(type_, name)]
        waits, calls = self._of(EventType.WAITING, name), self._of(EventType.TOOL_CALL, name)
        nearest = max(others or every or waits or calls, key=lambda event: event.seq, default=None)
        got = "none" if nearest is None else decision_text(nearest)
        return self._check(found, f"{wanted}, got {got}", nearest.seq if nearest else END)

    def _check(self, holds: bool, wanted: str, point: int) -> Self:
        if not holds:
            raise AssertionError(f"expected {wanted}\n{story(self._result, point)}")
        return self


def is_error(event: AgentEvent) -> bool:
    match event.data:
        case Failed():
            return True
        case ToolResult(ok=False):
            return True
        case RetryScheduled(reason="error"):
            return True
        case _:
            return False


def means_it_ran(event: AgentEvent) -> bool:
    """A result of attempt 0 was given in the code's place; a call that was declined or lost its worker may have run."""
    match event.data:
        case ToolResult(attempt=attempt):
            return attempt > 0
        case RetryScheduled(reason="declined"):
            return False
        case _:
            return event.type in (EventType.TOOL_STARTED, EventType.IN_DOUBT, EventType.RETRY_SCHEDULED)


def decision_text(event: AgentEvent) -> str:
    match event.type:
        case EventType.APPROVED:
            return f"an approval of {event.tool_name!r} by {decider(event)!r}"
        case EventType.REJECTED:
            return f"a rejection of {event.tool_name!r} because {event.reason!r}"
        case EventType.EXPIRED:
            return f"that nobody decided {event.tool_name!r} in time"
        case EventType.WAITING:
            return f"a call of {event.tool_name!r} that waits"
        case _:
            return f"a call of {event.tool_name!r} that nobody had to decide"


def decider(event: AgentEvent) -> str:
    return str(getattr(event.data, "by", ""))


def has(event: AgentEvent, attributes: dict[str, Any]) -> bool:
    unknown = next((name for name in attributes if not hasattr(event, name)), None)
    if unknown is not None:
        raise ValueError(f"an event has no {unknown!r}; it has tool_name, call_id, args, output, reason, seq and data")
    return all(getattr(event, name) == value for name, value in attributes.items())


def event_type(type_: str) -> EventType:
    try:
        return EventType(type_)
    except ValueError:
        known = ", ".join(EventType)
        raise ValueError(f"there is no event type {type_!r}; the types are: {known}") from None


def types(result: AgentResult) -> str:
    return ", ".join(dict.fromkeys(str(event.type) for event in result.events))


def names_in(names: Sequence[str]) -> Sequence[str]:
    if isinstance(names, str) or not names:
        raise ValueError(f"{names!r} is no list of names; write them as in ['look_up', 'refund']")
    return names


def not_reached(wanted: Sequence[T], found: Iterable[tuple[T | None, int]]) -> tuple[Sequence[T], int]:
    """What of a sequence never came in its order, and the event up to which it did; others may stand between."""
    after = 0
    for each, seq in found:
        if wanted and each == wanted[0]:
            wanted, after = wanted[1:], seq
    return wanted, after


def quoted(names: Sequence[str]) -> str:
    return ", ".join(repr(name) for name in names)


def calls_text(times: int) -> str:
    return "1 call" if times == 1 else f"{times} calls"


def of_text(name: str | None) -> str:
    return f" of {name!r}" if name else ""


def name_of(function: Callable[..., Any] | None) -> str:
    return getattr(function, "__name__", None) or repr(function)
