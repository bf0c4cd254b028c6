"""The execution that a mock run tells its facts to: the production core, with a clock that the script turns.

Apart from the player because this is all that knows the core. A fact is drafted as it stands and folded by `evolve`;
a decision goes through `decide`, which may refuse it.
"""

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any, Literal, TypeVar, cast

from pydantic import JsonValue

from agentspan.agents._agent import Agent
from agentspan.agents._events import view
from agentspan.agents._result import AgentResult, result_of
from agentspan.agents._serialise import Raised, Returned, serialise
from agentspan.agents.testing._script import Said, ScriptError
from agentspan.agents.testing._traceback import of_the_test
from agentspan_orchestrator.domain import (
    GRANT_S,
    Call,
    Draft,
    Execution,
    ModelStep,
    Outcome,
    decide,
    due_commands,
    read_output,
    schema_problem,
)
from agentspan_orchestrator.domain.turns import proceed
from agentspan_schemas import Failure, JsonObject
from agentspan_schemas import commands as c
from agentspan_schemas import events as e
from agentspan_schemas.canonical import content_hash
from agentspan_schemas.ids import approval_id_for, execution_id_for

__tracebackhide__ = of_the_test(ScriptError)

E = TypeVar("E", bound=e.Envelope)
C = TypeVar("C", bound=c.CommandBase)

BEGIN = datetime(2026, 1, 1, 9, 0, tzinfo=UTC)
"""When every mock run starts; each line of the script is a second later."""

AUTHOR, REVIEWER, WORKER, CHANNEL = "user:author", "user:reviewer", "mock", "mock"


