"""Where reviewers look: a table of the company's own, and a line on the terminal.

A real one would be Slack, an internal tool or email. Nothing depends on it: the call waits on the server either way.
"""

import json
import sys
from collections.abc import Mapping
from typing import Any

from .clients import STORE


def notify_approval_queue(
    workflow_id: str,
    tool: str | None,
    args: Mapping[str, Any] | None,
    ticket_id: str | None = None,
    preview: str | None = None,
) -> None:
    """Tell the reviewers that a call of this run waits for them."""
    shown = json.dumps(args)
    with STORE.writing() as connection:
        connection.execute(
            "INSERT INTO approval_queue (workflow_id, tool, args, ticket_id, preview) VALUES (?, ?, ?, ?, ?)",
            [workflow_id, tool, shown, ticket_id, preview],
        )
    what = preview or f"Agent wants to {tool}"
    print(
        f"{what}: {tool} {shown}\n"
        f"  agentspan agent respond {workflow_id} --approve\n"
        f'  agentspan agent respond {workflow_id} --reject "why"',
        file=sys.stderr,
    )
