"""Where the server may listen: on loopback, or where it is told that something that authenticates stands before it."""

import re
from pathlib import Path

import pytest

from agentspan_standalone.errors import SettingsError
from agentspan_standalone.settings import Settings

ELSEWHERE = ["0.0.0.0", "::", "10.1.2.3", "agentspan.example.com"]


@pytest.fixture(autouse=True)
def _no_settings_of_this_machine(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("AGENTSPAN_HOST", "AGENTSPAN_TRUSTED_PROXY", "AGENTSPAN_ALLOWED_HOSTS"):
        monkeypatch.delenv(name, raising=False)


@pytest.mark.parametrize("host", ELSEWHERE)
def test_only_loopback_is_bound_unasked(tmp_path: Path, host: str) -> None:
    with pytest.raises(SettingsError, match=f"{re.escape(repr(host))} is not a loopback address.*TRUSTED_PROXY=true"):
        Settings(data=tmp_path, host=host)


@pytest.mark.parametrize("host", ELSEWHERE)
def test_names_to_answer_to_say_nothing_of_who_calls(tmp_path: Path, host: str) -> None:
    with pytest.raises(SettingsError, match="not a loopback address"):
        Settings(data=tmp_path, host=host, allowed_hosts=("agentspan.example.com",))


@pytest.mark.parametrize("host", ["127.0.0.1", *ELSEWHERE])
def test_a_proxy_without_a_name_is_refused(tmp_path: Path, host: str) -> None:
    with pytest.raises(SettingsError, match="AGENTSPAN_TRUSTED_PROXY without AGENTSPAN_ALLOWED_HOSTS"):
        Settings(data=tmp_path, host=host, trusted_proxy=True)


@pytest.mark.parametrize("host", ELSEWHERE)
def test_behind_a_proxy_any_address_is_bound(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, host: str) -> None:
    monkeypatch.setenv("AGENTSPAN_HOST", host)
    monkeypatch.setenv("AGENTSPAN_TRUSTED_PROXY", "true")
    monkeypatch.setenv("AGENTSPAN_ALLOWED_HOSTS", "agentspan.example.com, agentspan.internal")
    settings = Settings(data=tmp_path)
    assert (settings.host, settings.trusted_proxy) == (host, True)
    assert settings.allowed_hosts == ("agentspan.example.com", "agentspan.internal")


@pytest.mark.parametrize(
    ("host", "url"),
    [
        ("127.0.0.1", "http://localhost:6767"),
        ("0.0.0.0", "http://localhost:6767"),
        ("10.1.2.3", "http://10.1.2.3:6767"),
        ("::1", "http://[::1]:6767"),
        ("::", "http://[::1]:6767"),
        ("fd00::7", "http://[fd00::7]:6767"),
    ],
)
def test_a_server_on_all_addresses_is_asked_on_loopback(tmp_path: Path, host: str, url: str) -> None:
    assert Settings(data=tmp_path, host=host, trusted_proxy=True, allowed_hosts=("proxy",), port=6767).url == url
