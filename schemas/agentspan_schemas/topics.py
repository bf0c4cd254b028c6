"""The topics of DESIGN.md section 3, as data: what is on each, by which key, for how long, and who alone writes it."""

from typing import Literal

from agentspan_schemas._base import Wire

DAY_MS = 24 * 3600 * 1000


class Topic(Wire):
    """One topic."""

    name: str
    key: str
    cleanup: Literal["delete", "compact"]
    retention_ms: int = -1
    """-1: for ever."""
    writer: str
    readers: tuple[str, ...]
    partitioned_like_events: bool = False
    """Same partition count as the events, and an execution has the same number in each."""
    meaning: str


TICKETS = Topic(
    name="tickets",
    key="any",
    cleanup="delete",
    writer="other teams",
    readers=("orchestrator",),
    meaning="work for agents",
)
COMMANDS = Topic(
    name="commands",
    key="execution_id",
    cleanup="delete",
    retention_ms=7 * DAY_MS,
    writer="API, approvals, tool-runner, ingest",
    readers=("orchestrator",),
    partitioned_like_events=True,
    meaning="what is asked of an execution",
)
EVENTS = Topic(
    name="events",
    key="execution_id",
    cleanup="delete",
    writer="the partition's owner",
    readers=("everybody",),
    partitioned_like_events=True,
    meaning="what happened; never compacted",
)
SNAPSHOTS = Topic(
    name="snapshots",
    key="execution_id/epoch",
    cleanup="compact",
    writer="the partition's owner",
    readers=("orchestrator",),
    partitioned_like_events=True,
    meaning="state of executions, read at takeover",
)
TASKS = Topic(
    name="tasks",
    key="execution_id/step/attempt",
    cleanup="compact",
    writer="the partition's owner",
    readers=("tool-runner",),
    partitioned_like_events=True,
    meaning="the set of open tasks; a tombstone closes one",
)
WORKERS = Topic(
    name="workers",
    key="session",
    cleanup="compact",
    writer="tool-runner",
    readers=("tool-runner", "orchestrator", "query"),
    meaning="workers that are connected, and what they hold",
)
AGENTS = Topic(
    name="agents",
    key="name@version",
    cleanup="compact",
    writer="orchestrator's API",
    readers=("orchestrator", "tool-runner", "query"),
    meaning="definitions of agents",
)
APPROVALS = Topic(
    name="approvals",
    key="approval_id",
    cleanup="compact",
    writer="approvals",
    readers=("other teams", "approvals"),
    partitioned_like_events=True,
    meaning="requests for a decision and what came of them; a tombstone 90 days after the end",
)
DECISIONS = Topic(
    name="decisions",
    key="approval_id",
    cleanup="delete",
    retention_ms=90 * DAY_MS,
    writer="other teams",
    readers=("approvals",),
    meaning="decisions of other services",
)
SETTINGS = Topic(
    name="settings",
    key="kind/name",
    cleanup="compact",
    writer="APIs",
    readers=("the services concerned",),
    meaning="policies, keys, saved views",
)

TOPICS: tuple[Topic, ...] = (
    TICKETS, COMMANDS, EVENTS, SNAPSHOTS, TASKS, WORKERS, AGENTS, APPROVALS, DECISIONS, SETTINGS,
)  # fmt: skip

WITH_DEAD_LETTERS: tuple[Topic, ...] = (TICKETS, DECISIONS, EVENTS)
"""Those beside which stands a topic of what could not be taken: of events, what history goes on without."""

DLQ_RETENTION_MS = 30 * DAY_MS
"""`<topic>.dlq` keeps what could not be read for 30 days, and behind it notes which of it was handled
(`agentspan_schemas.dead_letters.Handled`): only ever appended to, and never compacted."""


def topic_name(topic: Topic, prefix: str = "agentspan") -> str:
    """The topic's full name under a prefix."""
    return f"{prefix}.{topic.name}"


def dlq_name(topic: Topic, prefix: str = "agentspan") -> str:
    """Where what could not be read on this topic goes, with its original bytes."""
    return f"{prefix}.{topic.name}.dlq"
