"""A request as an entry of the approvals topic, and what an entry says of the log: by its attributes alone. Pure.

Apart from who writes and reads them. What stands on the topic is compared, and restored, without the log: so an entry
says up to where it reflects the log, and up to where all that the log says was on the topic before it.
"""

from datetime import datetime
from typing import NamedTuple

from agentspan.eventlog import Position, Record
from agentspan_approvals.publishing import Standing
from agentspan_schemas.approvals import ApprovalRecord
from agentspan_schemas.codec import APPROVALS, encode


class Reach(NamedTuple):
    """How far an entry reaches on a log."""

    log_id: str
    reflects: Position
    """Whatever the log says up to here of the request is in it."""
    published: Position | None
    """Whatever the log says up to here, of all requests of the partition, stood on the topic when it was put. None:
    nobody knew."""


def entry(own: ApprovalRecord, reach: Reach) -> Record:
    """The entry of a request. Raises TooLarge."""
    attributes = {
        "seq": str(own.seq),
        "state": own.state,
        "agent": own.agent,
        "attempts": str(own.attempts_total),
        "logid": reach.log_id,
        "position": str(reach.reflects),
    }
    if own.ended_at is not None:
        attributes["endedat"] = own.ended_at.isoformat()
    if reach.published is not None:
        attributes["published"] = str(reach.published)
    return Record("approval", own.execution_id, encode(own), attributes, own)


def standing(record: Record) -> Standing:
    """What an entry says of its request; decoded where its attributes do not. Raises Unreadable."""
    said = record.attributes
    if "attempts" in said:
        ended_at = datetime.fromisoformat(said["endedat"]) if "endedat" in said else None
        return Standing((int(said["seq"]), int(said["attempts"])), ended_at)
    found = record.message if isinstance(record.message, ApprovalRecord) else APPROVALS.decode(record.value)
    return Standing(found.version, found.ended_at)


def reach(record: Record) -> Reach | None:
    """How far an entry reaches; None: whoever wrote it did not say so."""
    said = record.attributes
    try:
        published = Position.parse(said["published"]) if "published" in said else None
        return Reach(said["logid"], Position.parse(said["position"]), published)
    except (KeyError, ValueError):
        return None
