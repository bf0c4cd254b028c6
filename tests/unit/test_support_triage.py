"""The support agent: its author's two tests as written, and every recorded ticket played with the tools' real code."""

import json
import sqlite3
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from agentspan.agents import AgentHandle, AgentRuntime
from agentspan.agents.testing import MockEvent, expect, mock_run
from examples.support_triage import agent as agent_module
from examples.support_triage import app
from examples.support_triage.agent import (
    Resolution,
    reviewer_approve,
    reviewer_reject,
    reviewer_route,
    support_agent,
)
from examples.support_triage.tickets import RECORDINGS, TICKETS, Ticket

RUNTIME = AgentRuntime("http://127.0.0.1:1")


@pytest.fixture(autouse=True)
def file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The company, fresh for each test."""
    path = tmp_path / "support.sqlite3"
    monkeypatch.setenv("SUPPORT_TRIAGE_DB", str(path))
    return path


@pytest.fixture
def decisions(monkeypatch: pytest.MonkeyPatch) -> list[tuple[Any, ...]]:
    """What handles were told to decide; no server is asked."""
    made: list[tuple[Any, ...]] = []
    monkeypatch.setattr(AgentHandle, "__init__", lambda self, execution_id, runtime: made.append((execution_id,)))
    monkeypatch.setattr(AgentHandle, "approve", lambda self: made.append(("approve",)))
    monkeypatch.setattr(AgentHandle, "reject", lambda self, reason: made.append(("reject", reason)))
    return made


def rows(file: Path, statement: str) -> list[tuple[Any, ...]]:
    connection = sqlite3.connect(file)
    try:
        return connection.execute(statement).fetchall()
    finally:
        connection.close()


# the author's own


def test_a_general_question_is_resolved_without_approval() -> None:
    result = mock_run(
        support_agent,
        "Ticket: billing@acme.com — How do I export my data?",
        events=[
            MockEvent.tool_call("lookup_customer", {"email": "billing@acme.com"}),
            MockEvent.tool_result("lookup_customer", {"id": "cust_123", "plan": "pro"}),
            MockEvent.tool_call("send_reply", {"customer_id": "cust_123", "message": "..."}),
            MockEvent.tool_result("send_reply", {"status": "sent"}),
            MockEvent.done('{"category": "general", "action_taken": "Sent export instructions", ...}'),
        ],
    )
    expect(result).completed().used_tool("send_reply")


def test_a_refund_waits_for_approval() -> None:
    result = mock_run(
        support_agent,
        "Ticket: billing@acme.com — I was charged twice this month, please refund",
        events=[
            MockEvent.tool_call("lookup_customer", {"email": "billing@acme.com"}),
            MockEvent.tool_result("lookup_customer", {"id": "cust_123", "plan": "pro"}),
            MockEvent.tool_call(
                "issue_refund", {"customer_id": "cust_123", "amount_usd": 99.0, "reason": "duplicate charge"}
            ),
            MockEvent.waiting("Waiting for human approval on issue_refund"),
            MockEvent.done('{"category": "billing", "action_taken": "Refund pending approval", ...}'),
        ],
    )
    expect(result).completed().used_tool("issue_refund")


# the agent


def test_what_touches_money_or_accounts_waits_for_a_human() -> None:
    gated = {tool.name for tool in support_agent.definition.tools if tool.approval_required}
    assert gated == {"issue_refund", "suspend_account", "apply_credit"}
    assert {tool.effects for tool in support_agent.definition.tools if tool.approval_required} == {"once"}


def script(ticket: Ticket) -> list[MockEvent]:
    """The recorded turns, with the reviewers' decisions where calls wait."""
    decisions = list(ticket.decisions)
    lines: list[MockEvent] = []
    for turn in json.loads((RECORDINGS / f"{ticket.id}.json").read_text())["turns"]:
        for call in turn.get("tool_calls", ()):
            lines.append(MockEvent.tool_call(call["tool"], call["args"]))
            if decisions and decisions[0].tool == call["tool"]:
                made = decisions.pop(0)
                decide = MockEvent.approved if made.decision == "approve" else MockEvent.rejected
                lines.append(decide(tool=made.tool, reason=made.reason))
        if not turn.get("tool_calls"):
            lines.append(MockEvent.done(turn["text"]))
    assert decisions == []
    return lines


