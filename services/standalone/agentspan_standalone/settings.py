"""The server's settings: `AGENTSPAN_…` in the environment, or flags of the command line. Each one is used."""

import importlib
import ipaddress
import json
import os
import re
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal, Self
from urllib.parse import urlsplit

from platformdirs import user_data_path
from pydantic import Field, SecretStr, ValidationError, field_validator, model_validator
from pydantic_settings import BaseSettings, NoDecode, SettingsConfigDict

from agentspan_schemas.codec import describe
from agentspan_standalone.errors import SettingsError
from agentspan_standalone.secret_files import from_files

if TYPE_CHECKING:
    from agentspan.eventlog.kafka import KafkaConfig

DEFAULT_PORT = 6767

_CLUSTER = re.compile(r"kafka://[^/?#]+(\?prefix=[A-Za-z0-9._\-]+)?")

Role = Literal["orchestrator", "tool-runner", "approvals", "query"]

_CLICKHOUSE = re.compile(r"https?://([^/?#@:\s]+@)?(\[[0-9A-Fa-f:.]+\]|[^/?#@:\s\[\]]+)(:\d{1,5})?/?")

_HOST = re.compile(r"\[[0-9a-f:.]+\]|[^/?#@:,*\s\[\]]+")

MOST_DAYS = 36_500
MOST_LEASE_S = 86_400.0

SECRETS = ("kafka_security", "clickhouse_password")
"""Each may stand in a file, which `AGENTSPAN_…_FILE` names."""

ROLES: tuple[Role, ...] = ("orchestrator", "tool-runner", "approvals", "query")


