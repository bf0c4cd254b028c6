"""Pages of the list of requests: where the next one begins, as a text that means nothing to who hands it back."""

import base64
import json
from collections.abc import Sequence
from datetime import datetime

from pydantic_core import from_json

from agentspan_approvals.ports import Place
from agentspan_schemas.approvals import ApprovalRecord


class BadCursor(ValueError):
    """No cursor of this list."""


def encode_cursor(place: Place) -> str:
    """The list goes on behind this place."""
    fields = json.dumps([place.requested_at.isoformat(), place.approval_id])
    return base64.urlsafe_b64encode(fields.encode()).rstrip(b"=").decode()


def decode_cursor(cursor: str) -> Place:
    """The place that a cursor names. Raises BadCursor."""
    try:
        at, approval_id = from_json(base64.urlsafe_b64decode(cursor + "=" * (-len(cursor) % 4)))
        return Place(datetime.fromisoformat(at), str(approval_id))
    except (ValueError, TypeError) as error:
        raise BadCursor(f"cursor {cursor[:80]!r} is not one of this server's; ask again without it") from error


def cut(found: Sequence[ApprovalRecord], limit: int) -> tuple[tuple[ApprovalRecord, ...], str | None]:
    """The first `limit` of what was found, and the cursor behind them where there is more."""
    shown = tuple(found[:limit])
    if len(found) <= limit:
        return shown, None
    return shown, encode_cursor(Place(shown[-1].requested_at, shown[-1].approval_id))
