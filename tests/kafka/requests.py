"""The requests for a decision as an audit folds them from the events topic: every version that a request ever had.

Apart from the other stories because refused decisions of other services, which are no events, change a request too.
"""

from collections.abc import Iterable, Mapping, Sequence

from tests.kafka.evidence import Json, Raw

OPEN = ("pending", "in_doubt")
DECIDED = ("approved", "rejected")
ENDING = ("done", "failed", "cancelled")

COMPARED = (
    "approval_id", "execution_id", "call_id", "seq", "state", "agent", "agent_version", "tool", "args", "args_hash",
    "requested_at", "decided_at", "decided_by", "channel", "reason", "policy", "edited_args", "ended_at",
    "attempts_total",
)  # fmt: skip
"""What a record on the topic has to have as the fold has it."""

Version = tuple[int, int]


def versions(outcomes: Iterable[Sequence[Raw]]) -> dict[str, dict[Version, Json]]:
    """Of each request, all that it was, oldest first, by what orders its records: `(seq, attempts_total)`."""
    found: dict[str, dict[Version, Json]] = {}
    of_execution: dict[str, list[str]] = {}
    for raw in (raw for outcome in outcomes for raw in outcome):
        known = [last(found[key]) for key in of_execution.get(raw.key, ())]
        message = raw.json
        after = [_fold(request, message) for request in known]
        if message["type"] in ("waiting", "in_doubt"):
            after += _requested(known, message)
        for request in (each for each in after if each is not None):
            if request["approval_id"] not in found:
                of_execution.setdefault(raw.key, []).append(request["approval_id"])
            found.setdefault(request["approval_id"], {})[version(request)] = request
    return found


def last(history: Mapping[Version, Json]) -> Json:
    """What a request is now."""
    return next(reversed(list(history.values())))


def version(request: Json) -> Version:
    """What orders the records of one request."""
    return request["seq"], request.get("attempts_total", 0)


def differing(record: Json, request: Json) -> list[str]:
    """The fields in which a record on the topic is another than the fold."""
    return [name for name in COMPARED if record.get(name) != request.get(name)]


def _requested(known: Sequence[Json], event: Json) -> list[Json]:
    if any(request["call_id"] == event["call_id"] for request in known):
        return []
    state = "pending" if event["type"] == "waiting" else "in_doubt"
    names = ("approval_id", "execution_id", "call_id", "seq", "agent", "agent_version", "tool", "args", "args_hash")
    request = {name: event[name] for name in names} | {"state": state, "requested_at": event["at"]}
    if state == "in_doubt":
        request["reason"] = event["reason"]
    return [request | {"attempts_total": 0}]


def _fold(request: Json, message: Json) -> Json | None:
    kind, at = message["type"], message["at"]
    if kind == "refused":
        sent = message["command_id"].startswith(f"decision:{request['call_id']}:{message['by']}:")
        return _attempted(request) if sent else None
    mine = message.get("call_id") == request["call_id"]
    match kind:
        case "approved" | "rejected" if mine:
            after = request | {name: message.get(name) for name in ("channel", "reason", "policy", "edited_args")}
            after |= {
                "state": kind,
                "seq": message["seq"],
                "ended_at": at,
                "decided_at": at,
                "decided_by": message["by"],
            }
            sent = message["causation_id"].startswith(f"decision:{request['call_id']}:{message['by']}:")
            return _attempted(after) if sent else after
        case "expired" if mine:
            after = request | {"state": kind, "seq": message["seq"], "ended_at": at, "decided_at": at}
            return after | {"decided_by": "system", "channel": "timer"}
        case "in_doubt" if mine and message["seq"] > request["seq"]:
            return request | {"state": kind, "seq": message["seq"], "ended_at": None, "reason": message["reason"]}
        case "tool_result" | "retry_scheduled" if mine and request["state"] == "in_doubt":
            return request | {"state": "resolved", "seq": message["seq"], "ended_at": at}
        case "done" | "failed" | "cancelled" if request["state"] in OPEN:
            return request | {"state": "cancelled", "seq": message["seq"], "ended_at": at}
        case _:
            return None


def _attempted(request: Json) -> Json:
    return request | {"attempts_total": request["attempts_total"] + 1}
