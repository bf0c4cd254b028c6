"""OpenAI's provider in a conversation, in both dialects: what it sends of it, what it makes of each kind of reply."""

from agentspan_schemas import Failure, JsonObject
from agentspan_schemas.messages import AssistantMessage, RequestedCall, UserMessage
from agentspan_tool_runner.models.openai import OpenAI
from tests.integration.models_openai.conftest import FIRST, SECOND, provider_for, request
from tests.support.model_calls import as_message, as_result
from tests.support.openai_server import Events, OpenAIServer, Reply, Whole


async def test_a_conversation_with_parallel_calls_and_reasoning_goes_through(
    server: OpenAIServer, model: OpenAI, dialect: str
) -> None:
    server.script(Reply("Looking.", (FIRST, SECOND), reasoning="Two orders."), Reply("Order 7 is on its way."))
    prompt = UserMessage(text="Where is order 7?")
    first = await model.reply(request(prompt))
    said = as_message(first)
    results = (
        as_result(said.tool_calls[0], value={"state": "shipped"}),
        as_result(said.tool_calls[1], error=Failure(kind="invalid_args", message="n is missing")),
    )
    last = await model.reply(request(prompt, said, results[0], UserMessage(text="Please hurry."), results[1]))

    assert first.text == "Looking."
    assert [(call.model_call_id, call.tool, call.args) for call in first.tool_calls] == [
        ("call_1", "look_up", {"n": 1}),
        ("call_2", "look_up", {"größe": [2.5, None]}),
    ]
    assert (last.text, last.tool_calls, last.model) == ("Order 7 is on its way.", (), "gpt-5")
    sent = server.requests[1]
    told = sent["messages"] if dialect == "chat" else sent["input"]
    assert "Two orders." in str(told)
    assert "Error: n is missing" in str(told)


async def test_a_request_carries_instructions_tools_temperature_and_the_limit_of_tokens(
    server: OpenAIServer, model: OpenAI, dialect: str
) -> None:
    server.script(Reply("Hello"))
    await model.reply(request())
    sent = server.requests[0]
    assert (sent["model"], sent["temperature"]) == ("gpt-5", 0.5)
    if dialect == "chat":
        assert sent["max_tokens"] == 9000
        assert sent["messages"][0] == {"role": "system", "content": "Be kind."}
        function = {"name": "look_up", "description": "Find an order.", "parameters": {"type": "object"}}
        assert sent["tools"] == [{"type": "function", "function": function}]
    else:
        assert (sent["max_output_tokens"], sent["instructions"], sent["store"]) == (9000, "Be kind.", False)
        assert sent["tools"][0]["name"] == "look_up"


async def test_cached_tokens_are_counted_once(server: OpenAIServer, model: OpenAI, dialect: str) -> None:
    server.script(Reply("Hello"))
    usage = (await model.reply(request())).usage
    assert (usage.input_tokens, usage.output_tokens, usage.cache_read_tokens) == (
        (20, 7, 10) if dialect == "chat" else (15, 7, 10)
    )
    assert usage.cache_write_tokens == (0 if dialect == "chat" else 5)


async def test_words_come_as_they_are_generated(server: OpenAIServer, streaming: OpenAI) -> None:
    server.script(Reply("Order 7 is on its way.", (FIRST,), reasoning="Let me see."))
    heard: list[str] = []
    reply = await streaming.reply(request(on_text=heard.append))
    assert "".join(heard) == reply.text == "Order 7 is on its way."
    assert len(heard) > 2


async def test_arguments_that_are_no_json_are_told_to_the_model_and_not_handed_back(
    server: OpenAIServer, model: OpenAI
) -> None:
    server.script(Reply(calls=(("call_1", "look_up", '{"n": 7'),)), Reply("Sorry."))
    reply = await model.reply(request())
    assert reply.tool_calls[0].args == {}
    assert str(reply.tool_calls[0].args_error).startswith('the input of a call is a JSON object, not "{')
    said = as_message(reply)
    failed = as_result(said.tool_calls[0], error=Failure(kind="invalid_args", message="no JSON"))
    assert (await model.reply(request(UserMessage(text="Go"), said, failed))).text == "Sorry."


async def test_a_call_without_arguments_has_none(server: OpenAIServer, model: OpenAI) -> None:
    server.script(Reply(calls=(("call_1", "look_up", ""),)))
    (call,) = (await model.reply(request())).tool_calls
    assert (call.args, call.args_error) == ({}, None)


async def test_half_a_character_is_mended(server: OpenAIServer, model: OpenAI) -> None:
    server.script(Reply("1234\ud83d\ude00 and \ud83d", (("call_1", "look_up", '{"n": "\\ud83d"}'),)))
    reply = await model.reply(request())
    assert reply.text == "1234\U0001f600 and \ufffd"
    assert reply.tool_calls[0].args == {"n": "\ufffd"}


async def test_a_reply_without_content_is_an_empty_one(server: OpenAIServer, model: OpenAI) -> None:
    server.script(Reply())
    reply = await model.reply(request())
    assert (reply.text, reply.tool_calls) == ("", ())


async def test_a_conversation_that_begun_with_another_models_api_goes_on(server: OpenAIServer, model: OpenAI) -> None:
    call = RequestedCall(call_id="1-0", model_call_id="toolu_1", tool="look_up", args={"n": 1})
    blocks: tuple[JsonObject, ...] = (
        {"type": "thinking", "thinking": "hm", "signature": "c2ln"},
        {"type": "tool_use", "id": "toolu_1"},
    )
    said = AssistantMessage(text="Looking.", tool_calls=(call,), blocks=blocks)
    server.script(Reply("Done."))
    assert (await model.reply(request(UserMessage(text="Go"), said, as_result(call, value=1)))).text == "Done."


async def test_reasoning_that_is_nothing_but_its_id_is_left_out_with_what_hangs_on_it(
    server: OpenAIServer, responses: OpenAI
) -> None:
    output: list[JsonObject] = [
        {"type": "reasoning", "id": "rs_1", "summary": []},
        {"type": "function_call", "id": "fc_thought", "call_id": "call_1", "name": "look_up", "arguments": "{}"},
    ]
    call = RequestedCall(call_id="1-0", model_call_id="call_1", tool="look_up", args={})
    said = AssistantMessage(tool_calls=(call,), blocks=tuple(output))
    server.script(Reply("Done."))
    await responses.reply(request(UserMessage(text="Go"), said, as_result(call, value=1)))
    assert [item.get("id") for item in server.requests[0]["input"]] == [None, None, None]


async def test_items_of_a_kind_that_is_unknown_here_go_back_as_they_came(
    server: OpenAIServer, responses: OpenAI
) -> None:
    message = {
        "type": "message",
        "role": "assistant",
        "content": [{"type": "output_text", "text": "Hi"}, {"type": "?"}],
    }
    whole = {"status": "completed", "model": "gpt-5", "output": [{"type": "of_later", "x": 1}, message], "usage": None}
    done = {"type": "response.completed", "response": whole}
    server.script(Events([done]), Whole(whole))
    streams = provider_for(server.base_url, "responses")
    streamed = await streams.reply(request())
    assert streamed.text == "Hi"
    assert streamed.blocks == ({"type": "of_later", "x": 1}, message)
    assert streamed.usage.input_tokens == 0
    await streams.aclose()
