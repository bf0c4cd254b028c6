"""The scripted provider: what a test's process says is the model's reply, and what it cannot say is told."""

import socket
from collections.abc import Iterator, Sequence
from datetime import UTC, date, datetime
from pathlib import Path

import pytest

from agentspan.agents import Agent, TokenUsage
from agentspan.agents.testing import MockEvent, ScriptedModel, mock_run, record, recorded_turns, replay
from agentspan.agents.testing._model_hub import ModelHub
from agentspan.agents.testing._scripted_model import Turn
from agentspan_schemas import Usage
from agentspan_schemas.agents import AgentDefinition
from agentspan_schemas.messages import AssistantMessage, Message, UserMessage
from agentspan_tool_runner.models import ModelError, ModelRequest, ModelResponse, ModelSettings
from agentspan_tool_runner.models.scripted import ADDRESS, Scripted, provider

DEFINITION = AgentDefinition(name="shop", model="scripted/shop")


@pytest.fixture
def hub() -> Iterator[ModelHub]:
    with ModelHub() as hub:
        yield hub


async def ask(address: str | None, replies: int = 0) -> ModelResponse:
    messages: list[Message] = [UserMessage(text="Go"), *[AssistantMessage(text="…")] * replies]
    scripted = Scripted(address)
    request = ModelRequest(DEFINITION, tuple(messages), {}, "exec-1", replies + 1)
    try:
        return await scripted.reply(request)
    finally:
        await scripted.aclose()


async def failure(address: str | None) -> ModelError:
    with pytest.raises(ModelError) as caught:
        await ask(address)
    assert not caught.value.retryable
    return caught.value


def script(hub: ModelHub, turns: Sequence[Turn]) -> ScriptedModel:
    return hub.add(ScriptedModel("shop", turns))


async def test_the_turn_follows_from_the_replies_that_the_conversation_has(hub: ModelHub) -> None:
    script(hub, [[MockEvent.says("Looking."), MockEvent.tool_call("look_up", {"n": 1})], "Done."])
    first, second = await ask(hub.url), await ask(hub.url, replies=1)
    assert (first.text, first.stop_reason) == ("Looking.", "tool_use")
    assert [(call.model_call_id, call.tool, call.args) for call in first.tool_calls] == [
        ("scripted-1-0", "look_up", {"n": 1})
    ]
    assert (second.text, second.tool_calls, second.stop_reason) == ("Done.", (), "end_turn")


async def test_a_turns_args_may_be_written_as_python_has_them(hub: ModelHub) -> None:
    script(hub, [MockEvent.tool_call("book", {"day": date(2026, 2, 3), "sizes": ("S", "M")})])
    assert (await ask(hub.url)).tool_calls[0].args == {"day": "2026-02-03", "sizes": ["S", "M"]}


async def test_a_turn_says_what_it_took(hub: ModelHub) -> None:
    script(hub, [[MockEvent.used(900, 40, cache_read_tokens=800), MockEvent.done("Done.")], "Really."])
    first, second = await ask(hub.url), await ask(hub.url, replies=1)
    assert first.usage == Usage(input_tokens=900, output_tokens=40, cache_read_tokens=800)
    assert (first.text, second.usage) == ("Done.", Usage())


def test_what_a_recorded_model_took_plays_again(tmp_path: Path) -> None:
    agent = Agent("shop", "anthropic/claude-sonnet-4-6")
    script = [MockEvent.used(900, 40, cache_read_tokens=800), MockEvent.done("Sent.")]
    path = record(mock_run(agent, "hi", script), tmp_path / "r.json", agent)
    assert recorded_turns(path) == [[MockEvent.says("Sent."), MockEvent.used(900, 40, cache_read_tokens=800)]]
    assert replay(path, agent).usage == TokenUsage(900, 40, cache_read_tokens=800)


async def test_a_server_that_no_test_started_says_so_when_a_run_is_started() -> None:
    said = provider(ModelSettings(environment={}, now=lambda: datetime.now(UTC))).check(DEFINITION)
    assert said == (
        "model 'scripted/shop' is scripted by a test, and no test started this server: "
        "run the agent in a test, on the server of the fixture agentspan_server"
    )
    assert (await failure(None)).message == said


async def test_a_server_that_a_test_started_serves_the_model() -> None:
    settings = ModelSettings(environment={ADDRESS: "http://127.0.0.1:1"}, now=lambda: datetime.now(UTC))
    assert provider(settings).check(DEFINITION) is None


async def test_a_test_that_is_gone_is_named() -> None:
    with socket.create_server(("127.0.0.1", 0)) as listening:
        port = listening.getsockname()[1]
    error = await failure(f"http://127.0.0.1:{port}")
    assert error.kind == "script_unreachable"
    assert error.message.startswith(
        f"the test that scripts model 'scripted/shop' does not answer at http://127.0.0.1:{port}"
    )


async def test_an_answer_that_is_no_turn_is_named(hub: ModelHub) -> None:
    class Odd(ScriptedModel):
        def reply(self, body: object) -> dict[str, object]:  # type: ignore[override]
            return {"words": "hi"}

    hub.add(Odd("shop", ["hi"]))
    error = await failure(hub.url)
    assert error.kind == "script_unreadable"
    assert "words: Extra inputs are not permitted" in error.message


async def test_two_models_of_one_name_are_the_later_one(hub: ModelHub) -> None:
    script(hub, ["first"])
    script(hub, ["second"])
    assert (await ask(hub.url)).text == "second"
    assert hub.names == ("shop",)


def test_the_twin_differs_in_its_model_alone() -> None:
    agent = Agent("shop", "anthropic/claude-sonnet-4-6", "Be kind.", max_turns=3)
    twin = ScriptedModel("shop", ["hi"]).plays(agent)
    assert agent.model == agent.definition.model == "anthropic/claude-sonnet-4-6"
    assert twin.definition == agent.definition.model_copy(update={"model": "scripted/shop"})
    assert twin.definition.version != agent.definition.version


def test_a_twin_of_an_agent_with_a_function_for_instructions_asks_it_at_each_start() -> None:
    said = iter(["one", "two"])
    twin = ScriptedModel("shop", ["hi"]).plays(Agent("shop", "anthropic/claude-sonnet-4-6", lambda: next(said)))
    assert [twin.definition.instructions, twin.definition.instructions] == ["one", "two"]
