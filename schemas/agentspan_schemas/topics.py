"""The topics of DESIGN.md section 3, as data: what is on each, by which key, for how long, and who alone writes it."""

from dataclasses import dataclass
from typing import Literal

DAY_MS = 24 * 3600 * 1000


@dataclass(frozen=True, slots=True)
class Topic:
    """One topic. `partitioned_like_events`: same partition count, and an execution has the same number in each."""

    name: str
    key: str
    cleanup: Literal["delete", "compact"]
    retention_ms: int
    """-1: for ever."""
    writer: str
    readers: tuple[str, ...]
    partitioned_like_events: bool
    meaning: str


TICKETS = Topic("tickets", "any", "delete", -1, "other teams", ("orchestrator",), False, "work for agents")
COMMANDS = Topic(
    "commands", "execution_id", "delete", 7 * DAY_MS, "API, approvals, tool-runner, ingest", ("orchestrator",), True,
    "what is asked of an execution",
)  # fmt: skip
EVENTS = Topic(
    "events", "execution_id", "delete", -1, "the partition's owner", ("everybody",), True,
    "what happened; never compacted",
)  # fmt: skip
SNAPSHOTS = Topic(
    "snapshots", "execution_id/epoch", "compact", -1, "the partition's owner", ("orchestrator",), True,
    "state of executions, read at takeover",
)  # fmt: skip
TASKS = Topic(
    "tasks", "execution_id/step/attempt", "compact", -1, "the partition's owner", ("tool-runner",), True,
    "the set of open tasks; a tombstone closes one",
)  # fmt: skip
WORKERS = Topic(
    "workers", "session", "compact", -1, "tool-runner", ("tool-runner", "orchestrator", "query"), False,
    "workers that are connected, and what they hold",
)  # fmt: skip
AGENTS = Topic(
    "agents", "name@version", "compact", -1, "orchestrator's API", ("orchestrator", "tool-runner", "query"), False,
    "definitions of agents",
)  # fmt: skip
APPROVALS = Topic(
    "approvals", "approval_id", "compact", -1, "approvals", ("other teams", "approvals"), True,
    "requests for a decision and what came of them; a tombstone 90 days after the end",
)  # fmt: skip
DECISIONS = Topic(
    "decisions", "approval_id", "delete", 90 * DAY_MS, "other teams", ("approvals",), False,
    "decisions of other services",
)  # fmt: skip
SETTINGS = Topic(
    "settings", "kind/name", "compact", -1, "APIs", ("the services concerned",), False, "policies, keys, saved views"
)

TOPICS: tuple[Topic, ...] = (
    TICKETS, COMMANDS, EVENTS, SNAPSHOTS, TASKS, WORKERS, AGENTS, APPROVALS, DECISIONS, SETTINGS,
)  # fmt: skip

DLQ_RETENTION_MS = 30 * DAY_MS
"""`<topic>.dlq` keeps what could not be read for 30 days."""


def topic_name(topic: Topic, prefix: str = "agentspan") -> str:
    """The topic's full name under a prefix."""
    return f"{prefix}.{topic.name}"


def dlq_name(topic: Topic, prefix: str = "agentspan") -> str:
    """Where what could not be read on this topic goes, with its original bytes."""
    return f"{prefix}.{topic.name}.dlq"
