"""Recordings: written without secrets, decided anew by the production core, refused when the agent has drifted."""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from agentspan.agents import Agent, tool
from agentspan.agents._result import AgentResult
from agentspan.agents.testing import (
    DriftError,
    MockEvent,
    RecordingError,
    approve,
    expect,
    mock_run,
    record,
    recorded_turns,
    replay,
)
from agentspan.agents.testing._facts import facts
from tests.unit.production_runs import (
    AGENT,
    Production,
    cancelled_while_granted,
    declined,
    expired,
    failed_model,
    failed_tool,
    flaky,
    in_doubt,
    look_up,
    lost_model,
    lost_tool,
    paused_and_resumed,
    refund,
    resolved,
    retried_model,
    timed_out,
    unknown_tool,
    unreadable_args,
)

SCRIPT = [
    MockEvent.message("hurry"),
    MockEvent.tool_call("look_up", {"email": "a@b", "api_key": "hush-hush"}),
    MockEvent.tool_call("flaky", {"times": 2}),
    MockEvent.tool_call("refund", {"amount_usd": 9.0}),
    MockEvent.done("Sent with sk-abcdefghijklmnopqrst."),
]


def real(script: Sequence[MockEvent] = SCRIPT) -> AgentResult:
    """A run whose tools ran: with retries, an approval, and secrets in its args, values and answer."""
    edited = approve(edit={"amount_usd": 5.0}, reason="half of it")
    return mock_run(AGENT, "hi", script, tools="real", approvals=edited, metadata={"ticket": "t1"})


def changed(**options: Any) -> Agent:
    return Agent(
        **{"name": "support", "model": AGENT.model, "instructions": "Be kind.", "tools": AGENT.tools, **options}
    )


def test_a_replay_is_the_run_without_its_secrets(tmp_path: Path) -> None:
    result = real()
    replayed = replay(record(result, tmp_path / "deep" / "run.json", AGENT), AGENT)
    assert [str(event.type) for event in replayed.events] == [str(event.type) for event in result.events]
    assert replayed.totals == result.totals
    expect(replayed).completed().approved("refund", {"amount_usd": 5.0}).ran_tool("flaky").output(
        "Sent with [redacted]."
    )


def test_no_secret_reaches_the_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("BILLING_API_KEY", "plain-looking-secret")
    text = record(
        mock_run(AGENT, "my key is plain-looking-secret, mail a@b.example", [MockEvent.done("ok")]),
        tmp_path / "run.json",
        AGENT,
    ).read_text()
    assert "plain-looking-secret" not in text
    text = record(real(), tmp_path / "run.json", AGENT, redact=["email"]).read_text()
    for secret in ("hush-hush", "abc", "sk-abcdef", "a@b"):
        assert f'"{secret}' not in text
        assert secret not in text.replace("sk-[", "")


def test_two_recordings_of_one_behaviour_are_the_same_text_and_a_change_is_a_small_diff(tmp_path: Path) -> None:
    first = record(real(), tmp_path / "1.json", AGENT).read_text().splitlines()
    assert record(real(), tmp_path / "2.json", AGENT).read_text().splitlines() == first
    other = real([*SCRIPT[:-1], MockEvent.done("Other.")])
    second = record(other, tmp_path / "2.json", AGENT).read_text().splitlines()
    assert len(first) == len(second)
    assert sum(a != b for a, b in zip(first, second, strict=True)) == 2


def test_the_file_has_a_version_and_reads_as_what_happened(tmp_path: Path) -> None:
    kept = json.loads(record(real(), tmp_path / "run.json", AGENT).read_text())
    assert (kept["format"], kept["version"], kept["agent"]["name"]) == ("agentspan-recording", 1, "support")
    assert kept["events"][0] == {"type": "started", "prompt": "hi", "metadata": {"ticket": "t1"}}
    assert kept["events"][-1] == {"type": "done", "output": "Sent with [redacted]."}


def test_an_agent_whose_run_would_go_otherwise_has_drifted(tmp_path: Path) -> None:
    path = record(
        mock_run(AGENT, "hi", [MockEvent.tool_call("refund", {"amount_usd": 9.0})]), tmp_path / "r.json", AGENT
    )

    @tool(name="refund")
    def ungated(amount_usd: float) -> str:
        """Pay back."""
        raise AssertionError(amount_usd)

    with pytest.raises(DriftError) as caught:
        replay(path, changed(tools=[look_up, ungated, flaky]))
    call = '"type": "tool_call", "turn": 1, "call_id": "1-0", "tool": "refund", "args": {"amount_usd": 9.0}'
    assert str(caught.value) == (
        f"the run would not go as recorded in {str(path)!r}: events[3]\n"
        f'  recorded: {{{call}, "approval_required": true, "effects": "once"}}\n'
        f'  now:      {{{call}, "approval_required": false, "effects": "idempotent"}}\n'
        "changed in the agent: tools.refund.approval_required was true, is false; "
        'tools.refund.effects was "once", is "idempotent"; tools.refund.approval_expires_s was 60.0, is absent\n'
        "Next: record again with `pytest --agentspan-record` if the change is meant, else undo it in the agent"
    )


