"""A request as an entry of the approvals topic, and what an entry says of the log: by its attributes alone. Pure.

Apart from who writes and reads them. What stands on the topic is compared, and restored, without the log: so an entry
says up to where it reflects the log, and up to where all that the log says was on the topic before it. It also says
what a view keeps beside a request, and a sum of its bytes: those that are as they were written need not be decoded.
"""

import zlib
from collections.abc import Mapping
from datetime import datetime
from typing import NamedTuple

from agentspan.eventlog import Position, Record
from agentspan.eventlog.messages import message_of
from agentspan_approvals.ports import Kept
from agentspan_approvals.publishing import Standing
from agentspan_schemas import SCHEMA_VERSION
from agentspan_schemas.approvals import ApprovalRecord
from agentspan_schemas.codec import APPROVALS, encode

_READ = str(SCHEMA_VERSION)


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
    value = encode(own)
    attributes = {
        "seq": str(own.seq),
        "state": own.state,
        "agent": own.agent,
        "tool": own.tool,
        "requestedat": own.requested_at.isoformat(),
        "attempts": str(own.attempts_total),
        "schemaversion": str(own.schema_version),
        "crc32": _sum(value),
        "logid": reach.log_id,
        "position": str(reach.reflects),
    }
    if own.ended_at is not None:
        attributes["endedat"] = own.ended_at.isoformat()
    if reach.published is not None:
        attributes["published"] = str(reach.published)
    return Record("approval", own.execution_id, value, attributes, own)


def kept(key: str, record: Record) -> tuple[Kept, Standing]:
    """What a view keeps of an entry: what it says, where it is as it was written; else decoded. Raises Unreadable."""
    said, value = record.attributes, record.value
    if said.get("schemaversion") == _READ and said.get("crc32") == _sum(value):
        try:
            by = said["agent"], said["tool"], said["state"], said["requestedat"]
            return Kept(key, record.key, *by, value), _said(said)
        except (KeyError, ValueError):
            pass  # somebody else has written it
    found = APPROVALS.decode(value)
    return Kept.of(found, value), Standing(found.version, found.ended_at)


def standing(record: Record) -> Standing:
    """What an entry says of its request; decoded where its attributes do not. Raises Unreadable."""
    if "attempts" in record.attributes:
        return _said(record.attributes)
    found = message_of(record, APPROVALS)
    return Standing(found.version, found.ended_at)


def reach(record: Record) -> Reach | None:
    """How far an entry reaches; None: whoever wrote it did not say so."""
    said = record.attributes
    try:
        published = Position.parse(said["published"]) if "published" in said else None
        return Reach(said["logid"], Position.parse(said["position"]), published)
    except (KeyError, ValueError):
        return None


def _said(attributes: Mapping[str, str]) -> Standing:
    ended_at = datetime.fromisoformat(attributes["endedat"]) if "endedat" in attributes else None
    return Standing((int(attributes["seq"]), int(attributes["attempts"])), ended_at)


def _sum(value: bytes) -> str:
    return f"{zlib.crc32(value):08x}"
