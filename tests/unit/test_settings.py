"""Settings that nobody can mean: refused before anything is started, with the setting's name, never with a secret."""

from pathlib import Path

import pytest

from agentspan_standalone.errors import SettingsError
from agentspan_standalone.settings import Settings


@pytest.mark.parametrize(
    ("name", "value", "says"),
    [
        ("LEASE_S", "inf", "lease_s"),
        ("LEASE_S", "1e300", "lease_s"),
        ("LEASE_S", "nan", "lease_s"),
        ("LEASE_S", "0", "lease_s"),
        ("HISTORY_DAYS", "1000000", "history_days"),
        ("HISTORY_DAYS", "0", "history_days"),
        ("LOG_LEVEL", "loud", "AGENTSPAN_LOG_LEVEL='loud' is no level: write one of DEBUG, INFO"),
        ("CLICKHOUSE", "ch.example:8123", "AGENTSPAN_CLICKHOUSE.* names no ClickHouse server: write http://"),
        ("CLICKHOUSE", "ftp://ch.example", "AGENTSPAN_CLICKHOUSE"),
        ("CLICKHOUSE", "http://ch.example:99999", "AGENTSPAN_CLICKHOUSE"),
        ("CLICKHOUSE", "http://ch.example/other", "AGENTSPAN_CLICKHOUSE"),
        ("CLICKHOUSE", "http://me:geheim@ch.example:8123", "AGENTSPAN_CLICKHOUSE_PASSWORD"),
        ("ALLOWED_HOSTS", "good.example, https://bad.example", "AGENTSPAN_ALLOWED_HOSTS: 'https://bad.example'"),
        ("ALLOWED_HOSTS", "agentspan.example:443", "without a scheme, a port"),
        ("ALLOWED_HOSTS", "*.example", "AGENTSPAN_ALLOWED_HOSTS"),
    ],
)
def test_what_nobody_can_mean_is_refused_by_its_name(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, name: str, value: str, says: str
) -> None:
    monkeypatch.setenv(f"AGENTSPAN_{name}", value)
    with pytest.raises(SettingsError, match=says) as refused:
        Settings.given(data=tmp_path)
    assert "geheim" not in str(refused.value)


@pytest.mark.parametrize(
    "url", ["http://ch:8123", "https://me@ch.example:8443/", "http://[::1]:8123", "http://127.0.0.1", ""]
)
def test_a_clickhouse_is_named_by_its_url(tmp_path: Path, url: str) -> None:
    assert Settings.given(data=tmp_path, clickhouse=url).clickhouse == url


def test_hosts_are_known_as_browsers_say_them(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("AGENTSPAN_ALLOWED_HOSTS", "Agents.Example.com, 10.0.0.7,[2001:DB8::1]")
    assert Settings.given(data=tmp_path).allowed_hosts == ("agents.example.com", "10.0.0.7", "[2001:db8::1]")