@pytest.mark.parametrize("ticket", TICKETS, ids=lambda ticket: ticket.id)
def test_a_recorded_ticket_leaves_exactly_its_effects(ticket: Ticket, file: Path) -> None:
    result = mock_run(support_agent, ticket.prompt, events=script(ticket), tools="real")
    expect(result).completed().output_type(Resolution)
    kinds = rows(file, f"SELECT kind FROM effects WHERE email = '{ticket.email}' ORDER BY id")
    assert tuple(kind for (kind,) in kinds) == ticket.effects


def test_a_rejected_run_goes_on_with_something_else(file: Path) -> None:
    ticket = next(ticket for ticket in TICKETS if ticket.id == "T-1003")
    result = mock_run(support_agent, ticket.prompt, events=script(ticket), tools="real")
    expect(result).rejected("issue_refund", "Amount too large, escalate to finance").ran_tool("apply_credit")
    assert rows(file, "SELECT credit_usd FROM customer_records WHERE id = 'cust_456'") == [(16.5,)]


# reviewers


def test_a_reviewer_approves_and_rejects_by_the_id_alone(decisions: list[tuple[Any, ...]]) -> None:
    reviewer_approve("exec-1", RUNTIME)
    reviewer_reject("exec-2", RUNTIME, "too large")
    assert decisions == [("exec-1",), ("approve",), ("exec-2",), ("reject", "too large")]


def test_small_refunds_are_approved_at_once(decisions: list[tuple[Any, ...]]) -> None:
    reviewer_route("exec-1", "issue_refund", {"amount_usd": 25}, RUNTIME)
    assert decisions == [("exec-1",), ("approve",)]


@pytest.mark.parametrize(("tool", "amount_usd"), [("issue_refund", 25.01), ("apply_credit", 5)])
def test_everything_else_goes_to_the_queue(
    tool: str, amount_usd: float, decisions: list[tuple[Any, ...]], file: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    args = {"amount_usd": amount_usd}
    reviewer_route("exec-1", tool, args, RUNTIME)
    assert decisions == []
    assert rows(file, "SELECT * FROM approval_queue")[0][:5] == ("exec-1", tool, json.dumps(args), None, None)
    assert "agentspan agent respond exec-1 --approve" in capsys.readouterr().err


# a ticket comes in


class Handle:
    """A run that waits with a refund."""

    execution_id = "exec-1"

    def stream(self) -> Iterator[Any]:
        result = mock_run(
            support_agent,
            "Refund me",
            events=[MockEvent.tool_call("issue_refund", {"customer_id": "c", "amount_usd": 9.0, "reason": "r"})],
        )
        yield from result.events
        raise AssertionError("it should have left when the run waited")


def test_taking_a_ticket_queues_the_call_that_waits_and_leaves(
    monkeypatch: pytest.MonkeyPatch, file: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    prompts: list[str] = []

    def start(_: object, prompt: str) -> Handle:
        prompts.append(prompt)
        return Handle()

    monkeypatch.setattr(agent_module, "start", start)
    assert app.main(["T-1", "billing@acme.com", "Refund me"]) == 0
    printed = capsys.readouterr()
    assert printed.out == "exec-1\n"
    assert printed.err.startswith("Agent wants to issue_refund for billing@acme.com")
    assert prompts == ["\nTicket ID: T-1\nCustomer email: billing@acme.com\nMessage: Refund me\n"]
    queued = rows(file, "SELECT workflow_id, tool, ticket_id, preview FROM approval_queue")
    assert queued == [("exec-1", "issue_refund", "T-1", "Agent wants to issue_refund for billing@acme.com")]
    assert rows(file, "SELECT customer_id, status FROM tickets WHERE id = 'T-1'") == [("cust_123", "open")]


def test_the_prompt_of_a_demo_ticket_is_the_one_of_a_real_one(monkeypatch: pytest.MonkeyPatch) -> None:
    prompts: list[str] = []

    def start(_: object, prompt: str) -> Handle:
        prompts.append(prompt)
        return Handle()

    monkeypatch.setattr(agent_module, "start", start)
    ticket = TICKETS[0]
    app.main([ticket.id, ticket.email, ticket.message])
    assert prompts == [ticket.prompt]


def test_a_model_that_replays_is_told_which_recording(monkeypatch: pytest.MonkeyPatch) -> None:
    metadata: list[Any] = []

    def start(_: object, prompt: str, **options: Any) -> Handle:
        metadata.append(options["metadata"])
        return Handle()

    monkeypatch.setattr(agent_module, "start", None)  # restored after the test
    monkeypatch.setattr(app, "start", start)
    monkeypatch.setattr(support_agent, "model", "replay/support_triage")
    assert app.main(["T-1002", "billing@acme.com", "Refund me"]) == 0
    assert metadata == [{"recording": "T-1002"}]
