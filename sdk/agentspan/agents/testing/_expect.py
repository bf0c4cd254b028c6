"""`expect(result)`: what has to be true of a run. A check that fails prints the run's story."""

import re
from collections.abc import Callable, Mapping
from typing import Any, Self

from agentspan.agents._events import AgentEvent, EventType
from agentspan.agents._result import AgentResult
from agentspan_schemas.events import Status, ToolResult


class Expectation:
    """Checks that can be chained; each raises AssertionError, with the whole story, when it does not hold."""

    def __init__(self, result: AgentResult) -> None:
        self._result = result

    def completed(self) -> Self:
        """The run ended with an answer."""
        return self._status("completed")

    def failed(self, matching: str | None = None) -> Self:
        """The run failed, with an error in which the regular expression `matching` is found."""
        self._status("failed")
        message = self._result.error.message if self._result.error else ""
        return self._check(matching is None or bool(re.search(matching, message)), f"an error matching {matching!r}")

    def waiting(self) -> Self:
        """The run waits for a person."""
        return self._status("waiting")

    def cancelled(self) -> Self:
        """The run was cancelled."""
        return self._status("cancelled")

    def used_tool(self, name: str, args: Mapping[str, Any] | None = None, *, times: int | None = None) -> Self:
        """The agent called the tool: with at least these args, where given, and exactly so many times, where given."""
        calls = [call for call in self._calls(name) if _includes(call.args, args)]
        wanted = "" if args is None else f" with {dict(args)!r}"
        if times is not None:
            return self._check(len(calls) == times, f"{times} calls of {name!r}{wanted}, not {len(calls)}")
        return self._check(bool(calls), f"a call of {name!r}{wanted}")

    def called_once(self, name: str, args: Mapping[str, Any] | None = None) -> Self:
        """The agent called the tool exactly once, and with at least these args, where given."""
        calls = self._calls(name)
        self._check(len(calls) == 1, f"one call of {name!r}, not {len(calls)}")
        return self.used_tool(name, args)

    def did_not_use_tool(self, name: str) -> Self:
        """The agent never called the tool."""
        return self._check(not self._calls(name), f"no call of {name!r}")

    def tool_order(self, *names: str) -> Self:
        """The agent called these tools in this order; others may stand between."""
        called = iter(call.tool_name for call in self._result.tool_calls)
        return self._check(all(name in called for name in names), f"calls in the order {', '.join(names)}")

    def waited_for(self, name: str) -> Self:
        """A call of the tool waited for a person."""
        return self._happened(EventType.WAITING, name, f"that {name!r} waits for a person")

    def approved(self, name: str) -> Self:
        """A call of the tool was approved."""
        return self._happened(EventType.APPROVED, name, f"an approval of {name!r}")

    def rejected(self, name: str, reason: str | None = None) -> Self:
        """A call of the tool was rejected, for this reason, where given."""
        found = [event for event in self._of(EventType.REJECTED, name) if reason in (None, event.reason)]
        because = "" if reason is None else f" because {reason!r}"
        return self._check(bool(found), f"a rejection of {name!r}{because}")

    def ran_tool(self, name: str) -> Self:
        """A call of the tool came back with a value."""
        results = [event.data for event in self._of(EventType.TOOL_RESULT, name)]
        return self._check(any(isinstance(result, ToolResult) and result.ok for result in results), f"{name!r} to run")

    def output(self, expected: Any = ..., *, satisfies: Callable[[Any], bool] | None = None) -> Self:
        """The answer equals `expected`, and the function says yes to it; only those that are given count."""
        got = self._result.output
        if expected is not ...:
            self._check(got == expected, f"the output {expected!r}, not {got!r}")
        return self._check(satisfies is None or satisfies(got), f"an output that satisfies the check, not {got!r}")

    def output_contains(self, text: str) -> Self:
        """The answer, as text, contains this."""
        return self._check(text in str(self._result.output), f"an output with {text!r} in it")

    def output_type(self, expected: type) -> Self:
        """The answer is of this type."""
        problem = f" ({self._result.output_error})" if self._result.output_error else ""
        got = type(self._result.output).__name__
        return self._check(
            isinstance(self._result.output, expected), f"an output of type {expected.__name__}, not {got}{problem}"
        )

    def _status(self, status: Status) -> Self:
        return self._check(self._result.status == status, f"status {status!r}, not {self._result.status!r}")

    def _calls(self, name: str) -> list[AgentEvent]:
        return self._of(EventType.TOOL_CALL, name)

    def _of(self, type_: EventType, name: str) -> list[AgentEvent]:
        return [event for event in self._result.events if event.type is type_ and event.tool_name == name]

    def _happened(self, type_: EventType, name: str, wanted: str) -> Self:
        return self._check(bool(self._of(type_, name)), wanted)

    def _check(self, holds: bool, wanted: str) -> Self:
        __tracebackhide__ = True
        if not holds:
            raise AssertionError(f"expected {wanted}\n{story(self._result)}")
        return self


def expect(result: AgentResult) -> Expectation:
    """Checks on the result of a mock run or of a real one: `expect(result).completed().used_tool("send_reply")`."""
    return Expectation(result)


def story(result: AgentResult) -> str:
    """The run, an event a line."""
    lines = [f"  {event.seq:>3} {event.type:<14} {_details(event)}".rstrip() for event in result.events]
    return "\n".join([f"the run ({result.status}):", *lines])


def _details(event: AgentEvent) -> str:
    parts = [
        event.tool_name or "",
        repr(event.args) if event.args is not None else "",
        f"→ {event.output!r}" if event.output not in (None, "") else "",
        f"({event.reason})" if event.reason else "",
    ]
    text = " ".join(part for part in parts if part)
    return text if len(text) <= 200 else text[:199] + "…"


def _includes(actual: Mapping[str, Any] | None, wanted: Mapping[str, Any] | None) -> bool:
    given = actual or {}
    return all(name in given and given[name] == value for name, value in (wanted or {}).items())
