"""Takes one ticket: `python -m examples.support_triage.app TICKET_ID EMAIL "message"`.

It prints the run's id and leaves as soon as the run waits for a human, or has ended. With a model that replays
(SUPPORT_TRIAGE_MODEL=replay/support_triage), the ticket's id names the recording.
"""

import argparse
import functools
from collections.abc import Sequence

from agentspan.agents import start

from . import agent
from .clients import support_api


def main(argv: Sequence[str] | None = None) -> int:
    """Handle the ticket; the exit code."""
    parser = argparse.ArgumentParser(prog="python -m examples.support_triage.app", description="Take one ticket.")
    parser.add_argument("ticket_id", help="such as T-1002")
    parser.add_argument("email", help="the customer's, such as billing@acme.com")
    parser.add_argument("message", help="what the customer wrote")
    given = parser.parse_args(argv)
    support_api.open(given.ticket_id, given.email, given.message)
    if agent.support_agent.model.startswith("replay/"):
        # a recorded model has to be told which recording; the agent's own code, made for a real one, need not know
        recorded = functools.partial(start, metadata={"recording": given.ticket_id})
        agent.start = recorded  # type: ignore[attr-defined]
    print(agent.handle_ticket(given.ticket_id, given.email, given.message))
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
