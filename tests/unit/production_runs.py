"""Runs of one agent as a server decides them, by commands and a clock: what its model, its tools and people can come
to.

Apart from the tests of recordings, which hold each of them to be decided the same way anew.
"""

from datetime import UTC, datetime, timedelta
from typing import Any

from agentspan.agents import Agent, ToolContext, tool
from agentspan.agents._events import view
from agentspan.agents._result import AgentResult, result_of
from agentspan_orchestrator.domain import GRANT_S, Execution, decide, due_commands
from agentspan_schemas import Failure
from agentspan_schemas import commands as c
from agentspan_schemas import events as e


@tool
def look_up(email: str, api_key: str = "") -> dict[str, str]:
    """Find a customer."""
    return {"id": "c1", "session_token": "abc", "email": email}


@tool(approval_required=True, approval_expires_s=60)
def refund(amount_usd: float) -> str:
    """Pay back."""
    return f"paid {amount_usd:g}"


@tool(retries=3)
def flaky(times: int, ctx: ToolContext) -> str:
    """Fail at first."""
    if ctx.attempt <= times:
        raise RuntimeError(f"attempt {ctx.attempt}")
    return "there"


AGENT = Agent("support", "anthropic/claude-sonnet-4-6", "Be kind.", tools=[look_up, refund, flaky])


class Production:
    """A run as a server decides it: by commands, with a clock that runs on."""

    def __init__(self, timeout_s: float | None = None) -> None:
        self.state: Execution | None = None
        self.now = datetime(2026, 3, 1, tzinfo=UTC)
        self.events: list[e.Event] = []
        self.sent = 0
        start: dict[str, Any] = {"requested_by": "user:ada", "source": "http", "key": "k", "content_hash": "h"}
        version = AGENT.definition.version
        self.send(c.Start, agent="support", agent_version=version, prompt="hi", timeout_s=timeout_s, **start)

    def send(self, kind: Any, after_s: float = 1.0, **fields: Any) -> None:
        self.sent += 1
        self.now += timedelta(seconds=after_s)
        self._take(kind(command_id=f"c{self.sent}", execution_id="exec-1", **fields))

    def wait(self, seconds: float) -> None:
        self.now += timedelta(seconds=seconds)
        assert self.state is not None
        for timer in due_commands(self.state, self.now):
            self._take(timer)

    def reply(self, *calls: c.AskedCall, text: str = "") -> None:
        assert self.state is not None
        assert self.state.model_step is not None
        step = self.state.model_step
        self.send(c.ModelReply, turn=step.turn, attempt=step.attempt, model=AGENT.model, tool_calls=calls, text=text)

    def decided(self, decision: str, by: str = "user:ada", **more: Any) -> None:
        assert self.state is not None
        call = self.state.calls[0]
        fields = {"call_id": call.call_id, "args_hash": call.args_hash, "by": by, "channel": "ui", **more}
        self.send(c.Decide, decision=decision, **fields)

    def result(self) -> AgentResult:
        return result_of(map(view, self.events), AGENT)

    def _take(self, command: Any) -> None:
        outcome = decide(self.state, command, self.now, AGENT.definition)
        assert outcome.answer.refusal is None, outcome.answer
        self.state = outcome.state
        self.events.extend(outcome.events)


REFUND = c.AskedCall(model_call_id="m1", tool="refund", args={"amount_usd": 9.0})
LOOK_UP = c.AskedCall(model_call_id="m1", tool="look_up", args={"email": "a@b"})


def once_claimed(run: Production, attempt: int = 1) -> None:
    run.send(c.Claim, call_id="1-0", attempt=attempt, claim_id=f"claim-{attempt}", worker="w")


def in_doubt() -> Production:
    run = Production()
    run.reply(REFUND)
    run.decided("approve", reason="fine")
    once_claimed(run)
    run.send(c.ReportLost, after_s=GRANT_S + 1, step="1-0", attempt=1)
    return run


def resolved(outcome: str, **more: Any) -> Production:
    run = in_doubt()
    run.send(
        c.Resolve, call_id="1-0", attempt=1, outcome=outcome, by="user:ada", channel="ui", reason="I looked", **more
    )
    return run


def failed_model(*, retryable: bool) -> Production:
    run = Production()
    error = Failure(kind="overloaded", message="later")
    run.send(c.ModelFailed, turn=1, attempt=1, error=error, retryable=retryable)
    return run


def retried_model() -> Production:
    run = failed_model(retryable=True)
    run.wait(60)
    run.reply(text="at last")
    return run


def lost_model() -> Production:
    run = Production()
    run.send(c.ReportLost, step="model-1", attempt=1)
    run.reply(text="ok")
    return run


def expired() -> Production:
    run = Production()
    run.reply(REFUND)
    run.wait(61)
    run.reply(text="nobody answered")
    return run


def declined() -> Production:
    run = Production()
    run.reply(REFUND)
    run.decided("approve", by="policy:small")
    once_claimed(run)
    run.send(c.Decline, call_id="1-0", attempt=1, claim_id="claim-1", worker="w")
    once_claimed(run, attempt=2)
    run.send(c.ReturnResult, call_id="1-0", attempt=2, claim_id="claim-2", ok=True, value="paid")
    run.reply(text="ok")
    return run


def lost_tool(times: int) -> Production:
    run = Production()
    run.reply(LOOK_UP)
    for attempt in range(1, times + 1):
        run.send(c.ReportLost, step="1-0", attempt=attempt, reason="timeout")
    return run


def failed_tool() -> Production:
    run = Production()
    run.reply(LOOK_UP)
    run.send(c.ReturnResult, call_id="1-0", attempt=1, ok=False, error=Failure(kind="exception", message="no such"))
    run.reply(text="there is none")
    return run


def unreadable_args() -> Production:
    run = Production()
    run.reply(c.AskedCall(model_call_id="m1", tool="look_up", args={}, args_error="line 1: no JSON"))
    run.reply(text="ok")
    return run


def unknown_tool() -> Production:
    run = Production()
    run.reply(c.AskedCall(model_call_id="m1", tool="fly", args={}))
    run.reply(text="ok")
    return run


def cancelled_while_granted() -> Production:
    run = Production()
    run.reply(REFUND)
    run.decided("approve")
    once_claimed(run)
    run.send(c.Cancel, by="user:ada", channel="ui", reason="enough")
    run.send(c.ReturnResult, call_id="1-0", attempt=1, claim_id="claim-1", ok=True, value="paid")
    return run


def paused_and_resumed() -> Production:
    run = Production()
    run.send(c.Pause, by="user:ada", channel="ui", reason="lunch")
    run.send(c.Resume, by="user:ada", channel="ui")
    run.send(c.SendMessage, text="go on", by="user:ada", channel="ui")
    run.reply(text="ok")
    run.reply(text="went on")
    return run


def timed_out(*, granted: bool) -> Production:
    run = Production(timeout_s=600)
    run.reply(REFUND)
    if granted:
        run.decided("approve")
        once_claimed(run)
    else:
        run.decided("reject", reason="no")
    run.wait(601)
    return run
