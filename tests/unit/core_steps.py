"""The words of the given-when-then tables: each is one command, said as a person would tell it.

A step reads the run's state for what a well-behaved sender would know (turn, attempt, args hash), and takes as an
option whatever a late, lost or hostile one would send instead.
"""

from collections.abc import Callable
from dataclasses import replace
from typing import Any, Literal

from agentspan_orchestrator.domain import Outcome, due_commands
from agentspan_schemas import Failure, Usage
from agentspan_schemas import commands as c
from agentspan_schemas.agents import AgentDefinition
from agentspan_schemas.canonical import content_hash
from agentspan_schemas.events import TERMINAL
from tests.unit.core_agents import ARGS, SUPPORT
from tests.unit.core_run import EXECUTION, Run

Step = Callable[[Run], Outcome]
Asked = str | tuple[str, dict[str, Any]] | c.AskedCall

BROKEN = Failure(kind="broken", message="it broke")
OVERLOADED = Failure(kind="overloaded", message="try later")


def given(*steps: Step, agent: AgentDefinition = SUPPORT, start: Step | None = None) -> Run:
    """A started run after these steps."""
    run = Run(agent)
    for step in (start or started(), *steps):
        step(run)
    return run


def started(prompt: str = "Help.", *, timeout_s: float | None = None, command_id: str = "start") -> Step:
    def step(run: Run) -> Outcome:
        return run.give(
            c.Start(
                command_id=command_id,
                execution_id=EXECUTION,
                agent=run.agent.name,
                agent_version=run.agent.version,
                prompt=prompt,
                requested_by="user:ann",
                source="tests",
                key="ticket-1",
                metadata={"tier": "gold"},
                content_hash=content_hash([run.agent.name, prompt]),
                timeout_s=timeout_s,
            )
        )

    return step


def replies(
    text: str = "", *asked: Asked, turn: int | None = None, attempt: int | None = None, command_id: str | None = None
) -> Step:
    """The model answers with text, or asks for calls: a tool's name, or its name and args."""

    def step(run: Run) -> Outcome:
        now_turn, now_attempt = _model_step(run)
        return run.give(
            c.ModelReply(
                command_id=command_id or run.command_id(),
                execution_id=EXECUTION,
                turn=turn or now_turn,
                attempt=attempt or now_attempt,
                model=run.agent.model,
                text=text,
                tool_calls=tuple(_asked(index, call) for index, call in enumerate(asked)),
                stop_reason="tool_use" if asked else "end_turn",
                usage=Usage(input_tokens=100, output_tokens=10),
                worker="model-lane",
                duration_ms=250.0,
            )
        )

    return step


def asks(*asked: Asked) -> Step:
    """The model asks for calls and says nothing."""
    return replies("", *asked)


def model_fails(
    *,
    kind: str = OVERLOADED.kind,
    retryable: bool = True,
    retry_after_s: float | None = None,
    attempt: int | None = None,
    turn: int | None = None,
) -> Step:
    def step(run: Run) -> Outcome:
        now_turn, now_attempt = _model_step(run)
        return run.give(
            c.ModelFailed(
                command_id=run.command_id(),
                execution_id=EXECUTION,
                turn=turn or now_turn,
                attempt=attempt or now_attempt,
                error=OVERLOADED.model_copy(update={"kind": kind}),
                retryable=retryable,
                retry_after_s=retry_after_s,
                worker="model-lane",
            )
        )

    return step


def is_lost(step_name: str, *, attempt: int | None = None, claim_id: str | None = None, timeout: bool = False) -> Step:
    """Nobody holds the step any more; `model` is the open model call."""

    def step(run: Run) -> Outcome:
        now_turn, now_attempt = _model_step(run)
        name = f"model-{now_turn}" if step_name == "model" else step_name
        return run.give(
            c.ReportLost(
                command_id=run.command_id(),
                execution_id=EXECUTION,
                step=name,
                attempt=attempt or (now_attempt if step_name == "model" else _attempt(run, step_name)),
                claim_id=claim_id,
                reason="timeout" if timeout else "lost",
            )
        )

    return step


def approves(
    call_id: str,
    *,
    edited: dict[str, Any] | None = None,
    by: str = "user:bob",
    seen: str | None = None,
    policy: str | None = None,
    command_id: str | None = None,
) -> Step:
    return _decides("approve", call_id, None, by, seen, edited, policy, command_id)


def rejects(call_id: str, reason: str | None = None, *, by: str = "user:bob", seen: str | None = None) -> Step:
    return _decides("reject", call_id, reason, by, seen, None, None, None)


def _decides(
    decision: Literal["approve", "reject"],
    call_id: str,
    reason: str | None,
    by: str,
    seen: str | None,
    edited: dict[str, Any] | None,
    policy: str | None,
    command_id: str | None,
) -> Step:
    def step(run: Run) -> Outcome:
        call = run.living.call(call_id)
        return run.give(
            c.Decide(
                command_id=command_id or run.command_id(),
                execution_id=EXECUTION,
                call_id=call_id,
                decision=decision,
                args_hash=seen or (call.args_hash if call else "0" * 64),
                by=by,
                channel="ui",
                reason=reason,
                edited_args=edited,
                policy=policy,
            )
        )

    return step


