"""How the provider of an agent's model is found, and what is said when there is none."""

from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path

import pytest

from agentspan_schemas.agents import AgentDefinition, ToolDefinition
from agentspan_tool_runner.models import ModelError, ModelRequest, ModelResponse, ModelSettings, Providers
from agentspan_tool_runner.models.anthropic import Anthropic

AGENT = AgentDefinition(name="triage", model="anthropic/claude-sonnet-4-6")


def settings(environment: Mapping[str, str]) -> ModelSettings:
    return ModelSettings(environment, now=lambda: datetime(2026, 1, 1, tzinfo=UTC))


class Parrot:
    def __init__(self) -> None:
        self.closed = 0

    def check(self, definition: AgentDefinition) -> str | None:
        return None if definition.instructions else "teach it first"

    async def reply(self, request: ModelRequest) -> ModelResponse:
        return ModelResponse(model=request.model, text="hello")

    async def aclose(self) -> None:
        self.closed += 1


async def test_a_provider_is_found_by_the_part_before_the_slash_and_made_once() -> None:
    made: list[Parrot] = []

    def make() -> Parrot:
        made.append(Parrot())
        return made[-1]

    providers = Providers({"parrot": make})
    bird = AgentDefinition(name="bird", model="parrot/grey/old")
    request = ModelRequest(definition=bird, messages=(), metadata={}, execution_id="exec-1", turn=1)
    assert (await providers.reply(request)).model == "grey/old"
    assert providers.check(bird) == "teach it first"
    assert len(made) == 1
    await providers.aclose()
    await providers.aclose()
    assert made[0].closed == 1


async def test_an_unknown_provider_is_named_with_those_there_are() -> None:
    providers = Providers({"parrot": Parrot})
    expected = r"no provider for model 'anthropic/claude-sonnet-4-6' of agent 'triage'; the server has parrot/…"
    assert str(providers.check(AGENT)).startswith(expected)
    with pytest.raises(ModelError, match=r"no provider for model") as caught:
        await providers.reply(ModelRequest(definition=AGENT, messages=(), metadata={}, execution_id="e", turn=1))
    assert not caught.value.retryable


def test_the_server_comes_with_two_providers() -> None:
    providers = Providers.installed(settings({"ANTHROPIC_API_KEY": "sk-1"}))
    assert providers.check(AGENT) is None
    assert "AGENTSPAN_REPLAY_DIR" in str(providers.check(AGENT.model_copy(update={"model": "replay/shop"})))


def test_a_missing_key_is_told_before_a_run_starts() -> None:
    missing = Anthropic(settings({})).check(AGENT)
    assert missing is not None
    assert "'anthropic/claude-sonnet-4-6' of agent 'triage' needs a key" in missing
    assert "set ANTHROPIC_API_KEY or ANTHROPIC_API_KEY_FILE on the server" in missing


def test_a_key_may_stand_in_a_file(tmp_path: Path) -> None:
    file = tmp_path / "key"
    agent = Anthropic(settings({"ANTHROPIC_API_KEY_FILE": str(file)}))
    assert "cannot be read (FileNotFoundError)" in str(agent.check(AGENT))
    file.write_text("\n", encoding="utf-8")
    assert "needs a key" in str(agent.check(AGENT))
    file.write_text("sk-1\n", encoding="utf-8")
    assert agent.check(AGENT) is None


@pytest.mark.parametrize("key", ["sk-secret\r\nx: y", "sk-secret\u00e9"])
def test_a_key_that_no_header_can_carry_is_refused_without_being_shown(key: str) -> None:
    missing = Anthropic(settings({"ANTHROPIC_API_KEY": key})).check(AGENT)
    assert "is no key" in str(missing)
    assert "secret" not in str(missing)


def test_a_tool_that_the_api_cannot_name_is_told_before_a_run_starts() -> None:
    tool = ToolDefinition(name="crm.look_up", input_schema={"type": "object"})
    missing = Anthropic(settings({"ANTHROPIC_API_KEY": "sk-1"})).check(AGENT.model_copy(update={"tools": (tool,)}))
    assert "tool 'crm.look_up' of agent 'triage' cannot be offered" in str(missing)
