"""Runs the support agent's tools for every run that calls them: `python -m examples.support_triage.worker`.

A run that waited hours for its approval goes on here; the process that took the ticket may be long gone.
"""

import sys

from agentspan.agents import AgentRuntime

from .agent import support_agent


def main() -> None:
    """Serve until interrupted."""
    with AgentRuntime() as runtime:
        runtime.serve(support_agent, blocking=False)
        print(f"serving {support_agent.name}; Ctrl-C ends it", file=sys.stderr)
        runtime.serve(support_agent)


if __name__ == "__main__":
    main()
