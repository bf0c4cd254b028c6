"""What can be got wrong with a script and with `mock_run`, and the exact words that each mistake gets.

Apart from the other mistakes with the testing kit because a script's are most of them.
"""

from collections.abc import Callable
from typing import Any

from agentspan.agents import Agent, ConfigurationError, tool
from agentspan.agents.testing import MockEvent, ScriptError, approve, mock_run

Misuse = tuple[Callable[[], Any], type[Exception], str]
"""What is done, and the error that it gets with all of its words."""


@tool
def look_up(email: str) -> str:
    """Find a customer."""
    raise AssertionError(email)


@tool(approval_required=True)
def refund(amount_usd: float) -> str:
    """Pay back."""
    raise AssertionError(amount_usd)


AGENT = Agent("support", "anthropic/claude-sonnet-4-6", tools=[look_up, refund])
M: Any = MockEvent
CALL = M.tool_call("look_up", {"email": "a@b"})
GATED = M.tool_call("refund", {"amount_usd": 9.0})


def play(*lines: Any, **options: Any) -> Any:
    return mock_run(AGENT, "hi", list(lines), **options)


OK = play(M.done("ok"))

# a type checker would find them, too
mock_run_: Any = mock_run

SCRIPTS: list[Misuse] = [
    (
        lambda: M.tool_call("look_up", email="a@b"),
        TypeError,
        "MockEvent.tool_call() has no option 'email'; the call's arguments are one mapping: "
        "tool_call('refund', {'amount': 9})",
    ),
    (
        lambda: M.tool_call("look_up", agrs={"email": "a@b"}),
        TypeError,
        "MockEvent.tool_call() has no option 'agrs'; did you mean 'args'?",
    ),
    (
        lambda: play(M.tool_result("look_up", 1)),
        ScriptError,
        "events[0] tool_result('look_up'), field 'name': no call of 'look_up' is open (open now: none). "
        "Next: put MockEvent.tool_call('look_up', {...}) before it.",
    ),
    (
        lambda: play(CALL, M.tool_result("lookup", 1)),
        ScriptError,
        "events[1] tool_result('lookup'), field 'name': no call of 'lookup' is open (open now: "
        "'look_up'). Next: write 'look_up'.",
    ),
    (
        lambda: play(CALL, M.tool_error("look_up", "")),
        ScriptError,
        "events[1] tool_error, field 'message': '' says nothing. Next: write the words as text.",
    ),
    (
        lambda: play(M.tool_call("", {})),
        ScriptError,
        "events[0] tool_call, field 'name': '' is no tool's name. Next: write the name as text, as in 'refund'.",
    ),
    (
        lambda: play(M.tool_call(look_up, {})),
        ScriptError,
        "events[0] tool_call, field 'name': <tool 'look_up'> is the tool itself, not its name. Next: write 'look_up'.",
    ),
    (
        lambda: play(M.tool_call("look_up", "a@b")),
        ScriptError,
        "events[0] tool_call, field 'args': 'a@b' are no args. Next: write a mapping of names to values, "
        "as in {'amount_usd': 10}.",
    ),
    (
        lambda: play(M.tool_call("look_up", {1: 2})),
        ScriptError,
        "events[0] tool_call, field 'args': 1 is no parameter's name. Next: write the names as text.",
    ),
    (
        lambda: play(M.tool_call("look_up", {"email": object})),
        ScriptError,
        "events[0] tool_call, field 'args': {'email': <class 'object'>} has no JSON form, and a model "
        "sends only JSON. Next: give what the model would send: text, numbers, true and false, null, "
        "lists and mappings.",
    ),
    (
        lambda: play(CALL, M.approved()),
        ScriptError,
        "events[1] approved, field 'tool': no open call waits for a decision (open now: 'look_up'). Next:"
        " put the call of a tool with approval_required=True before it.",
    ),
    (
        lambda: play(CALL, M.waiting("for ada"), M.done("ok")),
        ScriptError,
        "events[1] waiting, field 'tool': no open call waits for a decision (open now: 'look_up'). Next: put "
        "the call of a tool with approval_required=True before it.",
    ),
    (
        lambda: play(M.waiting("for ada")),
        ScriptError,
        "events[0] waiting, field 'tool': no open call waits for a decision (open now: none). Next: put "
        "the call of a tool with approval_required=True before it.",
    ),
    (
        lambda: play(GATED, M.approved("refund"), M.approved("refund")),
        ScriptError,
        "events[2] approved('refund'), field 'tool': the call of 'refund' waits or was decided already. "
        "Next: say it once for each call.",
    ),
    (
        lambda: play(GATED, M.rejected("no", where={"amount_usd": 1})),
        ScriptError,
        "events[1] rejected, field 'where': no open call has such args (open now: 'refund'). Next: give "
        "`where` some args of a call before it.",
    ),
    (
        lambda: play(GATED, M.rejected("no", where="9.0")),
        ScriptError,
        "events[1] rejected, field 'where': '9.0' picks no call. Next: give some args as a mapping, or a "
        "function of them.",
    ),
    (
        lambda: play(GATED, M.rejected(7)),
        ScriptError,
        "events[1] rejected, field 'reason': 7 is no text. Next: write MockEvent.rejected('why', tool='...').",
    ),
    (
        lambda: play(GATED, M.approved(args={"amount_usd": "lots"})),
        ScriptError,
        "events[1] approved, field 'args': the edited arguments of 'refund' can't be used: amount_usd: "
        "'lots' is not of type 'number'. Next: give args that fit the tool's schema, all of them.",
    ),
    (
        lambda: play(GATED, M.approved(args=["lots"])),
        ScriptError,
        "events[1] approved, field 'args': ['lots'] are no args. Next: write a mapping of names to "
        "values, as in {'amount_usd': 10}.",
    ),
    (
        lambda: play(GATED, M.tool_result("refund", "paid")),
        ScriptError,
        "events[1] tool_result('refund'), field 'name': the call of 'refund' waits for a person, so that "
        "its code cannot have run. Next: put MockEvent.approved('refund') before it, or give mock_run "
        "approvals=approve('refund').",
    ),
    (
        lambda: play(GATED, M.rejected("no"), M.tool_result("refund", "paid")),
        ScriptError,
        "events[2] tool_result('refund'), field 'name': no call of 'refund' is open (open now: none). "
        "Next: put MockEvent.tool_call('refund', {...}) before it.",
    ),
    (
        lambda: play(GATED, M.expired("refund")),
        ScriptError,
        "events[1] expired('refund'), field 'tool': the call of 'refund' waits for ever. Next: give "
        "'refund' a time with @tool(approval_required=True, approval_expires_s=...).",
    ),
    (
        lambda: play(GATED, M.lost("refund")),
        ScriptError,
        "events[1] lost('refund'), field 'tool': the call of 'refund' waits for a person: no worker has "
        "it. Next: put MockEvent.approved('refund') before it.",
    ),
    (
        lambda: play(GATED, M.approved(), M.resolved("refund", "succeeded")),
        ScriptError,
        "events[2] resolved('refund'), field 'tool': call '1-0' is not in doubt; nothing to resolve. "
        "Next: put MockEvent.lost('...') of that tool before it.",
    ),
    (
        lambda: play(GATED, M.approved(), M.lost("refund"), M.resolved("refund", "paid")),
        ScriptError,
        "events[3] resolved, field 'outcome': 'paid' is no outcome. Next: write 'succeeded', 'failed' or 'not_run'.",
    ),
    (
        lambda: play(CALL, M.thinking("hm")),
        ScriptError,
        "events[1] thinking: the model is not asked now: the run waits for look_up. Next: put the line "
        "where the model replies.",
    ),
    (
        lambda: play(M.thinking("hm")),
        ScriptError,
        "events[0] thinking: the reply that it is a part of never comes. Next: put a tool_call or a done after it.",
    ),
    (
        lambda: play(M.says("")),
        ScriptError,
        "events[0] says, field 'text': '' says nothing. Next: write the words as text.",
    ),
    (
        lambda: play(M.message(None)),
        ScriptError,
        "events[0] message, field 'text': None says nothing. Next: write the words as text.",
    ),
    (
        lambda: play(M.done("a"), M.done("b")),
        ScriptError,
        "events[1] done: the run is completed already. Next: take the line out: nothing comes after.",
    ),
    (
        lambda: play(M.done(len)),
        ScriptError,
        "events[0] done, field 'output': <built-in function len> has no JSON form, or a form of more than"
        " 256 KiB. Next: give text, numbers, booleans, None, lists, mappings, dataclasses or pydantic "
        "models.",
    ),
    (
        lambda: play(M.cancelled(), CALL),
        ScriptError,
        "events[1] tool_call('look_up'): the run is cancelled already. Next: take the line out: nothing comes after.",
    ),
    (
        lambda: play(M.resumed()),
        ScriptError,
        "events[0] resumed: the execution is not paused. Next: take the line out, or put what makes it "
        "possible before it.",
    ),
    (
        lambda: play(M.paused(), M.paused()),
        ScriptError,
        "events[1] paused: the execution is paused already. Next: take the line out, or put what makes it"
        " possible before it.",
    ),
    (
        lambda: play(GATED, M.approved(), M.paused(), M.tool_result("refund", "x")),
        ScriptError,
        "events[3] tool_result('refund'): the execution is paused; do not run this call. Next: put "
        "MockEvent.resumed() before it.",
    ),
    (
        lambda: play(M.handoff("billing")),
        ScriptError,
        "events[0] handoff: there are no handoffs yet: a run has one agent. Next: take the line out.",
    ),
    (
        lambda: play(M.guardrail_pass("pii")),
        ScriptError,
        "events[0] guardrail_pass: there are no guardrails yet. Next: take the line out.",
    ),
    (
        lambda: play(M.guardrail_fail("pii")),
        ScriptError,
        "events[0] guardrail_fail: there are no guardrails yet. Next: take the line out.",
    ),
    (
        lambda: play(M("shout")),
        ScriptError,
        "events[0] shout: there is no kind 'shout'. Next: make the line with a method of MockEvent, as in"
        " MockEvent.done('...').",
    ),
    (
        lambda: play(M.done),
        ScriptError,
        "events[0]: MockEvent.done has no brackets. Next: write MockEvent.done(...).",
    ),
    (
        lambda: play({"type": "done"}),
        ScriptError,
        "events[0]: {'type': 'done'} is no MockEvent. Next: make it with one of its methods, as in "
        "MockEvent.done('...').",
    ),
    (
        lambda: play("done"),
        ScriptError,
        "events[0]: 'done' is no MockEvent. Next: make it with one of its methods, as in MockEvent.done('...').",
    ),
    (
        lambda: mock_run_(AGENT, "hi", M.done("ok")),
        ScriptError,
        "events is MockEvent.done(value='ok'), not a list of MockEvents. Next: write events=[MockEvent.done('...')].",
    ),
    (
        lambda: mock_run_(AGENT, "hi", "done"),
        ScriptError,
        "events is 'done', not a list of MockEvents. Next: write events=[MockEvent.done('...')].",
    ),
    (
        lambda: mock_run_("support", "hi", []),
        ConfigurationError,
        "mock_run: agent is 'support', not an Agent; write mock_run(my_agent, 'prompt', [...])",
    ),
    (
        lambda: mock_run_(AGENT, [M.done("ok")], "hi"),
        ConfigurationError,
        "mock_run: prompt is [MockEvent.done(value='ok')], not text; the order is (agent, prompt, events)",
    ),
    (
        lambda: play(tools="fake"),
        ConfigurationError,
        "mock_run: tools='fake'; write tools='stub' (no code runs) or tools='real'",
    ),
    (
        lambda: play(tools=True),
        ConfigurationError,
        "mock_run: tools=True; write tools='stub' (no code runs) or tools='real'",
    ),
    (
        lambda: play(metadata="t1"),
        ConfigurationError,
        "mock_run: metadata is 't1', not a mapping; write metadata={'ticket': 't1'}",
    ),
    (
        lambda: play(GATED, approvals={"refund": True}),
        ConfigurationError,
        "approvals: a mapping does not say whether its values are reasons or args; write a list, as in "
        "[approve('refund'), reject('suspend', reason='...')]",
    ),
    (
        lambda: play(GATED, approvals=approve),
        ConfigurationError,
        "approvals: approve without brackets is no verdict; write approve()",
    ),
    (
        lambda: play(GATED, approvals=["approve"]),
        ConfigurationError,
        "approvals[0]: 'approve' is no verdict; write approve('tool') or reject('tool', reason='...')",
    ),
    (
        lambda: play(GATED, approvals="refund"),
        ConfigurationError,
        "approvals: 'refund' decides nothing; give approve(), reject(reason=...), a list of them, or a "
        "function of the PendingCall",
    ),
    (
        lambda: play(GATED, approvals=lambda call: "yes"),
        ConfigurationError,
        "approvals: the function answered 'yes' for a call of 'refund'; return approve(), "
        "reject(reason=...), True, False, or None to let it wait",
    ),
    (
        lambda: play(CALL, M.tool_result("look_up", len)),
        ScriptError,
        "events[1] tool_result('look_up'), field 'value': <built-in function len> has no JSON form, or a "
        "form of more than 256 KiB. Next: give text, numbers, booleans, None, lists, mappings, "
        "dataclasses or pydantic models.",
    ),
]
