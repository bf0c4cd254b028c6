"""What a recording keeps of each event: what was said, asked, decided and returned, and nothing of where and when.

No times, ids of workers and claims, hashes or providers' blocks: two recordings of the same behaviour are the same
text, and no machine's or person's traces go into a repository beyond who decided.
"""

from collections.abc import Sequence
from typing import Any, Literal, assert_never

from pydantic import JsonValue

from agentspan_schemas import Effects, Failure, JsonObject, Request, Usage
from agentspan_schemas import events as e

TIME_WAS_UP = "the execution's time was up"
"""In place of a message that names the moment."""


class AskedFact(Request):
    """A call as the model asked for it."""

    tool: str
    args: JsonObject = {}
    args_error: str | None = None


class Fact(Request):
    """One event of a recording. Which fields are set depends on its type."""

    type: str
    prompt: str | None = None
    metadata: JsonObject | None = None
    timeout_s: float | None = None
    turn: int | None = None
    call_id: str | None = None
    tool: str | None = None
    args: JsonObject | None = None
    approval_required: bool | None = None
    effects: Effects | None = None
    attempt: int = 1
    ask_again: str | None = None
    text: str = ""
    tool_calls: tuple[AskedFact, ...] = ()
    stop_reason: str | None = None
    usage: Usage = Usage()
    by: str | None = None
    reason: str | None = None
    edited_args: JsonObject | None = None
    ok: bool | None = None
    value: JsonValue = None
    error: Failure | None = None
    resolved_by: str | None = None
    cause: Literal["cancel", "timeout"] | None = None
    output: JsonValue = None
    output_error: str | None = None

    @property
    def plain(self) -> JsonObject:
        """As JSON: what is set, in the order of the fields."""
        plain: JsonObject = self.model_dump(mode="json", exclude_defaults=True)
        return plain


def facts(events: Sequence[e.Event]) -> list[Fact]:
    """What is kept of these events of one run."""
    return [fact(events, index) for index in range(len(events))]


def fact(events: Sequence[e.Event], index: int) -> Fact:
    """What is kept of one of them."""
    event = events[index]
    if not isinstance(event, e.ModelReplied):
        return Fact(type=event.type, **_fields(event))
    unreadable = _unreadable(events[index + 1 :])
    asked = tuple(
        AskedFact(tool=call.tool, args=call.args, args_error=unreadable.get(call.call_id)) for call in event.tool_calls
    )
    said = _pick(event, "turn", "text", "stop_reason", "usage")
    return Fact(type=event.type, tool_calls=asked, **said)


def _unreadable(events: Sequence[e.Event]) -> dict[str, str]:
    """Which calls had args that were no JSON, and why: the event of the reply itself does not say."""
    found = {}
    for event in events:
        if isinstance(event, e.ModelCalled):
            break
        if isinstance(event, e.ToolResult) and event.attempt == 0 and event.error is not None:
            _, unread, why = event.error.message.partition("can't be read: ")
            found.update({event.call_id: why} if unread else {})
    return found


def _fields(event: Any) -> dict[str, Any]:
    match event:
        case e.Started():
            deadline = event.deadline_at
            timeout_s = (deadline - event.started_at).total_seconds() if deadline else None
            return {"prompt": event.prompt, "metadata": event.metadata or None, "timeout_s": timeout_s}
        case e.ToolCall():
            return _of_call(event, "turn", "args", "approval_required", "effects")
        case e.Approved():
            return _of_call(event, "by", "reason", "edited_args")
        case e.Rejected():
            return _of_call(event, "by", "reason")
        case e.ToolStarted():
            return _of_call(event, "attempt")
        case e.ToolResult():
            return _of_call(event, "ok", "value", "error", "attempt", "resolved_by", "reason")
        case e.RetryScheduled():
            return _of_call(
                event, "turn", "attempt", "reason", "error", "by" if event.reason == "resolved" else "reason"
            )
        case e.Waiting() | e.Expired() | e.InDoubt():
            return _of_call(event)
        case _:
            return _of_run(event)


def _of_run(
    event: e.ModelCalled | e.MessageAdded | e.CancelRequested | e.Paused | e.Resumed | e.Cancelled | e.Done | e.Failed,
) -> dict[str, Any]:
    match event:
        case e.ModelCalled():
            return _pick(event, "turn", "attempt", "ask_again")
        case e.MessageAdded():
            return _pick(event, "text", "by")
        case e.CancelRequested():
            # the reason of a time-out names the moment
            return _pick(event, "by", "cause", *(["reason"] if event.cause == "cancel" else []))
        case e.Paused() | e.Resumed() | e.Cancelled():
            return _pick(event, "by", "reason")
        case e.Done():
            return _pick(event, "output", "output_error")
        case e.Failed():
            return {
                "error": Failure(kind="timeout", message=TIME_WAS_UP) if event.error.kind == "timeout" else event.error
            }
        case _:
            assert_never(event)


def _of_call(event: e.Event, *names: str) -> dict[str, Any]:
    return _pick(event, "call_id", "tool", *names)


def _pick(event: e.Event, *names: str) -> dict[str, Any]:
    return {name: getattr(event, name) for name in names}
