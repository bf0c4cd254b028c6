"""Serves the agent's tools from this process until it is interrupted: all that a team's own worker needs.

Apart from the agent so that importing the agent connects to nothing. Stop it and start it again at any time, here or on
another machine: runs wait for it.

    python -m examples.retail_support.serve        the server is AGENTSPAN_SERVER_URL, else http://localhost:6767
"""

import sys

from agentspan.agents import AgentRuntime

from .agent import retail_agent


def main() -> None:
    """Serve until Ctrl-C or SIGTERM."""
    with AgentRuntime() as runtime:
        runtime.serve(retail_agent, blocking=False)
        print(f"serving {retail_agent.name}; Ctrl-C ends it", file=sys.stderr)
        runtime.serve(retail_agent)


if __name__ == "__main__":
    main()
