"""How the provider of an agent's model is found, and what is said when there is none."""

from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path

import pytest

from agentspan_schemas.agents import AgentDefinition, ToolDefinition
from agentspan_tool_runner.models import ModelError, ModelRequest, ModelResponse, ModelSettings, Providers
from agentspan_tool_runner.models import openai as openai_module
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


def of(model: str) -> AgentDefinition:
    return AGENT.model_copy(update={"model": model})


@pytest.mark.parametrize(
    ("model", "missing"),
    [
        ("anthropic/claude-sonnet-4-6", "set ANTHROPIC_API_KEY or ANTHROPIC_API_KEY_FILE on the server"),
        ("openai/gpt-5", "set OPENAI_API_KEY or OPENAI_API_KEY_FILE on the server"),
        ("groq/llama-3.3-70b-versatile", "set GROQ_API_KEY or GROQ_API_KEY_FILE on the server"),
        ("bedrock/anthropic.claude-sonnet-4-6", "set AWS_REGION on the server"),
        ("vertex/claude-sonnet-4-6", "set CLOUD_ML_REGION on the server"),
        ("replay/shop", "AGENTSPAN_REPLAY_DIR"),
        ("scripted/shop", "no test started this server"),
    ],
)
def test_what_each_provider_lacks_is_told_before_a_run_starts(model: str, missing: str) -> None:
    assert missing in str(Providers.installed(settings({})).check(of(model)))


@pytest.mark.parametrize(
    ("environment", "model"),
    [
        ({"ANTHROPIC_API_KEY": "sk-1"}, "anthropic/claude-sonnet-4-6"),
        ({"OPENAI_API_KEY": "sk-1"}, "openai/gpt-5"),
        ({"OPENAI_BASE_URL": "http://127.0.0.1:8000/v1"}, "openai/gpt-oss-120b"),
        ({"GROQ_API_KEY": "gsk-1"}, "groq/llama-3.3-70b-versatile"),
        ({}, "ollama/llama3.2:3b"),
        ({"MY_VLLM_BASE_URL": "http://127.0.0.1:8000/v1"}, "my-vllm/qwen3"),
        ({"AWS_REGION": "eu-west-1"}, "bedrock/anthropic.claude-sonnet-4-6"),
        ({"CLOUD_ML_REGION": "global", "ANTHROPIC_VERTEX_PROJECT_ID": "shop"}, "vertex/claude-sonnet-4-6"),
    ],
)
def test_settings_make_a_provider_complete(environment: dict[str, str], model: str) -> None:
    assert Providers.installed(settings(environment)).check(of(model)) is None


def test_a_name_without_an_address_says_how_to_give_it_one() -> None:
    said = Providers.installed(settings({})).check(of("my-vllm/qwen3"))
    assert "set MY_VLLM_BASE_URL on the server if it speaks OpenAI's API" in str(said)


def test_a_dialect_that_there_is_not_is_told_before_a_run_starts() -> None:
    providers = Providers.installed(settings({"OPENAI_API_KEY": "sk-1", "OPENAI_API": "assistants"}))
    assert "OPENAI_API='assistants' on the server is no dialect: set it to responses or chat" in str(
        providers.check(of("openai/gpt-5"))
    )


def test_openais_own_client_is_named_where_it_is_missing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(openai_module, "find_spec", lambda name: None)
    said = Providers.installed(settings({"OPENAI_API_KEY": "sk-1"})).check(of("openai/gpt-5"))
    assert "needs openai on the server: pip install 'agentspan[server]'" in str(said)


def test_a_tool_name_too_long_for_openai_is_told_before_a_run_starts() -> None:
    tool = ToolDefinition(name="t" * 65, input_schema={"type": "object"})
    agent = of("openai/gpt-5").model_copy(update={"tools": (tool,)})
    said = Providers.installed(settings({"OPENAI_API_KEY": "sk-1"})).check(agent)
    assert "takes up to 64 letters" in str(said)


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
