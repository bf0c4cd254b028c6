"""The two tests of the user's own program, as written there: what a newcomer copies first."""

from enum import Enum
from typing import Any

from pydantic import BaseModel

from agentspan.agents import Agent, tool
from agentspan.agents.testing import MockEvent, expect, mock_run

db: Any = None
support_api: Any = None
billing_api: Any = None
accounts_api: Any = None


class TicketCategory(str, Enum):  # noqa: UP042 (as the user wrote it)
    BILLING = "billing"
    TECHNICAL = "technical"
    ACCOUNT = "account"
    GENERAL = "general"


class Resolution(BaseModel):
    category: TicketCategory
    action_taken: str
    response_to_customer: str
    requires_followup: bool


@tool
def lookup_customer(email: str) -> dict[str, Any]:
    """Fetch customer record: plan, billing status, open tickets, account age."""
    return db.customers.find_one({"email": email})  # type: ignore[no-any-return]


@tool
def lookup_ticket_history(customer_id: str) -> list[dict[str, Any]]:
    """Fetch the last 10 support tickets for this customer."""
    return db.tickets.find({"customer_id": customer_id}).sort("created_at", -1).limit(10)  # type: ignore[no-any-return]


@tool
def send_reply(customer_id: str, message: str) -> dict[str, Any]:
    """Send a reply to the customer and mark the ticket as resolved."""
    return support_api.send(customer_id=customer_id, message=message, status="resolved")  # type: ignore[no-any-return]


@tool(approval_required=True)
def issue_refund(customer_id: str, amount_usd: float, reason: str) -> dict[str, Any]:
    """Issue a refund to the customer. Requires human approval."""
    return billing_api.refund(customer_id=customer_id, amount=amount_usd, reason=reason)  # type: ignore[no-any-return]


@tool(approval_required=True)
def suspend_account(customer_id: str, reason: str) -> dict[str, Any]:
    """Suspend a customer account. Requires human approval."""
    return accounts_api.suspend(customer_id=customer_id, reason=reason)  # type: ignore[no-any-return]


@tool(approval_required=True)
def apply_credit(customer_id: str, amount_usd: float, note: str) -> dict[str, Any]:
    """Apply account credit. Requires human approval for amounts over $50."""
    return billing_api.credit(customer_id=customer_id, amount=amount_usd, note=note)  # type: ignore[no-any-return]


support_agent = Agent(
    name="support_agent",
    model="anthropic/claude-sonnet-4-6",
    output_type=Resolution,
    tools=[
        lookup_customer,
        lookup_ticket_history,
        send_reply,
        issue_refund,
        suspend_account,
        apply_credit,
    ],
    instructions="You are a support agent for a SaaS product.",
)


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
    assert result.output == '{"category": "general", "action_taken": "Sent export instructions", ...}'
    assert result.output_error is not None


def test_a_refund_waits_for_a_person() -> None:
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
    expect(result).waited_for("issue_refund")
    assert [event.type for event in result.events].count("waiting") == 1  # type: ignore[arg-type]
