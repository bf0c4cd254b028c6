"""`mock_run`: a script's lines are facts which the production core folds; its `decide` adds only what they leave out.

Apart from the script because this is where a line becomes events; `_run` is the execution that it is told to.
"""

from collections.abc import Mapping, Sequence
from itertools import takewhile
from typing import Any, Literal

from agentspan.agents._agent import Agent
from agentspan.agents._result import AgentResult
from agentspan.agents.testing._real_tools import run_real_tools
from agentspan.agents.testing._run import Run
from agentspan.agents.testing._script import Bindings, Bound, MockEvent, ScriptError, about_a_call
from agentspan_orchestrator.domain import Call
from agentspan_schemas import Failure
from agentspan_schemas import events as e


def mock_run(
    agent: Agent,
    prompt: str,
    events: Sequence[MockEvent],
    *,
    tools: Literal["stub", "real"] = "stub",
    metadata: Mapping[str, Any] | None = None,
) -> AgentResult:
    """Play a script, and return what production would have made of it: no server, no model, a fixed clock.

    Args:
        events: What happens, in order. Scripted results pair with the oldest open call of that name.
        tools: `stub`: no tool's code runs. `real`: each call without a scripted result runs its code, a gated one only
            after a scripted approval.
        metadata: What the run is started with.

    Raises ScriptError for a line that no run could come to, such as the result of a call that nobody made.
    """
    player = _Player(Run(agent, prompt, dict(metadata or {})), real=tools == "real")
    player.play(list(events))
    return player.run.result()


class _Player:
    """Tells a run the script's lines, one after the other."""

    def __init__(self, run: Run, *, real: bool) -> None:
        self.run = run
        self._real = real
        self._bindings = Bindings()

    def play(self, script: list[MockEvent]) -> None:
        """All lines, and after each what follows from it."""
        index = 0
        while index < len(script):
            self.run.tick()
            if self.run.state.terminal:
                raise ScriptError(f"{_name(index, script[index])}: the run is {self.run.state.status} already")
            asked = list(takewhile(lambda line: line.kind == "tool_call", script[index:]))
            index += len(asked) or 1
            if asked:
                self._calls(asked, script[index:])
            else:
                self._line(index - 1, script[index - 1])
            if self._real:
                run_real_tools(self.run, self._bindings.spoken_for(script[index:]))

    def _calls(self, lines: list[MockEvent], rest: list[MockEvent]) -> None:
        """The model asks for these calls. What the core would add about one gives way to the script's line on it."""
        calls, added = self.run.ask([(line.tool or "", line.value) for line in lines])
        for call in calls:
            self._bindings.add(Bound(call.call_id, call.tool, gated=call.approval_required))
        spoken = self._bindings.spoken_for(rest)
        for event in added:
            line = spoken.get(event.call_id)
            if line is None or line.kind in ("approved", "rejected"):
                self.run.keep(event)
                self._bindings.happened(event.call_id, closed=isinstance(event, e.ToolResult))
        self.run.proceed()

    def _line(self, index: int, line: MockEvent) -> None:
        try:
            bound = self._bindings.bind(line)
            call = self.run.state.call(bound.call_id) if bound else None
            if call is not None:
                self._about(call, line)
            elif about_a_call(line):
                raise ScriptError(f"there is no call that it can be about; open now: {self.run.open_tools()}")
            else:
                self._about_run(line)
        except ScriptError as error:
            raise ScriptError(f"{_name(index, line)}: {error}") from None

    def _about(self, call: Call, line: MockEvent) -> None:
        match line.kind:
            case "waiting":
                self.run.wait(call)
            case "approved":
                self.run.decide(call, "approve", line.text, line.value)
            case "rejected":
                self.run.decide(call, "reject", line.text, None)
            case "tool_error":
                self.run.returned(call, Failure(kind="exception", message=line.text or ""))
            case _:
                self.run.returned(call, line.value)

    def _about_run(self, line: MockEvent) -> None:
        match line.kind:
            case "message":
                self.run.say(line.text or "")
            case "failed":
                self.run.fail(line.text or "")
            case _:
                self.run.answer(line.value)


def _name(index: int, line: MockEvent) -> str:
    return f"line {index + 1} of the script, {line.kind}({line.tool or line.text or ''})"
