"""What can be got wrong with the testing kit, and the exact words that each mistake gets: the thing, why, what next."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from agentspan.agents import Agent, ConfigurationError, ServerUnavailable
from agentspan.agents.testing import (
    LocalServer,
    RecordingError,
    ScriptedModel,
    ScriptError,
    approve,
    expect,
    record,
    recorded_turns,
    reject,
    replay,
)
from tests.unit.misuses_of_scripts import AGENT, OK, SCRIPTS, M, Misuse


class Handle:
    """What `start` returns, as far as it matters here."""

    def result(self) -> None:
        """Not called."""

    def __repr__(self) -> str:
        return "<run 'exec-1'>"


# the mistakes are ones that a type checker would find, too
expect_: Any = expect
record_: Any = record
replay_: Any = replay
approve_: Any = approve
reject_: Any = reject
Model: Any = ScriptedModel

REST: list[Misuse] = [
    (
        lambda: expect_(None),
        TypeError,
        "expect() checks the result of a run, not None; give what mock_run or handle.result() returned",
    ),
    (
        lambda: expect_(OK).output(),
        ValueError,
        "output() checks nothing; give what it equals, or satisfies=lambda output: ...",
    ),
    (
        lambda: expect_(OK).status("finished"),
        ValueError,
        "there is no status 'finished'; write one of 'running', 'waiting', 'paused', 'completed', "
        "'failed', 'cancelled'",
    ),
    (
        lambda: expect_(OK).events_contain("thinking"),
        ValueError,
        "there is no event type 'thinking'; the types are: started, model_called, model_replied, "
        "tool_call, waiting, approved, rejected, expired, tool_started, tool_result, in_doubt, "
        "retry_scheduled, message, paused, resumed, cancel_requested, done, failed, cancelled, delta",
    ),
    (
        lambda: expect_(OK).events_contain("done", tool="x"),
        ValueError,
        "an event has no 'tool'; it has tool_name, call_id, args, output, reason, seq and data",
    ),
    (
        lambda: expect_(OK).event_sequence("done"),
        ValueError,
        "'done' is no list of names; write them as in ['look_up', 'refund']",
    ),
    (
        lambda: expect_(OK).tools_used_exactly([]),
        ValueError,
        "[] is no list of names; write them as in ['look_up', 'refund']",
    ),
    (
        lambda: expect_(OK).tool_call_order("look_up"),
        ValueError,
        "'look_up' is no list of names; write them as in ['look_up', 'refund']",
    ),
    (
        lambda: record_(None, "/tmp/nowhere.json", AGENT),
        ConfigurationError,
        "record: result is None, not a run's result; give handle.result()",
    ),
    (
        lambda: record_(OK, "/tmp/nowhere.json", "support"),
        ConfigurationError,
        "record: agent is 'support', not an Agent; write record(result, path, my_agent)",
    ),
    (
        lambda: record_(OK, "/tmp/nowhere.json", Agent("billing", "replay/x")),
        ConfigurationError,
        "record: the run is one of agent 'support', not of 'billing'; give that agent",
    ),
    (
        lambda: record_(OK, "/tmp/nowhere.json", AGENT, redact="email"),
        ConfigurationError,
        "record: redact is 'email', not a list of names; write redact=['email']",
    ),
    (
        lambda: replay_("nowhere.json", AGENT),
        RecordingError,
        "there is no recording 'nowhere.json'; make it with record(result, path, agent), or, where a test"
        " replays it, with `pytest --agentspan-record`",
    ),
    (
        lambda: replay_("nowhere.json", "support"),
        ConfigurationError,
        "replay: agent is 'support', not an Agent; write replay(path, my_agent)",
    ),
    (
        lambda: Model("shop", "Refunded."),
        ConfigurationError,
        "scripted model 'shop': turns is 'Refunded.'; give a list with an item a turn, as in "
        "[MockEvent.tool_call('refund', {...}), 'Refunded.']",
    ),
    (
        lambda: Model("shop", []),
        ConfigurationError,
        "scripted model 'shop': turns is []; give a list with an item a turn, as in "
        "[MockEvent.tool_call('refund', {...}), 'Refunded.']",
    ),
    (
        lambda: Model("shop", [M.waiting()]),
        ScriptError,
        "scripted model 'shop', turns[0]: waiting is nothing that a model says. Next: take the line out: "
        "with the real server it happens for real.",
    ),
    (
        lambda: Model("shop", [M.done({"a": 1})]),
        ScriptError,
        "scripted model 'shop', turns[0]: the answer {'a': 1} is no text. Next: write what the model "
        "would write, as JSON text.",
    ),
    (
        lambda: Model("shop", [{"text": "hi"}]),
        ScriptError,
        "scripted model 'shop', turns[0]: {'text': 'hi'} is no turn. Next: write its text, a MockEvent, a"
        " list of them, or a function that returns one of these.",
    ),
    (
        lambda: Model("shop", ["hi"]).plays("support"),
        ConfigurationError,
        "scripted model 'shop': 'support' is no Agent; write model.plays(my_agent)",
    ),
    (
        lambda: recorded_turns("nowhere.json"),
        RecordingError,
        "there is no recording 'nowhere.json'; make it with record(result, path, agent), or, where a test"
        " replays it, with `pytest --agentspan-record`",
    ),
    (
        lambda: approve_(7),
        ConfigurationError,
        "approve: tool is 7, not a tool's name; write approve('refund')",
    ),
    (
        lambda: expect_(Handle()),
        TypeError,
        "expect() checks the result of a run, not <run 'exec-1'>; call .result() on it first",
    ),
    (
        lambda: Model("", ["hi"]),
        ConfigurationError,
        "scripted model: '' is no name; write ScriptedModel('shop', [...])",
    ),
    (
        lambda: reject_("refund", 7),
        ConfigurationError,
        "reject: reason is 7, not text; write reason='...'",
    ),
    (
        lambda: approve_(args="x"),
        ConfigurationError,
        "approve: args is 'x'; give some args as a mapping, or a function of them: args=lambda args: ...",
    ),
    (
        lambda: approve_(edit="x"),
        ConfigurationError,
        "approve: edit is 'x', not args; write edit={'amount_usd': 5}",
    ),
    (
        lambda: LocalServer(Path("nowhere")).url,
        ServerUnavailable,
        "the test server of 'nowhere' does not run; write `with LocalServer(folder) as server:`, or call its start()",
    ),
]

MISUSES = [*SCRIPTS, *REST]


@pytest.mark.parametrize(("misuse", "kind", "says"), MISUSES, ids=[says[:60] for _, _, says in MISUSES])
def test_a_mistake_is_told_in_words_that_help(misuse: Callable[[], Any], kind: type[Exception], says: str) -> None:
    with pytest.raises(kind) as caught:
        misuse()
    assert str(caught.value) == says
    assert type(caught.value) is kind


def test_the_table_is_worth_its_name() -> None:
    assert len({says for _, _, says in MISUSES}) >= 60
