"""A request to ClickHouse's HTTP interface, taken apart: statement, format, data, parameters, settings; and its answer.

Apart from the server and the engine because it is plain text work, told from documents and tested without an engine
(https://clickhouse.com/docs/interfaces/http).
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass

_INSERT = re.compile(rb"\A\s*(INSERT\s+INTO\s[^\n]*?)\s+FORMAT\s+(\w+)[ \t]*(?:\n|\Z)", re.IGNORECASE)
_FORMAT = re.compile(r"\sFORMAT\s+(\w+)\s*;?\s*\Z", re.IGNORECASE)
_READS = re.compile(r"\A\s*(?:SELECT|WITH|SHOW|DESCRIBE|DESC|EXISTS|EXPLAIN)\b", re.IGNORECASE)
_CODE = re.compile(r"Code: (\d+)\.")
_SETTING = re.compile(r"\A[A-Za-z_][A-Za-z0-9_]*\Z")

_UNKNOWN_EXCEPTION = 1002

_TRANSPORT = frozenset(
    {
        "buffer_size", "cancel_http_readonly_queries_on_client_close", "client_protocol_version", "compress",
        "database", "decompress", "enable_http_compression", "http_headers_progress_interval_ms", "query", "query_id",
        "send_progress_in_http_headers", "session_check", "session_id", "session_timeout", "wait_end_of_query",
    }
)  # fmt: skip
"""Of the request, not of the query: nothing here streams, compresses or keeps a session between requests."""


@dataclass(frozen=True, slots=True)
class Statement:
    """One statement to run; `data` is what an INSERT brings along, None for all others."""

    sql: str
    format: str
    data: bytes | None
    params: Mapping[str, str]
    settings: Mapping[str, str]
    database: str | None

    @property
    def reads_only(self) -> bool:
        """Whether it can run beside an insert: it changes nothing."""
        return self.data is None and _READS.match(self.sql) is not None


class EngineError(Exception):
    """What the engine said to a statement, and the number ClickHouse gives it."""

    def __init__(self, text: str) -> None:
        found = _CODE.search(text)
        super().__init__(text[found.start() :] if found else text)
        self.code = int(found[1]) if found else _UNKNOWN_EXCEPTION


@dataclass(frozen=True, slots=True)
class Reply:
    """What a statement gave."""

    body: bytes
    written_rows: int = 0


def parse(query: Mapping[str, str], body: bytes) -> Statement:
    """The statement of a request: the `query` parameter, if there is one, stands before the body."""
    text = query["query"].encode() + b"\n" + body if "query" in query else body
    sql, output_format, data = _split(text)
    return Statement(
        sql=sql,
        format=output_format,
        data=data,
        params={name.removeprefix("param_"): value for name, value in query.items() if name.startswith("param_")},
        settings={name: value for name, value in query.items() if _is_setting(name)},
        database=query.get("database"),
    )


def _split(text: bytes) -> tuple[str, str, bytes | None]:
    insert = _INSERT.match(text)
    if insert:
        return insert[1].decode(), insert[2].decode(), text[insert.end() :]
    sql = text.decode()
    chosen = _FORMAT.search(sql)
    if chosen:
        return sql[: chosen.start()].rstrip(), chosen[1], None
    return sql, "TabSeparated", None


def _is_setting(name: str) -> bool:
    return name not in _TRANSPORT and not name.startswith("param_") and _SETTING.match(name) is not None
