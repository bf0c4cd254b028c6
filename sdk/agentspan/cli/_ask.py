"""A plain GET for `agentspan doctor` and `server status`, whose answer counts whatever it is: that of a server that is
ill is a finding."""

import json
import time
import urllib.error
import urllib.request
from dataclasses import dataclass
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import Any

WITHIN_S = 5.0


@dataclass(frozen=True, slots=True)
class Answer:
    """What a GET brought."""

    status: int
    body: dict[str, Any]
    """Empty when it is no JSON object."""
    date: datetime | None
    at: float
    """When it was there, by this clock."""


def fetched(url: str) -> Answer:
    """The answer, whatever its status. Raises OSError when there is none."""
    try:
        with urllib.request.urlopen(url, timeout=WITHIN_S) as response:
            return _answer(response.status, response.read(), response.headers.get("Date"))
    except urllib.error.HTTPError as error:
        with error:
            return _answer(error.code, error.read(), error.headers.get("Date"))


def standing() -> dict[str, str]:
    """How the server at AGENTSPAN_SERVER_URL stands. Raises ConfigurationError when that is no address."""
    from agentspan.agents._discovery import server_url

    url = server_url(None)
    try:
        answer = fetched(f"{url}/readyz")
    except OSError as error:
        return {"url": url, "status": f"not answering ({reason(error)})"}
    names = ("status", "history", "approvals", "executions")
    said = {name: str(answer.body[name]) for name in names if answer.body.get(name)}
    if answer.status == 200 and "status" in said:
        return {"url": url, **said}
    return {
        "url": url,
        "status": str(answer.body.get("detail") or f"no Agentspan server (GET /readyz: {answer.status})"),
    }


def _answer(status: int, body: bytes, date: str | None) -> Answer:
    try:
        found = json.loads(body)
    except ValueError:
        found = None
    try:
        at = parsedate_to_datetime(date).astimezone(UTC) if date else None
    except ValueError:
        at = None
    return Answer(status, found if isinstance(found, dict) else {}, at, time.time())


def reason(error: OSError) -> str:
    """Why nobody answered, without the layers around it."""
    cause = getattr(error, "reason", error)
    return str(getattr(cause, "strerror", None) or cause)
