"""What has to be written to the approvals topic, from what stands there and what the log says. Pure."""

from datetime import datetime, timedelta
from typing import Literal, NamedTuple

from agentspan_schemas.approvals import ApprovalRecord

KEPT = timedelta(days=90)
"""A request stays on the topic so long after its end."""

Version = tuple[int, int]


class Standing(NamedTuple):
    """What is known of a request's record on the topic."""

    version: Version
    ended_at: datetime | None


Due = Literal["put", "bury"]


def due(own: ApprovalRecord, standing: Standing | None, now: datetime) -> Due | None:
    """What to do about one request: the log's word replaces an older one, and is buried when it is old itself.

    A record that is above the own one was written by somebody who has read further: it stays.
    """
    if standing is not None and standing.version > own.version:
        return None
    if over(own.ended_at, now):
        return "bury" if standing is not None else None
    return "put" if standing is None or standing.version < own.version else None


def over(ended_at: datetime | None, now: datetime) -> bool:
    """Whether a request that ended then is to be forgotten."""
    return ended_at is not None and now - ended_at >= KEPT
