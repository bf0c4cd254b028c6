"""OpenAI's provider with servers that are not OpenAI's: their addresses and keys, what they add, and what they leave
out."""

import pytest

from agentspan_schemas.messages import UserMessage
from agentspan_tool_runner.models import ModelError, ModelSettings
from agentspan_tool_runner.models.openai import OpenAI
from tests.integration.models_openai.conftest import AGENT, FIRST, provider_for, request
from tests.support.model_calls import NOW, as_message, as_result
from tests.support.openai_server import Events, Fault, OpenAIServer, Reply, Whole


async def test_items_that_a_server_tells_once_are_the_replys(server: OpenAIServer) -> None:
    model = provider_for(server.base_url, "responses")
    call = {"type": "function_call", "call_id": "call_1", "name": "look_up", "arguments": '{"n": 1}'}
    server.script(
        Events(
            [
                {"type": "response.output_item.done", "item": call},
                {"type": "response.completed", "response": {"status": "completed", "output": []}},
            ]
        )
    )
    assert [asked.args for asked in (await model.reply(request())).tool_calls] == [{"n": 1}]
    await model.aclose()


async def test_what_servers_leave_out_of_a_completion_is_made_up(server: OpenAIServer) -> None:
    model = provider_for(server.base_url, "chat")
    function = {"name": "look_up", "arguments": {"n": 1}}
    parts = [
        {"choices": [{"delta": {"content": [{"type": "text", "text": "Looking."}]}}]},
        {"choices": [{"delta": {"tool_calls": [{"id": "a", "function": {"name": "look_up", "arguments": "{"}}]}}]},
        {"choices": [{"delta": {"tool_calls": [{"function": {"arguments": "}"}}]}}]},
        {"choices": [{"delta": {"tool_calls": [{"id": "b", "function": function}]}}]},
        {"choices": [{"finish_reason": "tool_calls"}]},
    ]
    whole = {"choices": [{"message": {"content": None, "tool_calls": [{"function": function}]}}]}
    server.script(Events(parts), Whole(whole))
    streamed = await model.reply(request())
    assert streamed.text == "Looking."
    assert [(call.model_call_id, call.args) for call in streamed.tool_calls] == [("a", {}), ("b", {"n": 1})]
    plain = provider_for(server.base_url, "chat", stream="off")
    (call,) = (await plain.reply(request())).tool_calls
    assert (call.model_call_id, call.args) == ("call_1_0", {"n": 1})
    await model.aclose()
    await plain.aclose()


async def test_reasoning_that_a_compatible_server_shows_is_handed_back_to_it(
    server: OpenAIServer, chat: OpenAI
) -> None:
    server.script(Reply("Looking.", (FIRST,), reasoning="Two orders."), Reply("Done."))
    said = as_message(await chat.reply(request()))
    await chat.reply(request(UserMessage(text="Go"), said, as_result(said.tool_calls[0], value="x")))
    assert server.requests[1]["messages"][2]["reasoning_content"] == "Two orders."


async def test_an_address_of_ones_own_is_asked_in_chat_completions(server: OpenAIServer) -> None:
    model = provider_for(server.base_url)
    server.script(Reply("Hello"))
    await model.reply(request())
    assert server.paths == ["/v1/chat/completions"]
    assert server.requests[0]["stream_options"] == {"include_usage": True}
    await model.aclose()


async def test_a_compatible_endpoint_is_named_by_its_settings() -> None:
    async with OpenAIServer(key="acme-key") as server:
        environment = {"ACME_AI_BASE_URL": server.base_url, "ACME_AI_API_KEY": "acme-key"}
        model = OpenAI(ModelSettings(environment, now=lambda: NOW), "acme-ai")
        server.script(Reply("Hello"), Fault(404, "no such model"))
        agent = AGENT.model_copy(update={"model": "acme-ai/large/v2"})
        assert (await model.reply(request(definition=agent))).model == "large/v2"
        with pytest.raises(ModelError, match=r"the API of 'acme-ai' knows no such model .* and ACME_AI_BASE_URL"):
            await model.reply(request(definition=agent))
        await model.aclose()


async def test_a_server_without_keys_needs_none() -> None:
    async with OpenAIServer(key="") as server:
        model = OpenAI(ModelSettings({"OLLAMA_BASE_URL": server.base_url}, now=lambda: NOW), "ollama")
        server.script(Reply("Hello"))
        agent = AGENT.model_copy(update={"model": "ollama/llama3.2:3b"})
        assert model.check(agent) is None
        assert (await model.reply(request(definition=agent))).text == "Hello"
        await model.aclose()