def claims(call_id: str, claim_id: str = "claim-1", *, attempt: int | None = None) -> Step:
    def step(run: Run) -> Outcome:
        return run.give(
            c.Claim(
                command_id=claim_id,
                execution_id=EXECUTION,
                call_id=call_id,
                attempt=attempt or _attempt(run, call_id),
                claim_id=claim_id,
                worker="ann@shop/1",
            )
        )

    return step


def declines(call_id: str, claim_id: str = "claim-1", *, attempt: int | None = None) -> Step:
    def step(run: Run) -> Outcome:
        return run.give(
            c.Decline(
                command_id=run.command_id(),
                execution_id=EXECUTION,
                call_id=call_id,
                attempt=attempt or _attempt(run, call_id),
                claim_id=claim_id,
                worker="ann@shop/1",
            )
        )

    return step


def returns(
    call_id: str,
    value: Any = "ok",
    *,
    claim_id: str | None = None,
    attempt: int | None = None,
    command_id: str | None = None,
) -> Step:
    return _returns(call_id, True, value, None, claim_id, attempt, command_id)


def raises(call_id: str, *, claim_id: str | None = None, attempt: int | None = None) -> Step:
    return _returns(call_id, False, None, BROKEN, claim_id, attempt, None)


def _returns(
    call_id: str,
    ok: bool,
    value: Any,
    error: Failure | None,
    claim_id: str | None,
    attempt: int | None,
    command_id: str | None,
) -> Step:
    def step(run: Run) -> Outcome:
        return run.give(
            c.ReturnResult(
                command_id=command_id or run.command_id(),
                execution_id=EXECUTION,
                call_id=call_id,
                attempt=attempt or _attempt(run, call_id),
                claim_id=claim_id,
                ok=ok,
                value=value,
                error=error,
                worker="ann@shop/1",
                began_at=run.now,
                duration_ms=12.0,
            )
        )

    return step


def resolves(
    call_id: str,
    outcome: Literal["succeeded", "failed", "not_run"],
    *,
    attempt: int | None = None,
    value: Any = None,
    reason: str | None = None,
    by: str = "user:eve",
) -> Step:
    def step(run: Run) -> Outcome:
        return run.give(
            c.Resolve(
                command_id=run.command_id(),
                execution_id=EXECUTION,
                call_id=call_id,
                attempt=attempt or _attempt(run, call_id),
                outcome=outcome,
                value=value,
                by=by,
                channel="ui",
                reason=reason,
            )
        )

    return step


def says(text: str) -> Step:
    """Somebody tells the agent something."""
    return lambda run: run.give(
        c.SendMessage(command_id=run.command_id(), execution_id=EXECUTION, text=text, by="user:ann", channel="http")
    )


def pauses() -> Step:
    return lambda run: run.give(
        c.Pause(command_id=run.command_id(), execution_id=EXECUTION, by="user:bob", channel="ui")
    )


def resumes() -> Step:
    return lambda run: run.give(
        c.Resume(command_id=run.command_id(), execution_id=EXECUTION, by="user:bob", channel="ui")
    )


def cancels(reason: str | None = None) -> Step:
    return lambda run: run.give(
        c.Cancel(command_id=run.command_id(), execution_id=EXECUTION, by="user:bob", channel="ui", reason=reason)
    )


def after(seconds: float) -> Step:
    """Time passes, and the owner fires what is due."""

    def step(run: Run) -> Outcome:
        run.pass_time(seconds)
        outcome = replace(run.last, events=(), note=None)
        for command in due_commands(run.living, run.now):
            outcome = run.give(command)
        return outcome

    return step


def fires(timer_id: str) -> Step:
    """The owner, or somebody who plays it, fires a timer now."""
    return lambda run: run.give(
        c.FireTimer(command_id=run.command_id(), execution_id=EXECUTION, timer_id=timer_id, due=run.now)
    )


def again() -> Step:
    """The last command arrives once more."""
    return lambda run: run.give(run.log[-1].command)


def is_over(run: Run) -> bool:
    """Whether the run has ended."""
    return run.living.status in TERMINAL


def _asked(index: int, asked: Asked) -> c.AskedCall:
    match asked:
        case c.AskedCall():
            return asked
        case str():
            return c.AskedCall(model_call_id=f"toolu_{index}", tool=asked, args=ARGS.get(asked, {}))
        case (tool, args):
            return c.AskedCall(model_call_id=f"toolu_{index}", tool=tool, args=args)


def _model_step(run: Run) -> tuple[int, int]:
    step = run.living.model_step if run.state else None
    return (step.turn, step.attempt) if step else (run.living.totals.turns, 1)


def _attempt(run: Run, call_id: str) -> int:
    call = run.living.call(call_id)
    return call.attempt if call else 1
