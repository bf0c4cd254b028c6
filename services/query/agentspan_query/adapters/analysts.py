"""Who may read history in ClickHouse itself: a role for analysts, with a profile that keeps their queries in bounds.

They see figures, names and times. What people and models wrote stays out of sight, column by column; docs/history.md
says how to let somebody see that too. The statements can be run again, by a user with access management.
"""

from collections.abc import Sequence

from agentspan_query.adapters.clickhouse import DATABASE
from agentspan_query.domain.rows import EventRow, ExecutionRow

ROLE = "agentspan_analyst"
PROFILE = "agentspan_analyst"

TEXTS = frozenset({"payload", "prompt_preview", "output_preview", "error", "source_key"})
"""Columns with what people and models wrote, or with names that other systems gave."""

LIMITS = (
    ("readonly", "2 CONST"),
    ("final", "1"),
    ("max_execution_time", "60 MIN 1 MAX 300"),
    ("timeout_overflow_mode", "'throw' CONST"),
    ("max_memory_usage", "4000000000 MAX 4000000000"),
    ("max_bytes_before_external_group_by", "1000000000"),
    ("max_result_rows", "1000000 MAX 1000000"),
    ("result_overflow_mode", "'throw'"),
    ("max_threads", "4 MAX 4"),
    ("priority", "10 CONST"),
)
"""`readonly = 2`: they may change settings within these bounds, as drivers want to, and nothing else. `final`: each
execution counts once, in queries that do not say FINAL. `priority`: the service's own reads go first."""


def _granted(table: str, columns: Sequence[str]) -> str:
    seen = ", ".join(column for column in columns if column not in TEXTS)
    return f"GRANT SELECT({seen}) ON {DATABASE}.{table} TO {ROLE}"


STATEMENTS = (
    f"CREATE ROLE IF NOT EXISTS {ROLE}",
    f"CREATE SETTINGS PROFILE OR REPLACE {PROFILE} SETTINGS "
    + ", ".join(f"{name} = {bound}" for name, bound in LIMITS)
    + f" TO {ROLE}",
    _granted("executions", ExecutionRow._fields),
    _granted("events", EventRow._fields),
)