class Settings(BaseSettings):
    """All of them. What a model provider reads (keys, folders) it takes from the environment itself."""

    model_config = SettingsConfigDict(env_prefix="AGENTSPAN_", env_nested_delimiter="__", extra="ignore")

    data: Path = Field(default_factory=lambda: user_data_path("agentspan", appauthor=False))
    """The folder that holds the log and everything derived from it."""
    host: str = "127.0.0.1"
    port: int = Field(default=DEFAULT_PORT, ge=0, le=65535)
    metrics_port: int | None = Field(default=None, ge=1, le=65535)
    """A port for /metrics alone: who scrapes it reaches no other door. None: it is one of the doors."""
    allowed_hosts: Annotated[tuple[str, ...], NoDecode] = ()
    """More names that the server answers to, comma-separated, for a proxy in front of it."""
    trusted_proxy: bool = False
    """Whoever reaches the port was authenticated by what stands before it; without that, only loopback is bound."""
    log: str = ""
    """`kafka://host:port,host:port?prefix=agentspan` for the topics of a cluster; empty: a file in the data folder."""
    kafka_security: Annotated[dict[str, str], NoDecode] = {}
    """librdkafka's settings for TLS and SASL as a JSON object, as `{"security.protocol": "SSL"}`."""
    kafka_tokens: str = Field(default="", pattern=r"^([A-Za-z_][\w.]*:[A-Za-z_]\w*)?$")
    """`module:function` that makes tokens for SASL OAUTHBEARER: given `sasl.oauthbearer.config`, the token and the Unix
    time in seconds at which it ends."""
    kafka_instance_id: str | None = None
    """Static membership: a process that comes back under it in time has its partitions back."""
    kafka_compression: Literal["none", "lz4", "zstd"] = "lz4"
    """Of what this process writes to the topics."""
    kafka_group_protocol: Literal["classic", "consumer"] = "classic"
    """`consumer` is KIP-848: the cluster's groups say how long a silent member is waited for."""
    roles: Annotated[tuple[Role, ...], NoDecode] = ROLES
    """The services of this process, comma-separated."""
    clickhouse: str = ""
    """`http://user@host:port` of a ClickHouse server, its password apart; empty: an embedded one."""
    clickhouse_password: SecretStr = SecretStr("")
    clickhouse_migrate: bool = False
    """A server brings the tables of that ClickHouse up to its release; else `agentspan query migrate` does."""
    history_days: int | None = Field(default=None, ge=1, le=MOST_DAYS)
    """Executions that ended longer ago leave history; None: all stay. Those that have not ended always do."""
    lease_s: float = Field(default=10.0, gt=0, le=MOST_LEASE_S)
    """A worker that is silent for so long is lost."""
    model_calls: int = Field(default=32, ge=1)
    """How many model calls are under way at a time."""
    history_memory_mb: int = Field(default=1024, ge=256)
    """The most memory that the embedded ClickHouse may take for its data and queries."""
    log_level: str = "INFO"

    @classmethod
    def given(cls, **flags: object) -> Self:
        """What the flags say, and the environment where they say nothing (None). Raises SettingsError."""
        try:
            return cls(**{name: value for name, value in flags.items() if value is not None})  # type: ignore[arg-type]
        except ValidationError as error:
            what = f"a setting (AGENTSPAN_… in the environment, or a flag) is wrong: {describe(error)}"
            raise SettingsError(what) from error

    @model_validator(mode="before")
    @classmethod
    def _from_text(cls, values: dict[str, object]) -> dict[str, object]:
        values |= from_files(SECRETS, values, os.environ)
        security = values.get("kafka_security")
        if isinstance(security, str):
            values["kafka_security"] = _json(security)
        for name in ("allowed_hosts", "roles"):
            listed = values.get(name)
            if isinstance(listed, str):
                values[name] = tuple(item.strip() for item in listed.split(",") if item.strip())
        return values

    @field_validator("log_level")
    @classmethod
    def _is_a_level(cls, level: str) -> str:
        known = ("DEBUG", "INFO", "WARNING", "ERROR", "CRITICAL")
        if level.upper() not in known:
            raise SettingsError(f"AGENTSPAN_LOG_LEVEL={level!r} is no level: write one of {', '.join(known)}")
        return level.upper()

    @field_validator("log")
    @classmethod
    def _names_a_cluster(cls, log: str) -> str:
        if log and not _CLUSTER.fullmatch(log):
            raise SettingsError(
                f"log {log!r} names no cluster: write kafka://host:9092,host:9092?prefix=agentspan, or leave --log and"
                " AGENTSPAN_LOG out for a file in the data folder"
            )
        return log

    @field_validator("clickhouse")
    @classmethod
    def _names_a_clickhouse(cls, url: str) -> str:
        """The URL is not repeated in what is wrong with it: its password may stand there."""
        how = "write http://user@host:8123 or https://user@host:8443, or leave it out for the embedded one"
        if "@" in url and ":" in url.partition("://")[2].rpartition("@")[0]:
            raise SettingsError(
                "clickhouse: the password does not go into AGENTSPAN_CLICKHOUSE: it goes into"
                f" AGENTSPAN_CLICKHOUSE_PASSWORD, or a file that AGENTSPAN_CLICKHOUSE_PASSWORD_FILE names; {how}"
            )
        if url and (not _CLICKHOUSE.fullmatch(url) or not _has_port(url)):
            raise SettingsError(f"clickhouse (AGENTSPAN_CLICKHOUSE) names no ClickHouse server: {how}")
        return url

    @field_validator("allowed_hosts")
    @classmethod
    def _names_hosts(cls, hosts: tuple[str, ...]) -> tuple[str, ...]:
        """As browsers say them."""
        found = tuple(host.lower() for host in hosts)
        for host in found:
            if not _HOST.fullmatch(host):
                raise SettingsError(
                    f"AGENTSPAN_ALLOWED_HOSTS: {host!r} is no host's name: write it without a scheme, a port or a *, as"
                    " in agentspan.example.com"
                )
        return found

    @model_validator(mode="after")
    def _ports_apart(self) -> Self:
        if self.metrics_port is not None and self.metrics_port == self.port:
            raise SettingsError(f"port {self.port} is given twice: AGENTSPAN_METRICS_PORT is for /metrics alone")
        return self

    @model_validator(mode="after")
    def _loopback_or_behind_a_proxy(self) -> Self:
        if not self.trusted_proxy and not _is_loopback(self.host):
            raise SettingsError(
                f"host {self.host!r} is not a loopback address, and this server has no authentication: bind it to"
                " 127.0.0.1, or, where nobody reaches the port but through a proxy that authenticates, say so with"
                " AGENTSPAN_TRUSTED_PROXY=true (the proxy's names go into AGENTSPAN_ALLOWED_HOSTS)"
            )
        if self.trusted_proxy and not self.allowed_hosts:
            raise SettingsError(
                "AGENTSPAN_TRUSTED_PROXY without AGENTSPAN_ALLOWED_HOSTS: name the hosts that people reach the proxy"
                " by; the server answers to no others"
            )
        return self

    @model_validator(mode="after")
    def _one_file_one_process(self) -> Self:
        missing = sorted(set(ROLES) - set(self.roles))
        if not self.log and missing:
            raise SettingsError(
                f"roles without {', '.join(missing)}: the embedded log belongs to one process, which needs all of them;"
                " give --log kafka://… or AGENTSPAN_LOG to run services apart"
            )
        return self

    def make_data_folder(self) -> None:
        """For this user alone, where there is none yet. Raises SettingsError when it or its files can't be written."""
        try:
            self.data.mkdir(parents=True, exist_ok=True, mode=0o700)
            tempfile.TemporaryFile(dir=self.data).close()
        except OSError as error:
            raise SettingsError(
                f"nothing can be written to the data folder {str(self.data)!r} ({error.strerror}): name another with"
                " --data or AGENTSPAN_DATA, or let this user write there"
            ) from error
        for file in self.data.glob("*.sqlite3*"):  # what else is there, as a volume's lost+found, is nobody's business
            if not os.access(file, os.R_OK | os.W_OK) and file.exists():  # else it went while it was looked at
                raise SettingsError(
                    f"{str(file)!r} is not this user's to read and write, as when another user's server made it: chown"
                    " what is in the data folder, or name another with --data or AGENTSPAN_DATA"
                )

    def kafka(self) -> "KafkaConfig":
        """How to reach the cluster that `log` names. Raises SettingsError."""
        try:
            from agentspan.eventlog.kafka import KafkaConfig
        except ModuleNotFoundError as error:
            raise SettingsError(f"log {self.log!r} needs Kafka's client: pip install 'agentspan[kafka]'") from error

        brokers, _, prefix = self.log.removeprefix("kafka://").partition("?prefix=")
        try:
            return KafkaConfig(
                bootstrap=brokers,
                prefix=prefix or "agentspan",
                security=self.kafka_security,
                oauth_token=self._tokens(),
                instance_id=self.kafka_instance_id,
                compression=self.kafka_compression,
                group_protocol=self.kafka_group_protocol,
            )
        except ValueError as error:
            raise SettingsError(f"AGENTSPAN_KAFKA_SECURITY: {error}") from error

    def _tokens(self) -> Callable[[str], tuple[str, float]] | None:
        if not self.kafka_tokens:
            return None
        if self.kafka_security.get("sasl.mechanism") != "OAUTHBEARER":
            raise SettingsError(
                "AGENTSPAN_KAFKA_TOKENS makes tokens that nobody would ask for: set sasl.mechanism to OAUTHBEARER in"
                " AGENTSPAN_KAFKA_SECURITY"
            )
        module, _, name = self.kafka_tokens.partition(":")
        try:
            made: Callable[[str], tuple[str, float]] = getattr(importlib.import_module(module), name)
        except (ImportError, AttributeError) as error:
            raise SettingsError(f"AGENTSPAN_KAFKA_TOKENS={self.kafka_tokens!r}: {error}; is it installed?") from error
        return made

    @property
    def standing(self) -> Path:
        """The file that says which process serves the data folder, and where."""
        return self.data / "server.json"

    @property
    def url(self) -> str:
        """Where the server answers."""
        return f"http://{_reached_by(self.host)}:{self.port}"


def _has_port(url: str) -> bool:
    """Whether its port is one, where it says any."""
    try:
        return urlsplit(url).port != 0
    except ValueError:
        return False


def _json(text: str) -> object:
    try:
        return json.loads(text)
    except ValueError as error:
        raise SettingsError(
            f'AGENTSPAN_KAFKA_SECURITY is not JSON ({error}): it looks like {{"security.protocol": "SSL"}}'
        ) from None


def _is_loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def _reached_by(host: str) -> str:
    """The name to reach it by from here. For most, `localhost` is 127.0.0.1 first."""
    if host in ("::", "::1"):
        return "[::1]"
    if ":" in host:
        return f"[{host}]"
    return "localhost" if _is_loopback(host) or host == "0.0.0.0" else host
