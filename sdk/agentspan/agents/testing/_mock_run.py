"""`mock_run`: a script's lines are facts which the production core folds; its `decide` adds only what they leave out.

Apart from the script because this is where a line becomes events; `_run` is the execution that it is told to.
"""

import difflib
from collections.abc import Mapping, Sequence
from itertools import takewhile
from typing import Any, Literal

from agentspan.agents._absent import takes
from agentspan.agents._agent import Agent
from agentspan.agents._errors import ConfigurationError
from agentspan.agents._result import AgentResult
from agentspan.agents.testing._approvals import Approvals, PendingCall, Reviewer
from agentspan.agents.testing._bindings import Bindings, Bound
from agentspan.agents.testing._check_script import checked
from agentspan.agents.testing._real_tools import run_real_tools
from agentspan.agents.testing._run import Run
from agentspan.agents.testing._script import (
    ABOUT_CALLS,
    DECIDED_BY_LINE,
    NOTHING_SAID,
    OF_THE_REPLY,
    MockEvent,
    ScriptError,
)
from agentspan.agents.testing._traceback import of_the_test
from agentspan_orchestrator.domain import Call
from agentspan_schemas import Failure
from agentspan_schemas import commands as c
from agentspan_schemas import events as e

__tracebackhide__ = of_the_test(ScriptError)


@takes("mock_run()")
def mock_run(
    agent: Agent,
    prompt: str,
    events: Sequence[MockEvent],
    *,
    tools: Literal["stub", "real"] = "stub",
    approvals: Approvals | None = None,
    metadata: Mapping[str, Any] | None = None,
) -> AgentResult:
    """Play a script, and return what production would have made of it: no server, no model, a fixed clock.

    Args:
        events: What happens, in order. Scripted results pair with the oldest open call of that name.
        tools: `stub`: no tool's code runs. `real`: each call without a scripted result runs its code, a gated one only
            after an approval.
        approvals: Who decides the waiting calls that the script's turn says nothing of: `approve(...)`, `reject(...)`,
            a list of them (the first that covers a call counts), or a function of the `PendingCall`.
        metadata: What the run is started with.

    Raises ScriptError for a line that no run could come to, such as the result of a call that nobody made.

    >>> from agentspan.agents import Agent, tool
    >>> from agentspan.agents.testing import MockEvent, expect, mock_run, reject
    >>> @tool(approval_required=True)
    ... def refund(amount_usd: float) -> str:
    ...     "Pay back."
    ...     raise AssertionError("no tool's code runs in a mock run")
    >>> script = [MockEvent.tool_call("refund", {"amount_usd": 99.0}), MockEvent.done("I asked a colleague.")]
    >>> result = mock_run(Agent("support", "replay/x", tools=[refund]), "Refund me", script,
    ...                   approvals=reject("refund", reason="too much"))
    >>> _ = expect(result).completed().rejected("refund", reason="too much").not_executed("refund")
    """
    _check_arguments(agent, prompt, tools, metadata)
    player = _Player(Run(agent, prompt, dict(metadata or {})), Reviewer(approvals), real=tools == "real")
    player.play(checked(events))
    return player.run.result()


