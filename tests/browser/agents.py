"""The agents whose runs the browser looks at. `python -m tests.browser.agents URL` serves the fragile one, for a while.

Apart from the fixtures because that program is killed in the middle of its calls.
"""

import sys
import threading
from typing import Any

from agentspan.agents import Agent, AgentRuntime, current_context, tool

EFFECTS: list[str] = []
"""The idempotency key of each refund that ran in this process."""


@tool
def lookup_customer(email: str) -> dict[str, str]:
    """Fetch a customer."""
    return {"id": "cust-1", "email": email}


@tool(approval_required=True)
def issue_refund(customer_id: str, amount_usd: float, reason: str) -> dict[str, str]:
    """Refund a customer."""
    EFFECTS.append(current_context().idempotency_key)
    return {"refund": "done"}


@tool(approval_required=True)
def suspend_account(customer_id: str) -> dict[str, str]:
    """Suspend an account."""
    return {"suspended": customer_id}


@tool(approval_required=True)
def send_letter(address: str, text: str, enclosures: list[dict[str, Any]]) -> None:
    """Send a letter."""


@tool(approval_required=True)
def charge_card(amount_usd: float) -> None:
    """Charge a card; its process is killed before it returns."""
    print("inside", flush=True)
    threading.Event().wait()


shop = Agent(name="shop", model="replay/shop", tools=[lookup_customer, issue_refund, suspend_account])
desk = Agent(name="desk", model="replay/shop", tools=[lookup_customer])
post = Agent(name="post_office_of_the_department_for_returns_and_complaints", model="replay/shop", tools=[send_letter])
fragile = Agent(name="fragile", model="replay/shop", tools=[charge_card])


if __name__ == "__main__":
    with AgentRuntime(sys.argv[1]) as runtime:
        runtime.serve(fragile, blocking=False)
        print("serving", flush=True)
        threading.Event().wait()
