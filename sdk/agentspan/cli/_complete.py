"""What the shell offers when the tab key is pressed behind a command that takes ids: those that there are now.

A shell waits for it, so it asks once, briefly, and offers nothing when anything is wrong. It imports nothing heavy.
"""

import json
import os

WAIT_S = 1.0


def executions(incomplete: str) -> list[str]:
    """The ids of the newest runs."""
    return _ids("executions?limit=50", "execution_id", incomplete)


def approvals(incomplete: str) -> list[str]:
    """The ids of what waits for a person."""
    return _ids("approvals?state=pending&limit=50", "approval_id", incomplete)


def _ids(question: str, field: str, incomplete: str) -> list[str]:
    import urllib.request  # takes longer than the rest of the command line

    url = (os.environ.get("AGENTSPAN_SERVER_URL") or "http://localhost:6767").rstrip("/")
    try:
        with urllib.request.urlopen(f"{url}/api/v1/{question}", timeout=WAIT_S) as response:
            found = [str(item[field]) for item in json.load(response)["items"]]
    except (OSError, ValueError, KeyError, TypeError):
        return []
    return [id_ for id_ in found if id_.startswith(incomplete)]
