"""Names of settings that nothing reads: told once, by the one that was meant, and never where a setting is right."""

import logging

import pytest

from agentspan.agents import _discovery
from agentspan.agents._discovery import autostarts, server_url
from agentspan.agents._environment import NO_SERVERS, meant
from agentspan.cli import main
from agentspan_standalone.settings import Settings


@pytest.fixture(autouse=True)
def a_new_process() -> None:
    _discovery._warn.cache_clear()


def asked_of(caplog: pytest.LogCaptureFixture, **environ: str) -> list[str]:
    """What a program is told that makes two runtimes in this environment."""
    with caplog.at_level(logging.WARNING):
        for _ in range(2):
            server_url(None, environ)
            autostarts(None, environ)
    return [record.getMessage() for record in caplog.records]


def test_no_setting_of_a_server_is_taken_for_one_of_the_sdk() -> None:
    for name in Settings.model_fields:
        for given in (name.upper(), f"{name.upper()}_FILE"):
            assert meant(given, NO_SERVERS) is None, given


@pytest.mark.parametrize(
    ("given", "meant"),
    [
        ("AGENTSPAN_URL", "AGENTSPAN_SERVER_URL"),
        ("AGENTSPAN_SERVER", "AGENTSPAN_SERVER_URL"),
        ("AGENTSPAN_SEVER_URL", "AGENTSPAN_SERVER_URL"),
        ("AGENTSPAN_AUTO_START", "AGENTSPAN_AUTOSTART"),
    ],
)
def test_a_name_that_nothing_reads_is_told_once_with_the_one_that_was_meant(
    caplog: pytest.LogCaptureFixture, given: str, meant: str
) -> None:
    assert asked_of(caplog, **{given: "1"}) == [f"nothing reads {given}; did you mean {meant}?"]


@pytest.mark.parametrize(
    "environ",
    [
        {},
        {"AGENTSPAN_PORT": "7000", "AGENTSPAN_LOG": "kafka://a:9092", "AGENTSPAN_KAFKA_SECURITY_FILE": "f"},
        {"AGENTSPAN_REPLAY_DIR": "r", "AGENTSPAN_DEBUG": "1", "AGENTSPAN_SCRIPTED_MODEL_URL": "http://a"},
        {"AGENTSPAN_URL": "http://a", "AGENTSPAN_SERVER_URL": "http://a"},
        {"AGENTSPAN_PREFIX": "agentspan", "AGENTSPAN_XYZZY": "1"},
        {"AGENTSPAN_PROT": "7000"},
    ],
)
def test_what_is_no_mistake_about_the_sdk_is_none(caplog: pytest.LogCaptureFixture, environ: dict[str, str]) -> None:
    assert asked_of(caplog, **environ) == []


def test_who_names_the_server_in_the_program_is_told_nothing(caplog: pytest.LogCaptureFixture) -> None:
    server_url("http://a", {"AGENTSPAN_URL": "http://b"})
    autostarts(False, {"AGENTSPAN_AUTO_START": "1"})
    assert caplog.records == []


def test_the_command_line_says_so_too(caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("AGENTSPAN_SERVER_URL", raising=False)
    monkeypatch.setattr(_discovery, "DEFAULT_URL", "http://127.0.0.1:9")
    monkeypatch.setenv("AGENTSPAN_URL", "http://a")
    assert main(["agent", "list"]) == 3
    assert [record.getMessage() for record in caplog.records if "nothing reads" in record.getMessage()] == [
        "nothing reads AGENTSPAN_URL; did you mean AGENTSPAN_SERVER_URL?"
    ]
