"""Looks up another customer than the one who wrote: its executions end well, with a wrong answer."""

from typing import Any

from agentspan.agents import Agent, AgentRuntime, tool
from bench import job


@tool
async def lookup_customer(ticket: str) -> dict[str, Any]:
    """The customer of some other ticket."""
    return job.customer(f"not-{ticket}")


@tool
async def lookup_orders(ticket: str) -> dict[str, Any]:
    """The customer's orders."""
    return job.orders(ticket)


@tool(approval_required=True)
async def issue_refund(ticket: str, amount_usd: float, reason: str) -> dict[str, Any]:
    """Give money back."""
    return job.refund(ticket)


def main() -> None:
    """Serve until SIGTERM."""
    agent = Agent(name=job.AGENT, model=job.MODEL, tools=[lookup_customer, lookup_orders, issue_refund])
    with AgentRuntime() as runtime:
        runtime.serve(agent)


if __name__ == "__main__":
    main()
