"""OpenAI's provider through the official client, against a server that speaks both of its wire formats."""

from collections.abc import AsyncIterator, Callable
from datetime import UTC, datetime
from typing import Any

import pytest

from agentspan_schemas import Failure, JsonObject
from agentspan_schemas.agents import AgentDefinition, ToolDefinition
from agentspan_schemas.messages import AssistantMessage, Message, RequestedCall, ToolMessage, UserMessage
from agentspan_tool_runner.models import ModelError, ModelRequest, ModelResponse, ModelSettings
from agentspan_tool_runner.models.openai import OpenAI
from tests.support.openai_server import KEY, Events, Fault, OpenAIServer, Raw, Reply, Silence, Whole

NOW = datetime(2026, 3, 1, 12, 0, tzinfo=UTC)
LOOK_UP = ToolDefinition(name="look_up", description="Find an order.", input_schema={"type": "object"})
AGENT = AgentDefinition(
    name="triage", model="openai/gpt-5", instructions="Be kind.", tools=(LOOK_UP,), max_tokens=9000, temperature=0.5
)
FIRST = ("call_1", "look_up", '{"n": 1}')
SECOND = ("call_2", "look_up", '{"größe": [2.5, null]}')


@pytest.fixture
async def server() -> AsyncIterator[OpenAIServer]:
    async with OpenAIServer() as server:
        yield server


