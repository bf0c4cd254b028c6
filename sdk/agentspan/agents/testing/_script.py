"""What a mock run's script is made of: lines that state facts, and the error for one that no run could come to.

A line is plain data, checked when it is played: only then is it known which line of the script it is.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any, Literal, TypeAlias

from agentspan.agents._absent import takes
from agentspan.agents._errors import AgentspanError
from agentspan_schemas import JsonObject, Usage

Kind = Literal[
    "thinking",
    "says",
    "used",
    "tool_call",
    "tool_result",
    "tool_error",
    "waiting",
    "approved",
    "rejected",
    "expired",
    "lost",
    "resolved",
    "message",
    "paused",
    "resumed",
    "cancelled",
    "done",
    "failed",
    "handoff",
    "guardrail_pass",
    "guardrail_fail",
]

ABOUT_CALLS: frozenset[Kind] = frozenset(
    {"tool_result", "tool_error", "waiting", "approved", "rejected", "expired", "lost", "resolved"}
)
"""The kinds that make no sense without a call."""

DECIDED_BY_LINE: frozenset[Kind] = frozenset({"waiting", "approved", "rejected", "expired"})
"""Where the script's next line on a waiting call is one of these, no reviewer is asked before it."""

OF_THE_REPLY: frozenset[Kind] = frozenset({"thinking", "says", "used"})
"""The kinds that are a part of the model's next reply."""

Args: TypeAlias = Mapping[str, Any]

ArgsMatch: TypeAlias = Args | Callable[[dict[str, Any]], bool]
"""Which args are meant: some of them with their values, or a function of all of them."""


class ScriptError(AgentspanError, ValueError):
    """The script says something that no run could do. `.index` is the line's, `.field` what is wrong in it.

    >>> from agentspan.agents import Agent
    >>> from agentspan.agents.testing import MockEvent, mock_run
    >>> try:
    ...     mock_run(Agent("echo", "replay/echo"), "hi", [MockEvent.tool_result("greet", "hello")])
    ... except ScriptError as error:
    ...     print(error.problem, "|", error.next_step)
    no call of 'greet' is open (open now: none) | put MockEvent.tool_call('greet', {...}) before it
    """

    def __init__(self, problem: str, next_step: str, *, field: str | None = None) -> None:
        super().__init__(f"{problem}. Next: {next_step}.")
        self.problem = problem
        self.next_step = next_step
        self.field = field
        self.index: int | None = None

    def at(self, index: int, line: str) -> "ScriptError":
        """The same error, of this line of the script."""
        field = f", field {self.field!r}" if self.field else ""
        self.index = index
        self.args = (f"{f'events[{index}] {line}'.rstrip()}{field}: {self}",)
        return self


@dataclass(frozen=True, slots=True)
class Said:
    """What the model says beside its calls or its answer."""

    text: str = ""
    thoughts: tuple[str, ...] = ()
    usage: Usage = field(default_factory=Usage)

    def then(self, line: "MockEvent") -> "Said":
        """This, and a line that is a part of the same reply."""
        match line.kind:
            case "thinking":
                return replace(self, thoughts=(*self.thoughts, line.text or ""))
            case "used":
                counted = {name: getattr(self.usage, name) + tokens for name, tokens in line.value.items()}
                return replace(self, usage=self.usage.model_copy(update=counted))
            case _:
                return replace(self, text=f"{self.text}\n{line.text}".strip())

    @property
    def blocks(self) -> tuple[JsonObject, ...] | None:
        """The thoughts, as a provider's blocks."""
        return tuple({"type": "thinking", "thinking": thought} for thought in self.thoughts) or None


NOTHING_SAID = Said()


