"""`expect(result)`: what has to be true of a run. A check that fails prints the run's story, marked where it failed.

A check says three things: what was expected, what was found instead, and at which event.
"""

import re
from collections.abc import Callable, Sequence
from typing import Any, Self, get_args

from agentspan.agents._events import EventType
from agentspan.agents._result import AgentResult
from agentspan.agents.testing._args import args_match, args_text
from agentspan.agents.testing._looking import (
    Looking,
    calls_text,
    decider,
    event_type,
    has,
    is_error,
    means_it_ran,
    name_of,
    names_in,
    not_reached,
    of_text,
    quoted,
    types,
)
from agentspan.agents.testing._script import ArgsMatch
from agentspan.agents.testing._story import END
from agentspan.agents.testing._traceback import of_the_test
from agentspan_schemas.events import ModelReplied, Status, ToolResult

__tracebackhide__ = of_the_test(AssertionError)


class Expectation(Looking):
    """Checks that can be chained; each raises AssertionError, with the whole story, when it does not hold."""

    # How the run stands

    def completed(self) -> Self:
        """The run ended with an answer."""
        return self.status("completed")

    def failed(self, matching: str | None = None) -> Self:
        """The run failed, with an error in which the regular expression `matching` is found."""
        self.status("failed")
        message = self._result.error.message if self._result.error else ""
        found = matching is None or bool(re.search(matching, message))
        return self._check(found, f"an error matching {matching!r}, got {message!r}", self._last)

    def waiting(self) -> Self:
        """The run waits for a person."""
        return self.status("waiting")

    def cancelled(self) -> Self:
        """The run was cancelled."""
        return self.status("cancelled")

    def status(self, status: str) -> Self:
        """The run has this status; upper case counts as lower."""
        known: tuple[str, ...] = get_args(Status)
        if status.lower() not in known:
            raise ValueError(f"there is no status {status!r}; write one of {', '.join(map(repr, known))}")
        got, error = self._result.status, self._result.error
        said = f" ({error.message})" if error else ""
        return self._check(got == status.lower(), f"status {status.lower()!r}, got {got!r}{said}", self._last)

    def no_errors(self) -> Self:
        """Nothing failed: not the run, no call, and no attempt of one."""
        wrong = [event for event in self._result.events if is_error(event)]
        first = wrong[0] if wrong else None
        said = f", got {len(wrong)}, the first: {first.reason}" if first else ""
        return self._check(first is None, f"no errors{said}", first.seq if first else END)

    def max_turns(self, turns: int) -> Self:
        """The model was asked in at most this many turns."""
        replies = [event for event in self._result.events if isinstance(event.data, ModelReplied)]
        over = replies[turns].seq if len(replies) > turns else END
        return self._check(len(replies) <= turns, f"at most {turns} turns, got {len(replies)}", over)

    # What was called

    def used_tool(self, name: str, args: ArgsMatch | None = None, *, times: int | None = None) -> Self:
        """The agent called the tool; with args that match these, and exactly this many times, where given."""
        every = self._calls(name)
        calls = [call for call in every if args_match(call.args, args)]
        wanted = f"of {name!r}{args_text(args)}"
        if times is not None:
            point = calls[times].seq if len(calls) > times else END
            return self._check(len(calls) == times, f"{calls_text(times)} {wanted}, got {len(calls)}", point)
        point = every[-1].seq if every else END
        return self._check(bool(calls), f"a call {wanted}, got {self._got(name, every)}", point)

    def called_once(self, name: str, args: ArgsMatch | None = None) -> Self:
        """The agent called the tool exactly once; with args that match these, where given."""
        calls = self._calls(name)
        point = calls[1].seq if len(calls) > 1 else END
        got = str(len(calls)) if calls else self._got(name, calls)
        self._check(len(calls) == 1, f"one call of {name!r}, got {got}", point)
        return self.used_tool(name, args)

    def did_not_use_tool(self, name: str) -> Self:
        """The agent never called the tool."""
        calls = self._calls(name)
        return self._check(not calls, f"no call of {name!r}, got {len(calls)}", calls[0].seq if calls else END)

    def tools_used_exactly(self, names: Sequence[str]) -> Self:
        """The agent called these tools, each at least once, and no others."""
        wanted = set(names_in(names))
        called = [event for event in self._result.events if event.type is EventType.TOOL_CALL]
        missing = sorted(wanted - {event.tool_name for event in called})
        extra = next((event for event in called if event.tool_name not in wanted), None)
        got = f"{self._called()}; missing: {quoted(missing)}" if missing else self._called()
        point = extra.seq if extra else END
        return self._check(
            not missing and extra is None, f"calls of exactly {quoted(sorted(wanted))}, got {got}", point
        )

    def in_order(self, *names: str) -> Self:
        """The agent called these tools in this order; others may stand between."""
        calls = [event for event in self._result.events if event.type is EventType.TOOL_CALL]
        ahead, after = not_reached(names_in(names), [(call.tool_name, call.seq) for call in calls])
        if not ahead:
            return self
        earlier = [call.seq for call in self._calls(ahead[0]) if call.seq <= after]
        behind = f" behind event {after}" if after else ""
        return self._check(
            False,
            f"calls in the order {quoted(names)}, got no call of {ahead[0]!r}{behind}",
            earlier[-1] if earlier else END,
        )

    def tool_order(self, *names: str) -> Self:
        """The same as `in_order`."""
        return self.in_order(*names)

    def tool_call_order(self, names: Sequence[str]) -> Self:
        """The same as `in_order`, of a list."""
        return self.in_order(*names_in(names))

    # What became of a call

    def waited_for(self, name: str, args: ArgsMatch | None = None) -> Self:
        """A call of the tool waited for a person; with args that match these, where given."""
        waits = self._of(EventType.WAITING, name)
        found = any(args_match(event.args, args) for event in waits)
        nearest = waits or self._calls(name)
        got = (
            f"{calls_text(len(waits))} that waited, with other args"
            if waits
            else self._got(name, nearest, "that never waited")
        )
        wanted = f"that a call of {name!r}{args_text(args)} waits for a person"
        return self._check(found, f"{wanted}, got {got}", nearest[-1].seq if nearest else END)

    def approved(self, name: str | None = None, args: ArgsMatch | None = None, *, by: str | None = None) -> Self:
        """A call of the tool was approved; to run with args that match these, and by this person, where given."""
        every = self._of(EventType.APPROVED, name)
        found = [event for event in every if args_match(event.args, args) and by in (None, decider(event))]
        wanted = f"an approval{of_text(name)}{args_text(args)}{f' by {by!r}' if by else ''}"
        return self._decision(bool(found), wanted, every, name)

    def rejected(self, name: str | None = None, reason: str | None = None, *, args: ArgsMatch | None = None) -> Self:
        """A call of the tool was rejected, for this reason, where given."""
        every = self._of(EventType.REJECTED, name)
        proposed = {event.call_id: event.args for event in self._of(EventType.TOOL_CALL, name)}
        found = [e for e in every if reason in (None, e.reason) and args_match(proposed.get(e.call_id), args)]
        wanted = f"a rejection{of_text(name)}{args_text(args)}{f' because {reason!r}' if reason is not None else ''}"
        return self._decision(bool(found), wanted, every, name)

    def expired(self, name: str | None = None) -> Self:
        """Nobody decided a call of the tool in time."""
        return self._decision(bool(self._of(EventType.EXPIRED, name)), f"that a call{of_text(name)} expires", [], name)

    def ran_tool(self, name: str) -> Self:
        """A call of the tool came back with a value."""
        results = self._of(EventType.TOOL_RESULT, name)
        ran = any(isinstance(event.data, ToolResult) and event.data.ok for event in results)
        nearest = results or self._calls(name)
        got = "only errors" if results else self._got(name, nearest, "that never came back")
        return self._check(ran, f"a value of {name!r}, got {got}", nearest[-1].seq if nearest else END)

    def not_executed(self, name: str, args: ArgsMatch | None = None) -> Self:
        """The tool's code never ran, whether it was called or not: no attempt, no grant."""
        meant = {call.call_id for call in self._calls(name) if args_match(call.args, args)}
        ran = [event for event in self._result.events if event.call_id in meant and means_it_ran(event)]
        wanted = f"that {name!r}{args_text(args)} never runs, got {calls_text(len({e.call_id for e in ran}))} that ran"
        return self._check(not ran, wanted, ran[0].seq if ran else END)

    # What came out

    def output(self, expected: Any = ..., *, satisfies: Callable[[Any], bool] | None = None) -> Self:
        """The answer equals `expected`, and the function says yes to it; only those that are given count."""
        if expected is ... and satisfies is None:
            raise ValueError("output() checks nothing; give what it equals, or satisfies=lambda output: ...")
        got = self._result.output
        if expected is not ...:
            self._check(got == expected, f"the output {expected!r}, got {got!r}{self._why()}", self._last)
        good = satisfies is None or satisfies(got)
        return self._check(good, f"an output that {name_of(satisfies)} accepts, got {got!r}{self._why()}", self._last)

    def output_contains(self, text: str, *, case_sensitive: bool = True) -> Self:
        """The answer, as text, contains this."""
        said = str(self._result.output)
        holds = text in said if case_sensitive else text.casefold() in said.casefold()
        return self._check(holds, f"an output with {text!r} in it, got {said[:200]!r}{self._why()}", self._last)

    def output_matches(self, pattern: str) -> Self:
        """The regular expression is found in the answer, as text."""
        said = str(self._result.output)
        found = bool(re.search(pattern, said))
        return self._check(found, f"an output matching {pattern!r}, got {said[:200]!r}{self._why()}", self._last)

    def output_type(self, expected: type) -> Self:
        """The answer is of this type."""
        got = type(self._result.output).__name__
        holds = isinstance(self._result.output, expected)
        return self._check(holds, f"an output of type {expected.__name__}, got {got}{self._why()}", self._last)

    # The events themselves

    def events_contain(self, type: str, *, expected: bool = True, **attributes: Any) -> Self:
        """An event of this type and with these attributes (`tool_name="refund"`) is there; `expected=False`: is not."""
        wanted = f"{type} event" + "".join(f", {name}={value!r}" for name, value in attributes.items())
        of_type = [event for event in self._result.events if event.type is event_type(type)]
        found = [event for event in of_type if has(event, attributes)]
        if not expected:
            return self._check(not found, f"no {wanted}, got {len(found)}", found[0].seq if found else END)
        return self._check(bool(found), f"a {wanted}, got {types(self._result)}", of_type[-1].seq if of_type else END)

    def event_sequence(self, types: Sequence[str]) -> Self:
        """Events of these types are there in this order; others may stand between."""
        wanted = [event_type(type) for type in names_in(types)]
        ahead, after = not_reached(wanted, [(event.type, event.seq) for event in self._result.events])
        found = len(types) - len(ahead)
        missing = f"no {ahead[0]} behind event {after}" if ahead else ""
        return self._check(not ahead, f"events in the order {quoted(types)}, got {found} of them and {missing}", END)

    # What the original has and no run here comes to yet

    def agent_ran(self, name: str) -> Self:
        """The agent of this name ran. A run has one agent."""
        ran = self._result.events[0].data.agent
        return self._check(ran == name, f"that agent {name!r} runs, got {ran!r}: a run has one agent", 1)

    def handoff_to(self, name: str) -> Self:
        """Always fails: there are no handoffs yet."""
        return self._check(
            False, f"a handoff to {name!r}, got none: there are no handoffs yet, a run has one agent", END
        )

    def guardrail_passed(self, name: str) -> Self:
        """Always fails: there are no guardrails yet."""
        return self._check(False, f"that guardrail {name!r} passes, got none: there are no guardrails yet", END)

    def guardrail_failed(self, name: str) -> Self:
        """Always fails: there are no guardrails yet."""
        return self._check(False, f"that guardrail {name!r} fails, got none: there are no guardrails yet", END)


def expect(result: AgentResult) -> Expectation:
    """Checks on the result of a mock run, of a replayed one or of a real one.

    >>> from agentspan.agents import Agent
    >>> from agentspan.agents.testing import MockEvent, expect, mock_run
    >>> result = mock_run(Agent("echo", "replay/echo"), "hi", [MockEvent.done("hello")])
    >>> _ = expect(result).completed().output("hello")
    >>> expect(result).output("goodbye")
    Traceback (most recent call last):
    AssertionError: expected the output 'goodbye', got 'hello'
    the run of 'echo' (completed):
        1 started        "hi"
        2 model_called   turn 1
        3 model_replied  "hello"
    >   4 done           "hello"
    """
    given: object = result
    if not isinstance(given, AgentResult):
        hint = (
            "call .result() on it first"
            if hasattr(given, "result")
            else "give what mock_run or handle.result() returned"
        )
        raise TypeError(f"expect() checks the result of a run, not {given!r}; {hint}")
    return Expectation(result)
