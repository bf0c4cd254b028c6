"""compose.yaml against the settings, commands and doors that there are: it has to say what the services read."""

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
import typer.main
import yaml  # type: ignore[import-untyped]

from agentspan.cli._doctor_keys import SETTINGS
from agentspan.cli._main import app
from agentspan_schemas import MAX_VALUE_BYTES
from agentspan_standalone.settings import ROLES, Settings
from agentspan_tool_runner.models import bedrock, vertex
from tests.unit.deploy_doors import Door, doors

ROOT = Path(__file__).parents[2]
POM = ROOT / "tests" / "support" / "kafka" / "pom.xml"
RULES = re.compile(r'"~(?P<request>[^"]+)"\s+(?P<service>[a-z-]+);')


@pytest.fixture(scope="module")
def compose() -> dict[str, Any]:
    loaded: dict[str, Any] = yaml.safe_load((ROOT / "compose.yaml").read_text(encoding="utf-8"))
    return loaded


@pytest.fixture(scope="module")
def door(compose: Mapping[str, Any]) -> str:
    """The door's configuration, as the container reads it."""
    return str(compose["configs"]["door"]["content"]).replace("$$", "$")


def given(compose: Mapping[str, Any], service: str) -> dict[str, str]:
    """A service's environment, where the shell that starts it says nothing: a name without a value is not there."""
    environment = {
        name: value for name, value in compose["services"][service]["environment"].items() if value is not None
    }
    return {name: re.sub(r"\$\{\w+:-(.*?)\}", r"\1", str(value)) for name, value in environment.items()}


def test_there_is_a_container_for_each_service(compose: Mapping[str, Any]) -> None:
    services = {name: service for name, service in compose["services"].items() if service["image"] == "agentspan"}
    assert {"topics", *ROLES} == services.keys()
    assert {role: given(compose, role)["AGENTSPAN_ROLES"] for role in ROLES} == {role: role for role in ROLES}


@pytest.mark.parametrize("service", ROLES)
def test_the_settings_are_the_servers_own(
    compose: Mapping[str, Any], monkeypatch: pytest.MonkeyPatch, tmp_path: Path, service: str
) -> None:
    environment = given(compose, service)
    ours = {name.removeprefix("AGENTSPAN_").lower() for name in environment if name.startswith("AGENTSPAN_")}
    assert ours <= Settings.model_fields.keys()
    assert {name for name in environment if not name.startswith("AGENTSPAN_")} == set()
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    settings = Settings(data=tmp_path)
    assert (settings.roles, settings.host, settings.port) == ((service,), "0.0.0.0", 6767)
    assert settings.kafka().bootstrap == "kafka:9092"
    assert settings.clickhouse == ("http://agentspan@clickhouse:8123" if service == "query" else "")


@pytest.mark.parametrize("service", ROLES)
def test_who_calls_models_is_given_what_lets_it_in(compose: Mapping[str, Any], service: str) -> None:
    """Each on the page of models, and passed on where the shell has it; what has any name comes from a file."""
    container = compose["services"][service]
    passed_on = {name for name, value in container["environment"].items() if value is None}
    if service != "tool-runner":
        assert (passed_on, container.get("env_file")) == (set(), None)
        return
    page = (ROOT / "docs" / "models.md").read_text(encoding="utf-8")
    assert {name for name in passed_on if f"`{name}`" not in page} == set()
    named = {setting for provider in ("anthropic", "openai", "bedrock") for setting in SETTINGS[provider]}
    files_of_the_host = {"AWS_PROFILE"}
    assert named - files_of_the_host <= passed_on
    assert {bedrock.REGION, vertex.REGION, vertex.PROJECT} <= passed_on
    assert container["env_file"] == [{"path": "models.env", "required": False}]


def test_clickhouse_knows_the_user_that_asks_it(compose: Mapping[str, Any]) -> None:
    server, client = given(compose, "clickhouse"), given(compose, "query")
    assert client["AGENTSPAN_CLICKHOUSE"].startswith(f"http://{server['CLICKHOUSE_USER']}@clickhouse:")
    assert client["AGENTSPAN_CLICKHOUSE_PASSWORD"] == server["CLICKHOUSE_PASSWORD"]


def test_the_broker_is_the_one_that_the_log_is_tested_on(compose: Mapping[str, Any]) -> None:
    tested = re.search(r"<artifactId>kafka_2.13</artifactId>\s*<version>([\d.]+)<", POM.read_text(encoding="utf-8"))
    assert tested is not None
    assert compose["services"]["kafka"]["image"] == f"apache/kafka:{tested[1]}"


def test_the_topics_are_made_by_a_command_that_there_is(compose: Mapping[str, Any]) -> None:
    topics = compose["services"]["topics"]
    group, command, *options = topics["command"]
    commands: Any = typer.main.get_command(app)
    params = commands.commands[group].commands[command].make_context(command, options).params
    assert (params["replication"], params["min_insync"]) == (1, 1)
    assert topics["environment"]["AGENTSPAN_LOG"] == given(compose, "orchestrator")["AGENTSPAN_LOG"]


def test_nothing_is_published_beyond_this_machine(compose: Mapping[str, Any]) -> None:
    ports = {name: service["ports"] for name, service in compose["services"].items() if "ports" in service}
    assert ports == {"door": ["127.0.0.1:6767:6767"], "kafka": ["127.0.0.1:29092:29092"]}


@pytest.mark.parametrize("service", ["topics", *ROLES])
def test_services_run_on_a_read_only_image(compose: Mapping[str, Any], service: str) -> None:
    container = compose["services"][service]
    assert container["read_only"] is True
    assert container["cap_drop"] == ["ALL"]
    assert container["tmpfs"] == ["/tmp"]
    assert service == "topics" or container["volumes"] == ["/data"]


@pytest.mark.parametrize("asked", doors(), ids=str)
def test_the_door_leads_to_the_service_that_has_it(door: str, asked: Door) -> None:
    rules = [(match["request"], match["service"]) for match in RULES.finditer(door)]
    assert len(rules) == 5
    request = f"{asked.method} {asked.path}"
    assert next((service for rule, service in rules if re.search(rule, request)), "query") == asked.role
    assert re.search(r"default\s+query;", door)


def test_the_door_keeps_the_host_and_lets_in_what_the_services_take(door: str) -> None:
    assert "proxy_set_header Host $http_host;" in door
    assert "proxy_buffering off;" in door
    most = re.search(r"client_max_body_size (\d+)m;", door)
    assert most is not None
    assert int(most[1]) * 1024 * 1024 > MAX_VALUE_BYTES