class _Player:
    """Tells a run the script's lines, one after the other."""

    def __init__(self, run: Run, reviewer: Reviewer, *, real: bool) -> None:
        self.run = run
        self._reviewer = reviewer
        self._real = real
        self._bindings = Bindings()
        self._said = NOTHING_SAID

    def play(self, script: list[MockEvent]) -> None:
        """All lines, and after each what follows from it."""
        index = 0
        while index < len(script):
            asked = list(takewhile(lambda line: line.kind == "tool_call", script[index:]))
            after = index + (len(asked) or 1)
            try:
                self._step(asked or [script[index]], script[after:])
            except ScriptError as error:
                raise (error if error.index is not None else error.at(index, script[index].label)) from None
            index = after
        if self._said != NOTHING_SAID:
            problem = ScriptError("the reply that it is a part of never comes", "put a tool_call or a done after it")
            raise problem.at(len(script) - 1, script[-1].label)

    def _step(self, lines: list[MockEvent], rest: list[MockEvent]) -> None:
        line = lines[0]
        self.run.tick()
        if self.run.state.terminal:
            raise ScriptError(f"the run is {self.run.state.status} already", "take the line out: nothing comes after")
        if line.kind in OF_THE_REPLY:
            self._part_of_reply(line)
            return
        if line.kind == "tool_call":
            self._calls(lines, rest)
        else:
            self._line(line)
        self._review(rest)
        if self._real:
            run_real_tools(self.run, self._bindings.spoken_for(rest))

    def _part_of_reply(self, line: MockEvent) -> None:
        if self.run.state.model_step is None:
            waits_for = ", ".join(self.run.open_tools) or "somebody to resume it"
            raise ScriptError(
                f"the model is not asked now: the run waits for {waits_for}", "put the line where the model replies"
            )
        self._said = self._said.then(line)

    def _calls(self, lines: list[MockEvent], rest: list[MockEvent]) -> None:
        """The model asks for these calls. What the core would add about one gives way to the script's line on it."""
        said, self._said = self._said, NOTHING_SAID
        calls, added = self.run.ask([(line.tool or "", dict(line.args)) for line in lines], said)
        for call in calls:
            self._bindings.add(Bound(call.call_id, call.tool, call.args, gated=call.approval_required))
        spoken = self._bindings.spoken_for(rest)
        for event in added:
            line = spoken.get(event.call_id)
            match event:
                case e.Waiting() if line is None or line.kind != "waiting":
                    self.run.keep(event)
                    self._bindings.happened(event.call_id)
                case e.ToolResult() if line is None:
                    self.run.keep(event)
                    self._bindings.happened(event.call_id, closed=True)
                case _:
                    pass
        self.run.proceed()

    def _review(self, rest: list[MockEvent]) -> None:
        """Whoever was given decides the calls whose decision the script's turn does not state."""
        spoken = self._bindings.spoken_for(rest)
        for call in self.run.state.calls:
            line = spoken.get(call.call_id)
            if call.phase != "waiting" or (line is not None and line.kind in DECIDED_BY_LINE):
                continue
            verdict = self._reviewer.verdict(PendingCall(call.tool, dict(call.args), call.call_id))
            if verdict is not None:
                self.run.decide(call, verdict.decision, verdict.reason, verdict.edit)
                self._bindings.happened(call.call_id, decided=True, closed=verdict.decision == "reject")

    def _line(self, line: MockEvent) -> None:
        bound = self._bindings.bind(line)
        call = self.run.state.call(bound.call_id) if bound else None
        if call is not None:
            self._about(call, line)
        elif line.kind in ABOUT_CALLS:
            raise self._no_call(line)
        else:
            self._about_run(line)

    def _about(self, call: Call, line: MockEvent) -> None:
        match line.kind:
            case "waiting":
                self.run.wait(call)
            case "approved":
                self.run.decide(call, "approve", line.text, line.args)
            case "rejected":
                self.run.decide(call, "reject", line.text, None)
            case "expired":
                self.run.expire(call)
            case "lost":
                self.run.lose(call)
            case "resolved":
                self.run.resolve(call, line.outcome, line.value, line.text)
            case "tool_error":
                self.run.returned(call, Failure(kind="exception", message=line.text or ""))
            case _:
                self.run.returned(call, line.value)

    def _about_run(self, line: MockEvent) -> None:
        match line.kind:
            case "message":
                self.run.say(line.text or "")
            case "paused":
                self.run.control(c.Pause, line.text)
            case "resumed":
                self.run.control(c.Resume, line.text)
            case "cancelled":
                self.run.control(c.Cancel, line.text)
            case "failed":
                self.run.fail(line.text or "")
            case _:
                said, self._said = self._said, NOTHING_SAID
                self.run.answer(line.value, said)

    def _no_call(self, line: MockEvent) -> ScriptError:
        """Why the line is about nothing, and what would give it something to be about."""
        tools = self.run.open_tools
        open_now = f"open now: {', '.join(repr(tool) for tool in tools) or 'none'}"
        field = "name" if line.kind in ("tool_result", "tool_error") else "tool"
        if line.tool is not None and line.tool not in tools:
            if any(call.tool == line.tool for call in self.run.state.calls):
                hint = "take the line out, or put another tool_call before it"
                return ScriptError(f"the call of {line.tool!r} is over already", hint, field=field)
            close = difflib.get_close_matches(line.tool, tools, n=1)
            hint = f"write {close[0]!r}" if close else f"put MockEvent.tool_call({line.tool!r}, {{...}}) before it"
            return ScriptError(f"no call of {line.tool!r} is open ({open_now})", hint, field=field)
        if line.where is not None:
            return ScriptError(
                f"no open call has such args ({open_now})", "give `where` some args of a call before it", field="where"
            )
        gated = [call for call in self.run.state.calls if call.approval_required and line.tool in (None, call.tool)]
        if gated:
            return ScriptError(
                f"the call of {gated[0].tool!r} waits or was decided already", "say it once for each call", field=field
            )
        return ScriptError(
            f"no open call waits for a decision ({open_now})",
            "put the call of a tool with approval_required=True before it",
            field=field,
        )


def _check_arguments(agent: object, prompt: object, tools: object, metadata: object) -> None:
    if not isinstance(agent, Agent):
        raise ConfigurationError(
            f"mock_run: agent is {agent!r}, not an Agent; write mock_run(my_agent, 'prompt', [...])"
        )
    if not isinstance(prompt, str):
        raise ConfigurationError(f"mock_run: prompt is {prompt!r}, not text; the order is (agent, prompt, events)")
    if tools not in ("stub", "real"):
        raise ConfigurationError(f"mock_run: tools={tools!r}; write tools='stub' (no code runs) or tools='real'")
    if metadata is not None and not isinstance(metadata, Mapping):
        raise ConfigurationError(
            f"mock_run: metadata is {metadata!r}, not a mapping; write metadata={{'ticket': 't1'}}"
        )
