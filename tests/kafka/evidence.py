"""What an audit looks at: the topics as a plain consumer reads them, the effects database, and ClickHouse.

Without a line of the product's: headers, JSON, and the rule of docs/topics.md, written here by hand. What stands
outside is read first and the events last, so that whatever is found outside had its event already.
"""

import json
import sqlite3
import time
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
from confluent_kafka import Consumer, KafkaError, Message, TopicPartition

Json = dict[str, Any]

TOPICS = ("commands", "tasks", "approvals", "events")
"""In the order in which they are read."""

READ_WITHIN_S = 60.0
READ_AT_ONCE = 2000
READ_S = 0.05

EXECUTIONS = """
SELECT execution_id, seq, agent, agent_version, status, turns, tool_calls, tokens_in, tokens_out, waiting_on,
    output_preview, error_kind, error, toString(toUnixTimestamp64Micro(started_at)) AS started_at,
    toString(toUnixTimestamp64Micro(updated_at)) AS updated_at,
    if(finished_at IS NULL, '', toString(toUnixTimestamp64Micro(assumeNotNull(finished_at)))) AS finished_at
FROM agentspan.executions FINAL FORMAT JSONEachRow
"""

EVENTS = """
SELECT execution_id, seq, type, status, partition, toString(offset) AS offset, payload
FROM agentspan.events FINAL FORMAT JSONEachRow
"""


@dataclass(frozen=True, slots=True)
class Raw:
    """One record of a topic."""

    partition: int
    offset: int
    key: str
    headers: Mapping[str, str]
    value: bytes | None

    @property
    def json(self) -> Json:
        """The value, which is an object."""
        found: Json = json.loads(self.value or b"")
        return found

    @property
    def place(self) -> str:
        """For people."""
        return f"{self.partition}:{self.offset}"


@dataclass(frozen=True, slots=True)
class Effect:
    """One time that a tool's code ran, by the shop's own books."""

    execution_id: str
    tool: str
    key: str
    attempt: int


@dataclass(frozen=True, slots=True)
class History:
    """What ClickHouse has."""

    executions: Sequence[Json]
    events: Sequence[Json]


@dataclass(frozen=True, slots=True)
class Evidence:
    """All of it; each topic's records in the order of its partitions and their offsets."""

    commands: Sequence[Raw]
    tasks: Sequence[Raw]
    approvals: Sequence[Raw]
    events: Sequence[Raw]
    effects: Sequence[Effect] | None = None
    history: History | None = None
    shown: Sequence[Json] | None = None
    """The events that streams have shown to clients."""


def gathered(bootstrap: str, prefix: str, effects: Path | None = None, clickhouse: str | None = None) -> Evidence:
    """As it stands now."""
    done = None if effects is None else effects_in(effects)
    history = None if clickhouse is None else history_at(clickhouse)
    topics = {topic: records_of(bootstrap, f"{prefix}.{topic}") for topic in TOPICS}
    return Evidence(**topics, effects=done, history=history, shown=None)


def records_of(bootstrap: str, topic: str) -> list[Raw]:
    """All that stands on a topic, by a consumer like any other team's."""
    settings = {"bootstrap.servers": bootstrap, "group.id": "audit", "enable.auto.commit": False}
    consumer = Consumer(settings | {"auto.offset.reset": "earliest", "enable.partition.eof": True})
    try:
        known = consumer.list_topics(topic, timeout=READ_WITHIN_S).topics[topic].partitions
        places = [TopicPartition(topic, number, 0) for number in known]
        consumer.assign(places)
        found = sorted(_until_their_ends(consumer, len(places)), key=lambda raw: (raw.partition, raw.offset))
    finally:
        consumer.close()
    return found


def _until_their_ends(consumer: Consumer, partitions: int) -> Iterable[Raw]:
    ended, deadline = 0, time.monotonic() + READ_WITHIN_S
    while ended < partitions:
        assert time.monotonic() < deadline, f"the topic is read to its end in {READ_WITHIN_S} s"
        for message in consumer.consume(READ_AT_ONCE, READ_S):
            error = message.error()
            if error is None:
                yield _raw(message)
            elif error.code() == KafkaError._PARTITION_EOF:
                ended += 1
            else:
                raise AssertionError(f"the topic cannot be read: {error}")


def _raw(message: Message) -> Raw:
    headers = dict(message.headers() or [])
    return Raw(
        partition=message.partition() or 0,
        offset=message.offset() or 0,
        key=_text(message.key()),
        headers={name: _text(value) for name, value in headers.items()},
        value=None if message.value() is None else _bytes(message.value()),
    )


def by_partition(records: Iterable[Raw]) -> dict[int, list[Raw]]:
    """The records of each."""
    found: dict[int, list[Raw]] = {}
    for raw in records:
        found.setdefault(raw.partition, []).append(raw)
    return found


def outcomes(partition: Iterable[Raw]) -> list[list[Raw]]:
    """The outcomes of one partition that happened, by the rule for plain consumers in docs/topics.md."""
    found: list[list[Raw]] = []
    held: list[Raw] = []
    epoch, following = 0, 1
    for raw in partition:
        if "ce_epoch" not in raw.headers:
            continue
        its_epoch, n = int(raw.headers["ce_epoch"]), int(raw.headers["ce_n"])
        if n == 0:
            if its_epoch > epoch:
                epoch, following, held = its_epoch, 1, []
        elif its_epoch == epoch and n == following:
            following += 1
            held.append(raw)
            if raw.headers["ce_last"] == "true":
                found.append(held)
                held = []
        elif its_epoch == epoch:
            following = -1
    return found


def effects_in(database: Path) -> list[Effect]:
    """The rows of its table `effects`."""
    connection = sqlite3.connect(f"file:{database}?mode=ro", uri=True, timeout=20)
    try:
        rows = connection.execute("SELECT execution_id, tool, key, attempt FROM effects ORDER BY rowid").fetchall()
    finally:
        connection.close()
    return [Effect(*row) for row in rows]


def history_at(url: str) -> History:
    """The tables of a ClickHouse: `http://user:password@host:port`."""
    return History(executions=_rows(url, EXECUTIONS), events=_rows(url, EVENTS))


def _rows(url: str, query: str) -> list[Json]:
    answer = httpx.post(url, content=query.encode(), timeout=READ_WITHIN_S)
    answer.raise_for_status()
    return [json.loads(line) for line in answer.text.splitlines() if line]


def _text(value: str | bytes | None) -> str:
    return value.decode() if isinstance(value, bytes) else value or ""


def _bytes(value: str | bytes | None) -> bytes:
    return value.encode() if isinstance(value, str) else value or b""
