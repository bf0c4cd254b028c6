"""Looks a script over before it is played: what is wrong with a line by itself, whatever the run.

Each slip gets a ScriptError with the line's index, the field as its MockEvent method names it, and what to write.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Any, get_args

from agentspan.agents._serialise import Raised, serialise
from agentspan.agents._tools import Tool
from agentspan.agents.testing._script import Kind, MockEvent, ScriptError
from agentspan.agents.testing._traceback import of_the_test
from agentspan_schemas import Usage

__tracebackhide__ = of_the_test(ScriptError)

_NAME_FIELD: Mapping[str, str] = {"tool_call": "name", "tool_result": "name", "tool_error": "name"}
"""What a kind's method calls the tool's name, where that is not `tool`."""

_TEXT_FIELD: Mapping[Kind, str] = {
    "thinking": "text",
    "says": "text",
    "message": "text",
    "failed": "message",
    "tool_error": "message",
}
"""The kinds that are nothing without their text, and what their method calls it."""

_NAMED: frozenset[Kind] = frozenset({"tool_call", "tool_result", "tool_error", "lost", "resolved"})
"""The kinds that are nothing without a tool's name."""

_ABSENT: Mapping[Kind, str] = {
    "handoff": "there are no handoffs yet: a run has one agent",
    "guardrail_pass": "there are no guardrails yet",
    "guardrail_fail": "there are no guardrails yet",
}


def checked(events: Any) -> list[MockEvent]:
    """The script as a list. Raises ScriptError for the first line that is none."""
    if isinstance(events, MockEvent | str) or not isinstance(events, Sequence):
        raise ScriptError(f"events is {events!r}, not a list of MockEvents", "write events=[MockEvent.done('...')]")
    for index, line in enumerate(events):
        if not isinstance(line, MockEvent):
            raise _no_line(line).at(index, "")
        try:
            _look(line)
        except ScriptError as error:
            raise error.at(index, line.kind) from None
    return list(events)


def _no_line(line: Any) -> ScriptError:
    name = getattr(line, "__name__", "")
    if callable(line) and hasattr(MockEvent, name):
        return ScriptError(f"MockEvent.{name} has no brackets", f"write MockEvent.{name}(...)")
    return ScriptError(f"{line!r} is no MockEvent", "make it with one of its methods, as in MockEvent.done('...')")


def _look(line: MockEvent) -> None:
    if line.kind not in get_args(Kind):
        raise ScriptError(
            f"there is no kind {line.kind!r}", "make the line with a method of MockEvent, as in MockEvent.done('...')"
        )
    if line.kind in _ABSENT:
        raise ScriptError(_ABSENT[line.kind], "take the line out")
    _look_at_tool(line, _NAME_FIELD.get(line.kind, "tool"))
    _look_at_args(line)
    _look_at_text(line)
    if line.kind == "used":
        _look_at_tokens(line.value)
    if line.where is not None and not isinstance(line.where, Mapping) and not callable(line.where):
        raise ScriptError(
            f"{line.where!r} picks no call", "give some args as a mapping, or a function of them", field="where"
        )
    if line.outcome not in ("succeeded", "failed", "not_run"):
        raise ScriptError(
            f"{line.outcome!r} is no outcome", "write 'succeeded', 'failed' or 'not_run'", field="outcome"
        )


def _look_at_tool(line: MockEvent, field: str) -> None:
    name: Any = line.tool
    if isinstance(name, Tool):
        raise ScriptError(f"{name!r} is the tool itself, not its name", f"write {name.name!r}", field=field)
    if name is None and line.kind not in _NAMED:
        return
    if not isinstance(name, str) or not name:
        raise ScriptError(f"{name!r} is no tool's name", "write the name as text, as in 'refund'", field=field)


def _look_at_args(line: MockEvent) -> None:
    if line.args is None:
        return
    if not isinstance(line.args, Mapping):
        raise ScriptError(
            f"{line.args!r} are no args", "write a mapping of names to values, as in {'amount_usd': 10}", field="args"
        )
    wrong = next((name for name in line.args if not isinstance(name, str)), None)
    if wrong is not None:
        raise ScriptError(f"{wrong!r} is no parameter's name", "write the names as text", field="args")
    match serialise(line.tool or "", dict(line.args)):
        case Raised():
            raise ScriptError(
                f"{dict(line.args)!r} has no JSON form, and a model sends only JSON",
                "give what the model would send: text, numbers, true and false, null, lists and mappings",
                field="args",
            )
        case _:
            pass


def _look_at_tokens(counted: Any) -> None:
    if not isinstance(counted, Mapping) or counted.keys() - Usage.model_fields.keys():
        raise ScriptError(f"{counted!r} counts no tokens", "write MockEvent.used(input_tokens=900, output_tokens=40)")
    for name, tokens in counted.items():
        if not isinstance(tokens, int) or isinstance(tokens, bool) or tokens < 0:
            raise ScriptError(f"{tokens!r} is no number of tokens", "write a whole number of 0 or more", field=name)


def _look_at_text(line: MockEvent) -> None:
    text: Any = line.text
    needed = _TEXT_FIELD.get(line.kind)
    if needed is not None and (not isinstance(text, str) or not text):
        raise ScriptError(f"{text!r} says nothing", "write the words as text", field=needed)
    if text is not None and not isinstance(text, str):
        field = "message" if line.kind == "waiting" else "reason"
        raise ScriptError(f"{text!r} is no text", _text_hint(line), field=field)


def _text_hint(line: MockEvent) -> str:
    hints: Mapping[str, Callable[[], str]] = {
        "rejected": lambda: "write MockEvent.rejected('why', tool='...')",
        "waiting": lambda: "write MockEvent.waiting('for whom', tool='...')",
    }
    return hints.get(line.kind, lambda: "write the words as text")()
