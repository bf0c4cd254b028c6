"""Every metric there is: its name, kind, labels and one sentence. docs/metrics.md and /metrics are held to this table.

No label has values that grow with use: partitions, topics, groups, routes, codes and states are all that there is.
"""

from dataclasses import dataclass
from typing import Literal

Kind = Literal["counter", "gauge", "histogram"]

SECONDS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0)
"""The buckets of every histogram, in seconds."""


@dataclass(frozen=True, slots=True)
class Metric:
    """One of them. Its unit is in its name."""

    name: str
    kind: Kind
    labels: tuple[str, ...]
    help: str


METRICS: tuple[Metric, ...] = (
    Metric("agentspan_build_info", "gauge", ("version", "roles"), "1; which release runs, with which roles"),
    Metric("agentspan_ready", "gauge", (), "Whether /readyz says that it can take work"),
    # what comes in
    Metric(
        "agentspan_http_request_duration_seconds",
        "histogram",
        ("method", "route", "status"),
        "From a request to the first byte of its answer",
    ),
    Metric("agentspan_http_requests_in_progress", "gauge", (), "Requests that are being answered, open streams too"),
    Metric("agentspan_dead_letters_total", "counter", ("topic", "reason"), "Records put aside on a DLQ topic"),
    # partitions
    Metric("agentspan_partitions", "gauge", ("state",), "Partitions of this process, by what becomes of them now"),
    Metric("agentspan_partition_takeovers_total", "counter", ("partition",), "Times that a partition was taken over"),
    Metric(
        "agentspan_partition_fencings_total",
        "counter",
        ("partition",),
        "Ownerships that a later owner's takeover ended",
    ),
    Metric(
        "agentspan_partition_write_failures_total",
        "counter",
        ("partition",),
        "Ownerships that a failed or doubtful write ended",
    ),
    Metric("agentspan_partition_restore_seconds", "gauge", ("partition",), "How long the last restore took"),
    Metric(
        "agentspan_partition_restore_remaining_records",
        "gauge",
        ("partition",),
        "Records of the log that are to be folded before the partition is served",
    ),
    # deciding
    Metric(
        "agentspan_commands_decided_total",
        "counter",
        ("command", "answer"),
        "Commands with a released outcome: accepted, repeated, or why refused",
    ),
    Metric("agentspan_append_duration_seconds", "histogram", (), "From a decision to the release of its outcome"),
    Metric("agentspan_log_ghosts_total", "counter", ("partition",), "Records met on the log that count for nothing"),
    Metric("agentspan_executions_active", "gauge", ("partition",), "Executions with something open or under a grant"),
    Metric(
        "agentspan_executions_parked",
        "gauge",
        ("partition",),
        "Executions that are not over and have nothing to do: they wait for a person, a time, or to be resumed",
    ),
    Metric(
        "agentspan_executions_unread",
        "gauge",
        ("partition",),
        "Executions of which nothing is decided: a record of theirs on the log can't be read",
    ),
    Metric("agentspan_tasks_open", "gauge", ("partition", "lane"), "Tasks that are to be done, or are being done"),
    # lag
    Metric(
        "agentspan_consumer_lag_records",
        "gauge",
        ("group", "topic", "partition"),
        "Records between a reader's place and its topic's end",
    ),
    # history
    Metric("agentspan_projection_lag_seconds", "gauge", (), "How old the oldest event is that ClickHouse lacks"),
    Metric("agentspan_projection_events_total", "counter", (), "Events written to ClickHouse"),
    Metric("agentspan_projection_failures_total", "counter", (), "Writes that ClickHouse did not take; tried again"),
    Metric(
        "agentspan_projection_waiting_partitions", "gauge", (), "Partitions whose history a later release has to read"
    ),
    # people
    Metric("agentspan_approvals_pending", "gauge", (), "Requests that wait for a person"),
    Metric("agentspan_approvals_oldest_pending_seconds", "gauge", (), "How long the first of them has waited"),
    Metric(
        "agentspan_approvals_waiting_partitions", "gauge", (), "Partitions whose requests a later release has to read"
    ),
    # workers
    Metric("agentspan_gateway_sessions", "gauge", (), "Workers with a session here"),
    Metric("agentspan_gateway_unassigned_tasks", "gauge", (), "Open tool calls that no worker here has in hand"),
    Metric("agentspan_model_calls_in_progress", "gauge", (), "Model calls under way here"),
)

BY_NAME = {metric.name: metric for metric in METRICS}
