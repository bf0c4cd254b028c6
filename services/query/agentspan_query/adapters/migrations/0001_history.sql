-- The history of executions. Everything here can be built again from the log.
-- Partitioned by the execution's start, which never changes, so that all its rows meet in one partition and merge.
-- Rows are on the disk before the position that follows them is written: a power failure takes no row from history.

-- Every event, once: a replay writes the same key again. Small granules, as reads are of single executions.
CREATE TABLE IF NOT EXISTS events (
    execution_id String,
    seq UInt32,
    type LowCardinality(String),
    at DateTime64(6, 'UTC') CODEC(Delta, ZSTD(1)),
    agent LowCardinality(String),
    agent_version LowCardinality(String),
    started_at DateTime64(6, 'UTC') CODEC(Delta, ZSTD(1)),
    status LowCardinality(String),
    tool LowCardinality(String),
    call_id String,
    approval_id String,
    worker LowCardinality(String),
    attempt UInt32,
    duration_ms Nullable(Float64),
    tokens_in UInt64,
    tokens_out UInt64,
    actor LowCardinality(String),
    prompt_preview String,
    source LowCardinality(String),
    source_key String,
    payload String CODEC(ZSTD(3)),
    partition UInt32,
    offset UInt64
)
ENGINE = ReplacingMergeTree
PARTITION BY toYYYYMM(started_at)
ORDER BY (execution_id, seq)
SETTINGS index_granularity = 1024, non_replicated_deduplication_window = 1000, fsync_after_insert = 1, fsync_part_directory = 1;

-- Each execution as it stands after its last event: read with FINAL, the highest seq wins.
CREATE TABLE IF NOT EXISTS executions (
    execution_id String,
    seq UInt32,
    agent LowCardinality(String),
    agent_version LowCardinality(String),
    status LowCardinality(String),
    started_at DateTime64(6, 'UTC') CODEC(Delta, ZSTD(1)),
    updated_at DateTime64(6, 'UTC') CODEC(Delta, ZSTD(1)),
    finished_at Nullable(DateTime64(6, 'UTC')),
    turns UInt32,
    tool_calls UInt32,
    tokens_in UInt64,
    tokens_out UInt64,
    waiting_on Array(LowCardinality(String)),
    output_preview String,
    error_kind LowCardinality(String),
    error String
)
ENGINE = ReplacingMergeTree(seq)
PARTITION BY toYYYYMM(started_at)
ORDER BY (agent, started_at, execution_id)
SETTINGS non_replicated_deduplication_window = 1000, fsync_after_insert = 1, fsync_part_directory = 1;

-- Up to where each partition of a log is written here. Written after the rows themselves.
CREATE TABLE IF NOT EXISTS positions (
    log_id String,
    partition UInt32,
    offset UInt64,
    epoch UInt64,
    n UInt64
)
ENGINE = ReplacingMergeTree(offset)
ORDER BY (log_id, partition);
