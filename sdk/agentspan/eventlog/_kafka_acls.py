"""What each service, and who looks after them, has to be allowed, as data: least rights, from the catalogue's writers
and readers. Pure."""

from dataclasses import dataclass
from typing import Literal

from agentspan_schemas import topics as t
from agentspan_schemas.topics import Topic, dlq_name, topic_name

Service = Literal["orchestrator", "tool-runner", "approvals", "query"]

OPERATOR: Literal["operator"] = "operator"
"""Who makes and checks the topics, looks after dead letters and builds history anew, by hand."""


@dataclass(frozen=True, slots=True)
class Acl:
    """Allows a principal, a service's or the operator's, an operation on a resource."""

    service: Service | Literal["operator"]
    resource: Literal["topic", "group"]
    name: str
    operation: Literal["Read", "Write", "Create", "Describe", "DescribeConfigs"]


ORCHESTRATORS = "orchestrators"
"""The group that shares the partitions out."""

INGEST = "ingest"
"""The group that takes tickets."""

DECISIONS = "decisions"
"""The group that takes other teams' decisions."""

PUBLISHERS = "publishers"
"""The group that shares out who writes which partition of the approvals."""

READS: dict[Service, tuple[Topic, ...]] = {
    "orchestrator": (t.TICKETS, t.COMMANDS, t.EVENTS, t.SNAPSHOTS, t.TASKS, t.WORKERS, t.AGENTS, t.SETTINGS),
    "tool-runner": (t.EVENTS, t.TASKS, t.WORKERS, t.AGENTS, t.SETTINGS),
    "approvals": (t.EVENTS, t.APPROVALS, t.DECISIONS, t.SETTINGS),
    "query": (t.EVENTS, t.WORKERS, t.AGENTS, t.SETTINGS),
}
WRITES: dict[Service, tuple[Topic, ...]] = {
    "orchestrator": (t.COMMANDS, t.EVENTS, t.SNAPSHOTS, t.TASKS, t.AGENTS, t.SETTINGS),
    "tool-runner": (t.COMMANDS, t.WORKERS),
    "approvals": (t.COMMANDS, t.APPROVALS, t.SETTINGS),
    "query": (t.SETTINGS,),
}
DLQS: dict[Service, tuple[Topic, ...]] = {
    "orchestrator": (t.TICKETS,),
    "tool-runner": (),
    "approvals": (t.DECISIONS,),
    "query": (t.EVENTS,),
}
GROUPS: dict[Service, tuple[str, ...]] = {
    "orchestrator": (ORCHESTRATORS, INGEST),
    "tool-runner": (),
    "approvals": (DECISIONS, PUBLISHERS),
    "query": (),
}


def acls(prefix: str = "agentspan") -> tuple[Acl, ...]:
    """All of them. Who writes a topic may also describe it; the group `reader` is named by every consumer, and joined
    by none."""
    return (*(acl for service in READS for acl in _of(service, prefix)), *_of_operator(prefix))


def _of(service: Service, prefix: str) -> list[Acl]:
    reads = [topic_name(topic, prefix) for topic in READS[service]]
    writes = [topic_name(topic, prefix) for topic in WRITES[service]]
    writes += [dlq_name(topic, prefix) for topic in DLQS[service]]
    groups = [f"{prefix}.{group}" for group in ("reader", *GROUPS[service])]
    return [
        *(Acl(service, "topic", name, "Read") for name in reads),
        *(Acl(service, "topic", name, "Write") for name in writes),
        *(Acl(service, "group", name, "Read") for name in groups),
    ]


def _of_operator(prefix: str) -> list[Acl]:
    """Reads history to build it anew, and dead letters to show them; writes what it replays, and what became of it. The
    groups' settings are looked at under KIP-848 alone."""
    lettered = [topic for of_service in DLQS.values() for topic in of_service]
    letters = [dlq_name(topic, prefix) for topic in lettered]
    replayed = [topic_name(topic, prefix) for topic in lettered if topic is not t.EVENTS]
    every = [*(topic_name(topic, prefix) for topic in t.TOPICS), *letters]
    groups = [f"{prefix}.{group}" for of_service in GROUPS.values() for group in of_service]
    return [
        *(Acl(OPERATOR, "topic", name, "Create") for name in every),
        *(Acl(OPERATOR, "topic", name, "Describe") for name in every),
        *(Acl(OPERATOR, "topic", name, "DescribeConfigs") for name in every),
        *(Acl(OPERATOR, "topic", name, "Read") for name in (topic_name(t.EVENTS, prefix), *letters)),
        *(Acl(OPERATOR, "topic", name, "Write") for name in (*replayed, *letters)),
        Acl(OPERATOR, "group", f"{prefix}.reader", "Read"),
        *(Acl(OPERATOR, "group", name, "DescribeConfigs") for name in groups),
    ]