@dataclass(frozen=True, slots=True)
class MockEvent:
    """One line of a script: made by its class methods, which read as what happened.

    >>> MockEvent.tool_call("refund", {"amount_usd": 99.0})
    MockEvent.tool_call('refund', args={'amount_usd': 99.0})
    >>> MockEvent.rejected("too much", tool="refund")
    MockEvent.rejected('refund', text='too much')
    """

    kind: Kind
    tool: str | None = None
    args: Any = None
    value: Any = None
    text: str | None = None
    where: ArgsMatch | None = None
    """Which call of the tool is meant, where several are open."""
    call_id: str | None = None
    """The very call that is meant: recordings name it."""
    outcome: Literal["succeeded", "failed", "not_run"] = "succeeded"

    def __repr__(self) -> str:
        said = [] if self.tool is None else [repr(self.tool)]
        named = {"args": self.args, "value": self.value, "text": self.text, "where": self.where}
        said += [f"{name}={value!r}" for name, value in named.items() if value not in (None, "")]
        return f"MockEvent.{self.kind}({', '.join(said)})"

    @property
    def label(self) -> str:
        """The line in a message: its kind and its tool, never its values."""
        return f"{self.kind}({self.tool!r})" if self.tool is not None else self.kind

    # What the model says

    @classmethod
    def thinking(cls, text: str) -> "MockEvent":
        """The model thinks, before the calls or the answer behind this line: a block of that reply."""
        return cls("thinking", text=text)

    @classmethod
    def says(cls, text: str) -> "MockEvent":
        """The model says this beside the calls behind this line."""
        return cls("says", text=text)

    @classmethod
    def used(
        cls,
        input_tokens: int = 0,
        output_tokens: int = 0,
        *,
        cache_read_tokens: int = 0,
        cache_write_tokens: int = 0,
    ) -> "MockEvent":
        """The reply that the calls or the answer behind this line belong to took these tokens."""
        counted = {
            "input_tokens": input_tokens,
            "output_tokens": output_tokens,
            "cache_read_tokens": cache_read_tokens,
            "cache_write_tokens": cache_write_tokens,
        }
        return cls("used", value={name: tokens for name, tokens in counted.items() if tokens != 0})

    @classmethod
    @takes(
        "MockEvent.tool_call()", otherwise="the call's arguments are one mapping: tool_call('refund', {'amount': 9})"
    )
    def tool_call(cls, name: str, args: Args | None = None) -> "MockEvent":
        """The model calls a tool. Calls that follow each other directly are one turn."""
        return cls("tool_call", name, args={} if args is None else args)

    @classmethod
    def done(cls, output: Any = "") -> "MockEvent":
        """The run completes with this answer, the model's text or a value; it ends even while a call waits."""
        return cls("done", value=output)

    @classmethod
    def failed(cls, message: str) -> "MockEvent":
        """The run fails."""
        return cls("failed", text=message)

    @classmethod
    def error(cls, message: str) -> "MockEvent":
        """The run fails: another name for `failed`."""
        return cls.failed(message)

    # What becomes of a call

    @classmethod
    def tool_result(cls, name: str, value: Any = None, *, where: ArgsMatch | None = None) -> "MockEvent":
        """The oldest open call of that tool, or of its calls that `where` picks, returned this."""
        return cls("tool_result", name, value=value, where=where)

    @classmethod
    def tool_error(cls, name: str, message: str, *, where: ArgsMatch | None = None) -> "MockEvent":
        """The oldest open call of that tool failed for good."""
        return cls("tool_error", name, text=message, where=where)

    @classmethod
    def waiting(cls, message: str = "", *, tool: str | None = None, where: ArgsMatch | None = None) -> "MockEvent":
        """A call waits for a person: the one of `tool`, else the oldest that can. `message` is for the reader."""
        return cls("waiting", tool, text=message, where=where)

    @classmethod
    def approved(
        cls,
        tool: str | None = None,
        *,
        args: Args | None = None,
        reason: str | None = None,
        where: ArgsMatch | None = None,
    ) -> "MockEvent":
        """A reviewer lets the waiting call run, with other `args` where they are given."""
        return cls("approved", tool, args=args, text=reason, where=where)

    @classmethod
    def rejected(
        cls, reason: str | None = None, *, tool: str | None = None, where: ArgsMatch | None = None
    ) -> "MockEvent":
        """A reviewer rejects the waiting call."""
        return cls("rejected", tool, text=reason, where=where)

    @classmethod
    def expired(cls, tool: str | None = None, *, where: ArgsMatch | None = None) -> "MockEvent":
        """Nobody decides the waiting call until its `approval_expires_s` is over: the clock is turned to then."""
        return cls("expired", tool, where=where)

    @classmethod
    def lost(cls, tool: str, *, where: ArgsMatch | None = None) -> "MockEvent":
        """The call's worker is gone: an idempotent call is run again, a `once` call is in doubt."""
        return cls("lost", tool, where=where)

    @classmethod
    def resolved(
        cls,
        tool: str,
        outcome: Literal["succeeded", "failed", "not_run"],
        value: Any = None,
        *,
        reason: str | None = None,
        where: ArgsMatch | None = None,
    ) -> "MockEvent":
        """Somebody found out what became of a call in doubt."""
        return cls("resolved", tool, value=value, text=reason, where=where, outcome=outcome)

    # What people do to the run

    @classmethod
    def message(cls, text: str) -> "MockEvent":
        """Somebody tells the agent something."""
        return cls("message", text=text)

    @classmethod
    def paused(cls, reason: str | None = None) -> "MockEvent":
        """Somebody pauses the run."""
        return cls("paused", text=reason)

    @classmethod
    def resumed(cls, reason: str | None = None) -> "MockEvent":
        """Somebody lets it go on."""
        return cls("resumed", text=reason)

    @classmethod
    def cancelled(cls, reason: str | None = None) -> "MockEvent":
        """Somebody ends the run."""
        return cls("cancelled", text=reason)

    # What no run here comes to yet: `mock_run` refuses them by name

    @classmethod
    def handoff(cls, target: str) -> "MockEvent":
        """Another agent takes over. There are no handoffs yet: `mock_run` says so."""
        return cls("handoff", text=target)

    @classmethod
    def guardrail_pass(cls, name: str, content: str = "") -> "MockEvent":
        """A guardrail lets something pass. There are no guardrails yet: `mock_run` says so."""
        return cls("guardrail_pass", value=content, text=name)

    @classmethod
    def guardrail_fail(cls, name: str, content: str = "") -> "MockEvent":
        """A guardrail stops something. There are no guardrails yet: `mock_run` says so."""
        return cls("guardrail_fail", value=content, text=name)
