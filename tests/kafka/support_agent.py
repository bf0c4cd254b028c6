"""The agent that the pages speak of, and its worker as a program: `support` may refund, when somebody approves."""

import sys

from agentspan.agents import Agent, AgentRuntime, tool


@tool(approval_required=True)
def refund(usd: float) -> str:
    """Pay back.

    Args:
        usd: How much.
    """
    return f"{usd:g} USD are on their way"


support = Agent(name="support", model="replay/shop", tools=[refund], instructions="Help them.")

if __name__ == "__main__":
    with AgentRuntime() as runtime:
        runtime.serve(support, blocking=False)
        print("serving", flush=True)
        sys.stdin.read()
