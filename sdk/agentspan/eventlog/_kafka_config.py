"""How to reach a cluster, and what the three kinds of client are told: one frozen value, and its words in librdkafka's
language. What is fixed here (acks, idempotence, isolation, offsets) is part of the log's rule and no setting."""

import logging
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

from confluent_kafka import KafkaError

from agentspan.eventlog._kafka_errors import with_advice

logger = logging.getLogger(__name__)

SECURITY = ("security.", "sasl.", "ssl.", "enable.ssl.", "https.")
TELL_AGAIN_S = 30.0
"""So long is nothing said about an error that goes on."""

MAX_MESSAGE_BYTES = 3 * 1024 * 1024
"""Of a request; a value has at most 1 MiB (DESIGN.md section 3), its headers and escapes the rest."""

REQUESTS_AT_ONCE = 2
"""To a broker, which answers one after the other: what comes meanwhile gathers behind them (docs/decisions/0134)."""

ClientConfig = dict[str, Any]


@dataclass(frozen=True, slots=True, kw_only=True)
class KafkaConfig:
    """A cluster and how this process talks to it."""

    bootstrap: str
    """`host:port`, several with commas between."""
    prefix: str = "agentspan"
    """Of all topics and groups."""
    client_id: str = "agentspan"
    """How the brokers' logs and metrics name this process."""
    security: Mapping[str, str] = field(default_factory=dict, repr=False)
    """librdkafka's settings for TLS and SASL: `security.protocol`, `sasl.mechanism`, `ssl.ca.location` and the like."""
    oauth_token: Callable[[str], tuple[str, float]] | None = field(default=None, repr=False)
    """For SASL OAUTHBEARER with tokens made here: given `sasl.oauthbearer.config`, the token and the Unix time in
    seconds at which it ends."""
    compression: Literal["none", "lz4", "zstd"] = "lz4"
    """Of what this process writes; readers take each. With zstd each batch of a few records costs the client a context
    of megabytes (docs/decisions/0110)."""
    delivery_timeout_s: float = 20.0
    """An append that was not acknowledged for so long is of unknown fate. Above the time that a new leader takes."""
    request_timeout_s: float = 10.0
    """Of one request to a broker."""
    connect_timeout_s: float = 30.0
    """How long the first look at the cluster may take."""
    group_protocol: Literal["classic", "consumer"] = "classic"
    """`consumer` is KIP-848: brokers from 4.0 on, and timeouts that are settings of the group there."""
    session_timeout_s: float = 6.0
    """How long the group waits for a member that was not heard of. Classic protocol."""
    heartbeat_s: float = 2.0
    """Classic protocol."""
    instance_id: str | None = None
    """Static membership: a process that comes back under it within the session has its partitions back, and until
    then nobody else serves them."""

    def __post_init__(self) -> None:
        unknown = sorted(name for name in self.security if not name.startswith(SECURITY))
        if unknown:
            raise ValueError(f"{unknown!r} are no security settings; those begin with {', '.join(SECURITY)}")

    def producer(self) -> ClientConfig:
        """A plain idempotent producer."""
        return self._client() | {
            "enable.idempotence": True,
            "acks": "all",
            "linger.ms": 0,
            "max.in.flight.requests.per.connection": REQUESTS_AT_ONCE,
            "compression.type": self.compression,
            "message.max.bytes": MAX_MESSAGE_BYTES,
            "message.timeout.ms": int(self.delivery_timeout_s * 1000),
            "request.timeout.ms": int(self.request_timeout_s * 1000),
        }

    def consumer(self, *, wait_ms: int, queued_kb: int) -> ClientConfig:
        """A consumer by partition and offset, in no group. `wait_ms`: how long a broker holds a fetch that finds
        nothing; `queued_kb`: read ahead at most, per partition."""
        return self._client() | {
            "group.id": f"{self.prefix}.reader",  # never joined, but librdkafka wants one
            "enable.auto.commit": False,
            "auto.offset.reset": "error",
            "isolation.level": "read_uncommitted",
            "fetch.wait.max.ms": wait_ms,
            "fetch.error.backoff.ms": 50,
            "fetch.queue.backoff.ms": 10,
            "queued.max.messages.kbytes": queued_kb,
        }

    def member(self, group: str) -> ClientConfig:
        """A member of a consumer group that fetches nothing."""
        return self.consumer(wait_ms=500, queued_kb=1) | {"auto.offset.reset": "latest"} | self._membership(group)

    def sharer(self, group: str) -> ClientConfig:
        """A member of a consumer group that fetches what is its, from what it has committed on; of other teams'
        transactions, what they have committed."""
        reading: ClientConfig = {"auto.offset.reset": "earliest", "isolation.level": "read_committed"}
        return self.consumer(wait_ms=500, queued_kb=4096) | reading | self._membership(group)

    def _membership(self, group: str) -> ClientConfig:
        timeouts: ClientConfig = {
            "session.timeout.ms": int(self.session_timeout_s * 1000),
            "heartbeat.interval.ms": int(self.heartbeat_s * 1000),
            "partition.assignment.strategy": "cooperative-sticky",
        }
        return (
            {"group.id": f"{self.prefix}.{group}", "group.protocol": self.group_protocol}
            | (timeouts if self.group_protocol == "classic" else {})
            | ({"group.instance.id": self.instance_id} if self.instance_id else {})
        )

    def admin(self) -> ClientConfig:
        """A client that asks for offsets and topics; its errors reach whoever asked."""
        client = self._client()
        del client["error_cb"]
        return client

    def _client(self) -> ClientConfig:
        return {
            "bootstrap.servers": self.bootstrap,
            "client.id": self.client_id,
            "reconnect.backoff.ms": 50,
            "reconnect.backoff.max.ms": 1000,
            "socket.timeout.ms": int(max(self.request_timeout_s, 10.0) * 1000),
            "log_level": 2,  # what else it has to say comes to the callback
            "error_cb": _ErrorLog(),
            **({} if self.oauth_token is None else {"oauth_cb": self.oauth_token}),
            **self.security,
        }


class _ErrorLog:
    """Connections come and go, and librdkafka mends them itself; that all are gone is worth a word, now and then."""

    def __init__(self) -> None:
        self._told: dict[int, float] = {}

    def __call__(self, error: KafkaError) -> None:
        code, now = error.code(), time.monotonic()
        passing = code in (KafkaError._TRANSPORT, KafkaError._TIMED_OUT, KafkaError._RESOLVE)
        if passing or now >= self._told.get(code, now):
            logger.log(logging.DEBUG if passing else logging.WARNING, "kafka: %s: %s", error.name(), with_advice(error))
            self._told[code] = now + TELL_AGAIN_S
