"""The server's settings: `AGENTSPAN_…` in the environment, or flags of the command line. Each one is used."""

import ipaddress
from pathlib import Path
from typing import Annotated, Self

from platformdirs import user_data_path
from pydantic import Field, model_validator
from pydantic_settings import BaseSettings, NoDecode, SettingsConfigDict

from agentspan_standalone.errors import SettingsError

DEFAULT_PORT = 6767


class Settings(BaseSettings):
    """All of them. What a model provider reads (keys, folders) it takes from the environment itself."""

    model_config = SettingsConfigDict(env_prefix="AGENTSPAN_", env_nested_delimiter="__", extra="ignore")

    data: Path = Field(default_factory=lambda: user_data_path("agentspan", appauthor=False))
    """The folder that holds the log and everything derived from it."""
    host: str = "127.0.0.1"
    port: int = Field(default=DEFAULT_PORT, ge=0, le=65535)
    allowed_hosts: Annotated[tuple[str, ...], NoDecode] = ()
    """More names that the server answers to, comma-separated, for a proxy in front of it."""
    lease_s: float = Field(default=10.0, gt=0)
    """A worker that is silent for so long is lost."""
    model_calls: int = Field(default=32, ge=1)
    """How many model calls are under way at a time."""
    history_memory_mb: int = Field(default=1024, ge=256)
    """The most memory that the embedded ClickHouse may take for its data and queries."""
    log_level: str = "INFO"

    @model_validator(mode="before")
    @classmethod
    def _split_hosts(cls, values: dict[str, object]) -> dict[str, object]:
        hosts = values.get("allowed_hosts")
        if isinstance(hosts, str):
            values["allowed_hosts"] = tuple(host.strip() for host in hosts.split(",") if host.strip())
        return values

    @model_validator(mode="after")
    def _loopback_only(self) -> Self:
        if not _is_loopback(self.host):
            raise SettingsError(
                f"host {self.host!r} is not a loopback address, and this server has no authentication: bind it to"
                " 127.0.0.1 and put a proxy that authenticates in front (its name goes into AGENTSPAN_ALLOWED_HOSTS)"
            )
        return self

    @property
    def url(self) -> str:
        """Where the server answers."""
        return f"http://{'localhost' if _is_loopback(self.host) else self.host}:{self.port}"


def _is_loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"