def test_an_agent_that_the_model_would_answer_otherwise_has_drifted_unless_that_is_allowed(tmp_path: Path) -> None:
    path = record(real(), tmp_path / "r.json", AGENT)
    other = changed(instructions="Be terse.")
    with pytest.raises(DriftError) as caught:
        replay(path, other)
    assert str(caught.value) == (
        f'agent \'support\' has changed since recording {str(path)!r}: instructions was "Be kind.", is "Be terse.". '
        "Next: record again with `pytest --agentspan-record` if the change is meant, else undo it in the agent"
    )
    expect(replay(path, other, strict=False)).completed()


def test_a_tool_that_is_gone_is_named(tmp_path: Path) -> None:
    path = record(real(), tmp_path / "r.json", AGENT)
    with pytest.raises(DriftError, match=r"tools\.flaky was \{.*\}?\.\.\., is absent"):
        replay(path, changed(tools=[look_up, refund]))


@pytest.mark.parametrize(
    "run",
    [
        in_doubt(),
        resolved("succeeded", value="paid"),
        resolved("failed"),
        resolved("not_run"),
        failed_model(retryable=False),
        retried_model(),
        lost_model(),
        expired(),
        declined(),
        lost_tool(1),
        lost_tool(5),
        failed_tool(),
        unreadable_args(),
        unknown_tool(),
        cancelled_while_granted(),
        paused_and_resumed(),
        timed_out(granted=True),
        timed_out(granted=False),
    ],
    ids=lambda run: "-".join(dict.fromkeys(event.type for event in run.events[2:])),
)
def test_whatever_happens_in_production_is_decided_the_same_way_anew(run: Production, tmp_path: Path) -> None:
    again = replay(record(run.result(), tmp_path / "run.json", AGENT), AGENT)
    assert facts([event.data for event in again.events]) == facts(run.events)
    assert again.status == run.result().status


def test_what_the_model_said_can_drive_a_real_server_again(tmp_path: Path) -> None:
    turns = recorded_turns(record(real(), tmp_path / "r.json", AGENT))
    assert turns[1] == [MockEvent.says("Sent with [redacted].")]
    first: Any = turns[0]
    assert [line.tool for line in first] == ["look_up", "flaky", "refund"]


def test_a_recording_that_could_not_be_replayed_is_not_written(tmp_path: Path) -> None:
    @tool
    def pay(iban: str, amount: float) -> str:
        """Pay."""
        raise AssertionError(iban, amount)

    payer = Agent("payer", "anthropic/claude-sonnet-4-6", tools=[pay])
    result = mock_run(
        payer, "hi", [MockEvent.tool_call("pay", {"iban": "DE1", "amount": 7}), MockEvent.tool_result("pay")]
    )
    with pytest.raises(RecordingError, match=r"(?s)cannot be recorded.*let the tool take any text there"):
        record(result, tmp_path / "r.json", payer, redact=["amount"])
    assert not (tmp_path / "r.json").exists()


@pytest.mark.parametrize(
    ("text", "says"),
    [
        (None, "there is no recording {path!r}; make it with record(result, path, agent), or, where a test replays it, "
               "with `pytest --agentspan-record`"),
        ("{", "recording {path!r} cannot be read: Expecting property name enclosed in double quotes: line 1 column 2 "
              "(char 1); record it again"),
        ("[]", "{path!r} is no recording: its 'format' is not 'agentspan-recording'; give a file that record() wrote"),
        ('{"format": "agentspan-recording", "version": 2}',
         "recording {path!r} has version 2, and this Agentspan reads version 1; record it again, or install the "
         "Agentspan that wrote it"),
        ('{"format": "agentspan-recording", "version": 1, "agent": {"name": "x", "model": "a/b"}, "events": []}',
         "recording {path!r}: events[0] is no 'started' event; record it again"),
        ('{"format": "agentspan-recording", "version": 1, "agent": {"name": "x"}, "events": [{"type": "started"}]}',
         "recording {path!r}, field 'agent': model: Field required; record it again"),
        ('{"format": "agentspan-recording", "version": 1, "agent": {}, "events": [{"type": "done", "outputs": 1}]}',
         "recording {path!r}: events.0.outputs: Extra inputs are not permitted; record it again"),
    ],
)  # fmt: skip
def test_a_file_that_is_no_recording_says_why(tmp_path: Path, text: str | None, says: str) -> None:
    path = tmp_path / "r.json"
    if text is not None:
        path.write_text(text)
    with pytest.raises(RecordingError) as caught:
        replay(path, AGENT)
    assert str(caught.value) == says.format(path=str(path))