@pytest.fixture(params=["responses", "chat"])
def dialect(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture(params=["on", "off"])
async def model(server: OpenAIServer, dialect: str, request: pytest.FixtureRequest) -> AsyncIterator[OpenAI]:
    provider = provider_for(server.base_url, dialect, stream=request.param)
    yield provider
    await provider.aclose()


@pytest.fixture
async def streaming(server: OpenAIServer, dialect: str) -> AsyncIterator[OpenAI]:
    provider = provider_for(server.base_url, dialect)
    yield provider
    await provider.aclose()


@pytest.fixture(params=["on", "off"])
async def chat(server: OpenAIServer, request: pytest.FixtureRequest) -> AsyncIterator[OpenAI]:
    provider = provider_for(server.base_url, "chat", stream=request.param)
    yield provider
    await provider.aclose()


@pytest.fixture(params=["on", "off"])
async def responses(server: OpenAIServer, request: pytest.FixtureRequest) -> AsyncIterator[OpenAI]:
    provider = provider_for(server.base_url, "responses", stream=request.param)
    yield provider
    await provider.aclose()


def provider_for(
    base_url: str, dialect: str = "", *, key: str = KEY, timeout_s: float = 30.0, stream: str = "on"
) -> OpenAI:
    environment = {
        "OPENAI_API_KEY": key,
        "OPENAI_BASE_URL": base_url,
        "OPENAI_API": dialect,
        "OPENAI_STREAM": stream,
    }
    return OpenAI(ModelSettings(environment, now=lambda: NOW), timeout_s=timeout_s)


def request(
    *messages: Message, on_text: Callable[[str], None] | None = None, definition: AgentDefinition = AGENT
) -> ModelRequest:
    return ModelRequest(
        definition=definition,
        messages=messages or (UserMessage(text="Where is order 7?"),),
        metadata={},
        execution_id="exec-1",
        turn=1,
        on_text=on_text,
    )


async def failure(model: OpenAI) -> ModelError:
    with pytest.raises(ModelError) as caught:
        await model.reply(request())
    assert KEY not in caught.value.message
    return caught.value


def as_message(response: ModelResponse) -> AssistantMessage:
    calls = tuple(
        RequestedCall(call_id=f"1-{at}", model_call_id=asked.model_call_id, tool=asked.tool, args=asked.args)
        for at, asked in enumerate(response.tool_calls)
    )
    return AssistantMessage(text=response.text, tool_calls=calls, blocks=response.blocks)


def as_result(call: RequestedCall, **outcome: Any) -> ToolMessage:
    return ToolMessage(call_id=call.call_id, model_call_id=call.model_call_id, tool=call.tool, **outcome)


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


@pytest.mark.parametrize(
    ("status", "kind", "retryable"),
    [
        (400, "invalid_request", False),
        (403, "permission", False),
        (404, "not_found", False),
        (408, "timeout", True),
        (409, "conflict", True),
        (422, "invalid_request", False),
        (429, "rate_limit", True),
        (500, "api_error", True),
        (503, "api_error", True),
    ],
)
async def test_each_status_is_a_clear_error_asked_once(
    server: OpenAIServer, model: OpenAI, status: int, kind: str, retryable: bool
) -> None:
    server.script(Fault(status, "these are the API's words"))
    error = await failure(model)
    assert (error.kind, error.retryable, error.retry_after_s) == (kind, retryable, None)
    assert f"answered {status}: these are the API's words (request req_0001)" in error.message
    assert len(server.requests) == 1


@pytest.mark.parametrize(
    ("headers", "seconds"),
    [
        ({"retry-after": "17"}, 17.0),
        ({"retry-after": "2", "retry-after-ms": "1500"}, 1.5),
        ({"retry-after": "?"}, None),
    ],
)
async def test_the_api_says_how_long_to_wait(
    server: OpenAIServer, streaming: OpenAI, headers: dict[str, str], seconds: float | None
) -> None:
    server.script(Fault(429, "slow down", headers))
    assert (await failure(streaming)).retry_after_s == seconds


@pytest.mark.parametrize(
    ("status", "code", "kind"),
    [(429, "insufficient_quota", "billing"), (400, "context_length_exceeded", "model_context_window_exceeded")],
)
async def test_what_asking_again_would_not_mend_is_not_asked_again(
    server: OpenAIServer, streaming: OpenAI, status: int, code: str, kind: str
) -> None:
    server.script(Fault(status, "no", code=code))
    error = await failure(streaming)
    assert (error.kind, error.retryable) == (kind, False)


async def test_a_refused_key_names_the_setting(server: OpenAIServer, dialect: str) -> None:
    model = provider_for(server.base_url, dialect, key="sk-of-somebody-else")
    error = await failure(model)
    assert (error.kind, error.retryable) == ("authentication", False)
    assert "check OPENAI_API_KEY on the server" in error.message
    await model.aclose()


async def test_an_unknown_model_names_the_agents_model_and_the_address(server: OpenAIServer, streaming: OpenAI) -> None:
    server.script(Fault(404, "The model `gpt-5` does not exist", code="model_not_found"))
    assert "check the agent's model and OPENAI_BASE_URL" in (await failure(streaming)).message


async def test_a_key_that_the_other_side_repeats_is_cut_out(server: OpenAIServer, model: OpenAI) -> None:
    server.script(Fault(400, f"what is {KEY}?"))
    assert "what is …?" in (await failure(model)).message


@pytest.mark.parametrize("reset", [False, True])
@pytest.mark.parametrize("after", [0, 1, 3])
async def test_a_stream_that_ends_in_the_middle_is_no_reply(
    server: OpenAIServer, streaming: OpenAI, after: int, reset: bool
) -> None:
    server.script(Reply("Order 7 is on its way.", cut_after=after, reset=reset))
    error = await failure(streaming)
    assert (error.kind, error.retryable) == ("connection", True)


@pytest.mark.parametrize(
    "answer",
    [
        Raw(b'{"choices": [{"mess'),
        Raw(b"<html>hello from a proxy</html>", content_type="text/html"),
        Raw(b""),
        Raw(b"\xff\xfe"),
        Whole({"choices": []}),
        Whole({"choices": [{"message": "Hi"}]}),
        Whole({"output": "Hi", "status": "completed"}),
        Whole([]),
        Whole(None),
    ],
)
async def test_what_is_no_reply_is_malformed_and_may_be_asked_for_again(
    server: OpenAIServer, model: OpenAI, answer: Raw | Whole
) -> None:
    server.script(answer)
    error = await failure(model)
    assert (error.kind, error.retryable) == ("malformed_reply", True)


@pytest.mark.parametrize(
    "event", ["{half", "[1]", "null", {"choices": "none"}, {"choices": [{"delta": {"tool_calls": [1]}}]}]
)
async def test_chunks_that_make_no_completion_are_malformed(server: OpenAIServer, event: Any) -> None:
    model = provider_for(server.base_url, "chat")
    server.script(Events([event]))
    error = await failure(model)
    assert (error.kind, error.retryable) == ("malformed_reply", True)
    await model.aclose()


@pytest.mark.parametrize("event", ["{half", "[1]", "null", {"response": {}}])
async def test_events_that_make_no_response_are_malformed(server: OpenAIServer, event: Any) -> None:
    model = provider_for(server.base_url, "responses")
    server.script(Events([event]))
    error = await failure(model)
    assert (error.kind, error.retryable) == ("malformed_reply", True)
    await model.aclose()


@pytest.mark.parametrize(
    ("code", "kind", "retryable"),
    [
        ("rate_limit_exceeded", "rate_limit", True),
        ("server_error", "api_error", True),
        ("invalid_prompt", "invalid_request", False),
    ],
)
async def test_an_error_in_the_middle_of_a_stream_is_as_clear_as_one_before_it(
    server: OpenAIServer, streaming: OpenAI, code: str, kind: str, retryable: bool
) -> None:
    server.script(Events([{"error": {"code": code, "message": "these are the API's words"}}]))
    error = await failure(streaming)
    assert (error.kind, error.retryable) == (kind, retryable)
    assert "these are the API's words" in error.message


@pytest.mark.parametrize(
    "event",
    [
        {"type": "error", "code": "server_error", "message": "these are the API's words"},
        {
            "type": "response.failed",
            "response": {"status": "failed", "error": {"code": "server_error", "message": "these are the API's words"}},
        },
    ],
)
async def test_a_response_that_failed_may_be_asked_for_again(server: OpenAIServer, event: dict[str, Any]) -> None:
    model = provider_for(server.base_url, "responses")
    server.script(Events([event]))
    error = await failure(model)
    assert (error.kind, error.retryable) == ("api_error", True)
    assert "these are the API's words" in error.message
    await model.aclose()


async def test_a_refusal_and_a_cut_off_reply_are_errors_that_say_what_to_change(
    server: OpenAIServer, model: OpenAI, dialect: str
) -> None:
    cut = "length" if dialect == "chat" else "max_output_tokens"
    server.script(
        Reply(refusal="I can't help with that."),
        Reply("Half a sen", (FIRST,), finish=cut),
        Reply("Half", finish="content_filter"),
    )
    refusal, cut_off, filtered = await failure(model), await failure(model), await failure(model)
    assert (refusal.kind, cut_off.kind, filtered.kind) == ("refusal", "max_tokens", "refusal")
    assert "I can't help with that." in refusal.message
    assert "max_tokens=9000: give agent 'triage' a larger max_tokens" in cut_off.message
    assert "content filter" in filtered.message
    assert [error.retryable for error in (refusal, cut_off, filtered)] == [False, False, False]


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


async def test_a_server_that_stays_silent_is_a_timeout(server: OpenAIServer, dialect: str) -> None:
    model = provider_for(server.base_url, dialect, timeout_s=0.05)
    server.script(Silence())
    error = await failure(model)
    assert (error.kind, error.retryable) == ("timeout", True)
    await model.aclose()


async def test_a_server_that_is_not_there_is_a_connection_error(dialect: str) -> None:
    async with OpenAIServer() as gone:
        address = gone.base_url
    model = provider_for(address, dialect)
    error = await failure(model)
    assert (error.kind, error.retryable) == ("connection", True)
    await model.aclose()


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