class Run:
    """One execution of an agent: its state and its events so far."""

    def __init__(self, agent: Agent, prompt: str, metadata: dict[str, Any], *, timeout_s: float | None = None) -> None:
        self.agent = agent
        self.now = BEGIN
        self._definition = agent.definition
        self._commands = 0
        self._events: list[e.Event] = []
        self._state: Execution | None = None
        self._execution_id = execution_id_for("mock", agent.name)
        self._start(prompt, metadata, timeout_s)

    @property
    def state(self) -> Execution:
        """The execution so far."""
        if self._state is None:
            raise LookupError("the run has not started")
        return self._state

    @property
    def events(self) -> Sequence[e.Event]:
        """What has happened so far."""
        return self._events

    def result(self) -> AgentResult:
        """What came of it so far."""
        return result_of(map(view, self._events), self.agent)

    def tick(self, until: datetime | None = None) -> None:
        """Turn the clock: a second on, or to a moment."""
        self.now = until or self.now + timedelta(seconds=1)

    @property
    def open_tools(self) -> tuple[str, ...]:
        """The tools whose calls are not over."""
        return tuple(call.tool for call in self.state.calls if call.phase != "done")

    # Facts

    def ask(
        self, calls: Sequence[tuple[str, dict[str, Any]]], said: Said
    ) -> tuple[list[Call], list[e.Waiting | e.ToolResult]]:
        """The model asks for these calls: the calls, and the events that the core would add about them.

        While calls of the turn are open, the new ones join it.
        """
        s = self.state
        earlier = [(call.tool, call.args) for call in s.calls] if s.model_step is None else []
        asked = tuple(
            c.AskedCall(model_call_id=f"toolu_{s.totals.turns}_{index}", tool=tool, args=_object("args", args))
            for index, (tool, args) in enumerate([*earlier, *calls])
        )
        turn = s.totals.turns
        spoken = {"text": said.text, "blocks": said.blocks, "usage": said.usage}
        reply = self._command(c.ModelReply, turn=turn, attempt=1, model=self.agent.model, tool_calls=asked, **spoken)
        before = s if s.model_step else replace(s, calls=(), model_step=ModelStep(turn, 1, self.now))
        known = {call.call_id for call in s.calls}
        added: list[e.Waiting | e.ToolResult] = []
        for event in decide(before, reply, self.now, self._definition).events:
            match event:
                case e.ModelReplied() if s.model_step is not None:
                    self.keep(event)
                case e.ToolCall() if event.call_id not in known:
                    self.keep(event)
                case e.Waiting() | e.ToolResult() if event.call_id not in known:
                    added.append(event)
                case _:
                    pass
        return [call for call in self.state.calls if call.call_id not in known], added

    def keep(self, event: e.Event) -> None:
        """An event that the core would have added: it happens now."""
        envelope = {*e.Envelope.model_fields, "type"}
        self._fact(type(event), {n: getattr(event, n) for n in type(event).model_fields if n not in envelope})

    def wait(self, call: Call) -> None:
        """The call waits for a person."""
        tool = self._definition.tool(call.tool)
        expires_s = tool.approval_expires_s if tool else None
        fields = {
            "approval_id": approval_id_for(self._execution_id, call.call_id),
            "call_id": call.call_id,
            "tool": call.tool,
            "args": call.args,
            "args_hash": call.args_hash,
            "expires_at": self.now + timedelta(seconds=expires_s) if expires_s else None,
        }
        self._fact(e.Waiting, fields)

    def returned(self, call: Call, what: Any) -> None:
        """The call came back, with a value or a Failure; a `once` call is granted first."""
        if call.phase == "waiting":
            raise ScriptError(
                f"the call of {call.tool!r} waits for a person, so that its code cannot have run",
                f"put MockEvent.approved({call.tool!r}) before it, or give mock_run approvals=approve({call.tool!r})",
                field="name",
            )
        claim_id = call.grant.claim_id if call.grant else self.claim(call)
        error = what if isinstance(what, Failure) else None
        fields = {
            "call_id": call.call_id,
            "tool": call.tool,
            "ok": error is None,
            "value": _json("value", what) if error is None else None,
            "error": error,
            "attempt": call.attempt,
            "claim_id": claim_id,
            "worker": WORKER,
        }
        self._fact(e.ToolResult, fields)
        self.proceed()

    def fail(self, message: str) -> None:
        """The run fails."""
        self._fact(e.Failed, {"error": Failure(kind="mock", message=message)})

    def answer(self, value: Any, said: Said) -> None:
        """The run completes: with the model's text, read as the agent's output where it has one, or with a value."""
        text = value if isinstance(value, str) else json.dumps(_json("output", value))
        output: JsonValue = text if isinstance(value, str) else _json("output", value)
        problem = None
        if self._definition.output_schema is not None:
            if isinstance(value, str):
                output, problem = read_output(text, self._definition)
            else:
                problem = schema_problem(output, self._definition.output_schema)
        step = self.state.model_step
        if step is not None:
            reply = {"turn": step.turn, "attempt": step.attempt, "model": self.agent.model}
            self._fact(e.ModelReplied, {**reply, "text": text, "blocks": said.blocks, "usage": said.usage})
        self._fact(e.Done, {"output": output, "output_error": problem})

    # Commands

    def ask_core(self, kind: Callable[..., c.Command], **fields: Any) -> None:
        """Any command. Raises ScriptError when the core refuses it."""
        self._apply(kind(command_id=self._next_id(), execution_id=self._execution_id, **fields))

    def time_out(self) -> None:
        """The clock is turned to the run's deadline."""
        if self.state.deadline_at is None:
            raise ScriptError("the run has no deadline", "start it with one")
        self.tick(max(self.now, self.state.deadline_at))
        for timer in due_commands(self.state, self.now):
            if timer.timer_id == "deadline":
                self._apply(timer)

    def say(self, text: str) -> None:
        """Somebody tells the agent something."""
        self.ask_core(c.SendMessage, text=text, by=AUTHOR, channel=CHANNEL)

    def control(self, kind: type[c.Pause | c.Resume | c.Cancel], reason: str | None) -> None:
        """Somebody pauses the run, lets it go on, or ends it."""
        self.ask_core(kind, by=AUTHOR, channel=CHANNEL, reason=reason)

    def expire(self, call: Call) -> None:
        """The clock is turned to the moment at which the undecided call is rejected."""
        if call.expires_at is None:
            raise ScriptError(
                f"the call of {call.tool!r} waits for ever",
                f"give {call.tool!r} a time with @tool(approval_required=True, approval_expires_s=...)",
                field="tool",
            )
        self.tick(max(self.now, call.expires_at))
        for timer in due_commands(self.state, self.now):
            if timer.timer_id == f"expiry:{call.call_id}":
                self._apply(timer)

    def lose(self, call: Call) -> None:
        """The call's worker is gone: granted first, where the call runs under a grant."""
        if call.phase == "waiting":
            raise ScriptError(
                f"the call of {call.tool!r} waits for a person: no worker has it",
                f"put MockEvent.approved({call.tool!r}) before it",
                field="tool",
            )
        self.claim(call)
        self.tick(self.now + timedelta(seconds=GRANT_S))
        self.ask_core(c.ReportLost, step=call.call_id, attempt=call.attempt)

    def resolve(
        self, call: Call, outcome: Literal["succeeded", "failed", "not_run"], value: Any, reason: str | None
    ) -> None:
        """Somebody says what became of a call in doubt."""
        found = {"attempt": call.attempt, "outcome": outcome, "value": _json("value", value), "reason": reason}
        self.ask_core(c.Resolve, call_id=call.call_id, by=REVIEWER, channel=CHANNEL, **found)

    def decide(
        self, call: Call, decision: Literal["approve", "reject"], reason: str | None, args: Mapping[str, Any] | None
    ) -> None:
        """A reviewer decides the call."""
        command = self._command(
            c.Decide,
            call_id=call.call_id,
            decision=decision,
            args_hash=call.args_hash,
            edited_args=None if args is None else _object("args", args),
            reason=reason,
            by=REVIEWER,
            channel=CHANNEL,
        )
        self._apply(command)

    def claim(self, call: Call) -> str | None:
        """Grant an open `once` call; the claim's id."""
        if call.effects == "idempotent" or call.phase != "open":
            return None
        claim_id = self._next_id()
        self._apply(
            self._command(c.Claim, call_id=call.call_id, attempt=call.attempt, claim_id=claim_id, worker=WORKER)
        )
        return claim_id

    def ran(self, call: Call, claim_id: str | None, outcome: Returned | Raised) -> None:
        """The call's real code returned or raised: the core decides whether it is tried again."""
        command = self._command(
            c.ReturnResult,
            call_id=call.call_id,
            attempt=call.attempt,
            claim_id=claim_id,
            ok=isinstance(outcome, Returned),
            value=outcome.value if isinstance(outcome, Returned) else None,
            error=outcome.error if isinstance(outcome, Raised) else None,
            worker=WORKER,
        )
        self._apply(command)

    def proceed(self) -> None:
        """What the core does when a turn is over: it asks the model for the next one."""
        draft = self._draft()
        proceed(draft, self._definition)
        self._take(draft.state, draft.events)

    def _start(self, prompt: str, metadata: dict[str, Any], timeout_s: float | None) -> None:
        name, kept = self._definition.name, _object("metadata", metadata)
        start = self._command(
            c.Start,
            agent=name,
            agent_version=self._definition.version,
            prompt=prompt,
            requested_by=AUTHOR,
            source="mock",
            key=name,
            metadata=kept,
            timeout_s=timeout_s,
            content_hash=content_hash({"agent": name, "prompt": prompt, "metadata": kept}),
        )
        self._apply(start)

    def _apply(self, command: c.Command) -> None:
        outcome: Outcome = decide(self._state, command, self.now, self._definition)
        if outcome.answer.refusal is not None or outcome.state is None:
            refusal = outcome.answer.refusal
            raise _refused(refusal.code if refusal else "", refusal.message if refusal else "nothing came of it")
        self._take(outcome.state, outcome.events)

    def _fact(self, kind: type[E], fields: dict[str, Any]) -> None:
        draft = self._draft()
        draft.emit(kind, **fields)
        self._take(draft.state, draft.events)

    def _draft(self) -> Draft:
        # a fact follows from no command; the draft wants one for its ids
        command = self._command(c.SendMessage, text="", by=AUTHOR, channel=CHANNEL)
        return Draft(self.state, command, self.now)

    def _take(self, state: Execution, events: Sequence[e.Event]) -> None:
        self._state = state
        self._events.extend(events)

    def _command(self, kind: type[C], **fields: Any) -> C:
        return kind(command_id=self._next_id(), execution_id=self._execution_id, **fields)

    def _next_id(self) -> str:
        self._commands += 1
        return f"mock-{self._commands}"


def _json(field: str, value: Any) -> JsonValue:
    match serialise("this", value):
        case Returned(value=plain):
            return plain
        case Raised():
            raise ScriptError(
                f"{value!r:.80} has no JSON form, or a form of more than 256 KiB",
                "give text, numbers, booleans, None, lists, mappings, dataclasses or pydantic models",
                field=field,
            )


def _object(field: str, given: Mapping[str, Any]) -> JsonObject:
    """As it would be sent: a date as its text."""
    return cast(JsonObject, _json(field, dict(given)))


def _refused(code: str, message: str) -> ScriptError:
    """The core's refusal of a command, as an error of the line that led to it."""
    match code:
        case "invalid_args":
            return ScriptError(message, "give args that fit the tool's schema, all of them", field="args")
        case "paused":
            return ScriptError(message, "put MockEvent.resumed() before it")
        case "not_in_doubt":
            return ScriptError(message, "put MockEvent.lost('...') of that tool before it", field="tool")
        case _:
            return ScriptError(message, "take the line out, or put what makes it possible before it")
