"""The shop's program after a change of words: a tool has another docstring, so the agent is another version."""

import sys

from agentspan.agents import Agent, AgentRuntime, tool
from tests.e2e import shop


@tool(approval_required=True)
def issue_refund(customer_id: str, amount_usd: float, reason: str) -> dict[str, str]:
    """Give a customer money back. Say why."""
    return shop.effect("issue_refund", f"{customer_id} {amount_usd:g} {reason}")


reworded_agent = Agent(name="shop", model="replay/shop", tools=[shop.lookup_customer, issue_refund])

if __name__ == "__main__":
    with AgentRuntime() as runtime:
        runtime.serve(reworded_agent, blocking=False)
        print("serving", flush=True)
        sys.stdin.read()
