"""ClickHouse, and the process that answers in its place when there is none."""
