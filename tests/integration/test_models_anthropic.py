"""The Anthropic provider through the official client, against a server that speaks the Messages wire format."""

import asyncio
import logging
from collections.abc import AsyncIterator, Callable
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from agentspan_schemas import Failure
from agentspan_schemas.agents import AgentDefinition, ToolDefinition
from agentspan_schemas.messages import AssistantMessage, Message, RequestedCall, ToolMessage, UserMessage
from agentspan_tool_runner.models import ModelError, ModelRequest, ModelResponse, ModelSettings
from agentspan_tool_runner.models.anthropic import Anthropic
from tests.support.messages_server import (
    KEY,
    CutOff,
    Events,
    Fault,
    MessagesServer,
    Raw,
    Reply,
    Silence,
    text,
    tool_use,
)

NOW = datetime(2026, 3, 1, 12, 0, tzinfo=UTC)
LOOK_UP = ToolDefinition(name="look_up", description="Find an order.", input_schema={"type": "object"})
AGENT = AgentDefinition(
    name="triage", model="anthropic/claude-sonnet-4-6", instructions="Be kind.", tools=(LOOK_UP,), max_tokens=64_000
)


@pytest.fixture
async def server() -> AsyncIterator[MessagesServer]:
    async with MessagesServer() as server:
        yield server


@pytest.fixture(params=["on", "off"])
async def model(server: MessagesServer, request: pytest.FixtureRequest) -> AsyncIterator[Anthropic]:
    provider = provider_for(server.base_url, stream=request.param)
    yield provider
    await provider.aclose()


@pytest.fixture
async def streaming(server: MessagesServer) -> AsyncIterator[Anthropic]:
    provider = provider_for(server.base_url)
    yield provider
    await provider.aclose()


def provider_for(base_url: str, *, key: str = KEY, timeout_s: float = 30.0, stream: str = "on") -> Anthropic:
    environment = {"ANTHROPIC_API_KEY": key, "ANTHROPIC_BASE_URL": base_url, "ANTHROPIC_STREAM": stream}
    return Anthropic(ModelSettings(environment, now=lambda: NOW), timeout_s=timeout_s)


def request(*messages: Message, on_text: Callable[[str], None] | None = None) -> ModelRequest:
    return ModelRequest(
        on_text=on_text,
        definition=AGENT,
        messages=messages or (UserMessage(text="Where is order 7?"),),
        metadata={},
        execution_id="exec-1",
        turn=1,
    )


async def failure(model: Anthropic) -> ModelError:
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


async def test_a_conversation_with_parallel_calls_and_thinking_goes_through(
    server: MessagesServer, model: Anthropic
) -> None:
    thinking = {"type": "thinking", "thinking": "Two orders.", "signature": "c2lnbmF0dXJl"}
    asks = [thinking, text("Looking."), tool_use("toolu_1", "look_up", {"n": 1}), tool_use("toolu_2", "look_up", {})]
    usage = {
        "input_tokens": 20,
        "output_tokens": 9,
        "cache_read_input_tokens": 100,
        "cache_creation_input_tokens": 50,
    }
    server.script(Reply(asks, "tool_use", usage), Reply([text("Order 7 is on its way.")]))

    prompt = UserMessage(text="Where is order 7?")
    first = await model.reply(request(prompt))
    said = as_message(first)
    results = (
        as_result(said.tool_calls[0], value={"state": "shipped"}),
        as_result(said.tool_calls[1], error=Failure(kind="invalid_args", message="n is missing")),
    )
    last = await model.reply(request(prompt, said, *results, UserMessage(text="Please hurry.")))

    assert (first.stop_reason, last.stop_reason) == ("tool_use", "end_turn")
    assert last.text == "Order 7 is on its way."
    assert first.usage.model_dump() == {
        "input_tokens": 20,
        "output_tokens": 9,
        "cache_read_tokens": 100,
        "cache_write_tokens": 50,
    }
    sent = server.requests[1]
    assert sent["model"] == "claude-sonnet-4-6"
    assert sent["system"][0]["text"] == "Be kind."
    assert sent["messages"][1] == {"role": "assistant", "content": asks}
    assert [block["type"] for block in sent["messages"][2]["content"]] == ["tool_result", "tool_result", "text"]
    assert sent["messages"][2]["content"][1]["is_error"] is True


@pytest.mark.parametrize(
    ("status", "kind", "retryable"),
    [
        (400, "invalid_request", False),
        (401, "authentication", False),
        (402, "billing", False),
        (403, "permission", False),
        (404, "not_found", False),
        (408, "timeout", True),
        (409, "conflict", True),
        (413, "request_too_large", False),
        (422, "invalid_request", False),
        (429, "rate_limit", True),
        (500, "api_error", True),
        (503, "api_error", True),
        (529, "overloaded", True),
    ],
)
async def test_each_status_is_a_clear_error_asked_once(
    server: MessagesServer, model: Anthropic, status: int, kind: str, retryable: bool
) -> None:
    server.script(Fault(status, "these are the API's words"))
    error = await failure(model)
    assert (error.kind, error.retryable, error.retry_after_s) == (kind, retryable, None)
    assert f"answered {status}: these are the API's words (request req_0001)" in error.message
    assert len(server.requests) == 1


@pytest.mark.parametrize("status", [429, 529])
@pytest.mark.parametrize(
    ("header", "seconds"),
    [("17", 17.0), ("0.5", 0.5), ("Sun, 01 Mar 2026 12:01:30 GMT", 90.0), ("-3", None), ("soon", None), ("nan", None)],
)
async def test_the_api_says_how_long_to_wait(
    server: MessagesServer, model: Anthropic, status: int, header: str, seconds: float | None
) -> None:
    server.script(Fault(status, "slow down", {"retry-after": header}))
    assert (await failure(model)).retry_after_s == seconds


async def test_a_refused_key_is_an_error_about_the_servers_settings(server: MessagesServer) -> None:
    model = provider_for(server.base_url, key="sk-ant-of-somebody-else")
    error = await failure(model)
    assert (error.kind, error.retryable) == ("authentication", False)
    assert "check ANTHROPIC_API_KEY on the server" in error.message
    assert "somebody-else" not in error.message
    await model.aclose()


async def test_a_key_that_the_other_side_repeats_is_cut_out(
    server: MessagesServer, model: Anthropic, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    server.script(Fault(400, f"what is {KEY}?"))
    assert "what is …?" in (await failure(model)).message
    assert KEY not in "\n".join(record.getMessage() for record in caplog.records if record.name != "aiohttp.access")


@pytest.mark.parametrize(
    "answer",
    [
        Raw(b'{"type": "message", "content": [{"type": "te'),
        Raw(b"<html>hello from a proxy</html>", content_type="text/html"),
        Raw(b'{"type": "message", "role": "assistant"}'),
        Raw(b""),
    ],
)
async def test_what_is_no_reply_is_malformed_and_may_be_asked_for_again(
    server: MessagesServer, model: Anthropic, answer: Raw
) -> None:
    server.script(answer)
    error = await failure(model)
    assert (error.kind, error.retryable) == ("malformed_reply", True)


async def test_an_error_page_of_a_proxy_is_still_a_clear_error(server: MessagesServer, model: Anthropic) -> None:
    server.script(Raw(b"<html>Bad gateway</html>", status=502, content_type="text/html"))
    error = await failure(model)
    assert (error.kind, error.retryable) == ("api_error", True)
    assert "it answered 502" in error.message


@pytest.mark.parametrize("answer", [CutOff(), CutOff(after=100)])
async def test_a_connection_that_breaks_is_a_connection_error(server: MessagesServer, answer: CutOff) -> None:
    model = provider_for(server.base_url, stream="off")
    server.script(answer)
    error = await failure(model)
    assert (error.kind, error.retryable) == ("connection", True)
    await model.aclose()


async def test_a_server_that_is_not_there_is_a_connection_error(server: MessagesServer) -> None:
    gone = MessagesServer()
    async with gone:
        address = gone.base_url
    model = provider_for(address)
    error = await failure(model)
    assert (error.kind, error.retryable) == ("connection", True)
    await model.aclose()


async def test_a_server_that_stays_silent_is_a_timeout(server: MessagesServer) -> None:
    model = provider_for(server.base_url, timeout_s=0.05)
    server.script(Silence())
    error = await failure(model)
    assert (error.kind, error.retryable) == ("timeout", True)
    await model.aclose()


async def test_a_refusal_and_a_cut_off_reply_are_errors_that_say_what_to_change(
    server: MessagesServer, model: Anthropic
) -> None:
    server.script(
        Reply([text("I can't")], "refusal", stop_details={"type": "refusal", "explanation": "not allowed"}),
        Reply([tool_use("toolu_1", "look_up", {})], "max_tokens"),
    )
    refusal, cut = await failure(model), await failure(model)
    assert (refusal.kind, cut.kind) == ("refusal", "max_tokens")
    assert "not allowed" in refusal.message
    assert "max_tokens=64000" in cut.message


async def test_a_conversation_that_breaks_the_apis_rules_is_not_asked_again(model: Anthropic) -> None:
    orphan = ToolMessage(call_id="1-0", model_call_id="toolu_1", tool="look_up", value=1)
    with pytest.raises(ModelError, match="unexpected `tool_use_id`") as caught:
        await model.reply(request(UserMessage(text="Hi"), orphan))
    assert not caught.value.retryable


async def test_a_rotated_key_file_is_read_for_the_next_call(server: MessagesServer, tmp_path: Path) -> None:
    file = tmp_path / "key"
    file.write_text("sk-ant-old\n", encoding="utf-8")
    environment = {"ANTHROPIC_API_KEY_FILE": str(file), "ANTHROPIC_BASE_URL": server.base_url}
    model = Anthropic(ModelSettings(environment, now=lambda: NOW))
    assert (await failure(model)).kind == "authentication"
    file.write_text(f"{KEY}\n", encoding="utf-8")
    server.script(Reply([text("Hello")]))
    assert (await model.reply(request())).text == "Hello"
    await model.aclose()


async def test_without_a_key_nothing_is_sent(server: MessagesServer) -> None:
    model = provider_for(server.base_url, key="")
    error = await failure(model)
    assert (error.kind, error.retryable) == ("missing_key", False)
    assert not server.requests


async def test_words_come_as_they_are_generated(server: MessagesServer, streaming: Anthropic) -> None:
    thinking = {"type": "thinking", "thinking": "Let me see.", "signature": "c2ln"}
    server.script(Reply([thinking, text("Order 7 is "), tool_use("toolu_1", "look_up", {}), text("on its way.")]))
    heard: list[str] = []
    reply = await streaming.reply(request(on_text=heard.append))
    assert "".join(heard) == reply.text == "Order 7 is on its way."
    assert len(heard) > 2
    assert server.requests[0]["stream"] is True


async def test_thinking_signed_or_redacted_goes_back_as_it_came(server: MessagesServer, model: Anthropic) -> None:
    blocks: list[dict[str, Any]] = [
        {"type": "thinking", "thinking": "Two orders. One is 7.", "signature": "c2lnbmF0dXJl"},
        {"type": "redacted_thinking", "data": "ZW5jcnlwdGVk"},
        {"type": "a_later_kind", "of": ["block"]},
        tool_use("toolu_1", "look_up", {"n": 7, "deep": {"list": [1, 2.5, None]}}),
    ]
    server.script(Reply(blocks, "tool_use"), Reply([text("Done.")]))
    said = as_message(await model.reply(request()))
    await model.reply(request(UserMessage(text="Go"), said, as_result(said.tool_calls[0], value=1)))
    assert server.requests[1]["messages"][1] == {"role": "assistant", "content": blocks}


async def test_instructions_tools_and_the_conversation_are_cached(server: MessagesServer, model: Anthropic) -> None:
    server.script(Reply([text("Hello")]))
    await model.reply(request())
    sent = server.requests[0]
    assert sent["system"][-1]["cache_control"] == {"type": "ephemeral"}
    assert sent["messages"][-1]["content"][-1]["cache_control"] == {"type": "ephemeral"}


async def test_a_temperature_is_sent_in_the_version_of_the_api_that_has_one(
    server: MessagesServer, model: Anthropic
) -> None:
    server.script(Reply([text("Hello")]), Reply([text("Hello")]))
    warm = AGENT.model_copy(update={"temperature": 0.5})
    await model.reply(replace(request(), definition=warm))
    await model.reply(request())
    assert [sent.get("temperature") for sent in server.requests] == [0.5, None]


async def test_a_temperature_that_the_api_does_not_have_is_told_before_a_run_starts(model: Anthropic) -> None:
    hot = AGENT.model_copy(update={"temperature": 1.5})
    assert model.check(hot) == (
        "agent 'triage' has temperature=1.5: 'anthropic/claude-sonnet-4-6' takes 0 to 1; lower it"
    )


async def test_a_paused_turn_is_carried_on(server: MessagesServer, model: Anthropic) -> None:
    server.script(Reply([text("One, ")], "pause_turn"), Reply([text("two.")]))
    reply = await model.reply(request())
    assert (reply.text, reply.usage.output_tokens) == ("One, two.", 14)
    assert server.requests[1]["messages"][-1] == {"role": "assistant", "content": [text("One, ")]}


async def test_a_turn_that_pauses_for_ever_is_an_error(server: MessagesServer, model: Anthropic) -> None:
    server.script(*[Reply([text("…")], "pause_turn")] * 9)
    assert (await failure(model)).kind == "pause_turn"
    assert len(server.requests) == 9


@pytest.mark.parametrize("reset", [False, True])
@pytest.mark.parametrize("after", [1, 4, 6])
async def test_a_stream_that_ends_in_the_middle_is_no_reply(
    server: MessagesServer, streaming: Anthropic, after: int, reset: bool
) -> None:
    server.script(Reply([text("Order 7 is on its way.")], cut_after=after, reset=reset))
    error = await failure(streaming)
    assert (error.kind, error.retryable) == ("connection", True)


@pytest.mark.parametrize(
    ("error_type", "kind", "retryable"),
    [
        ("overloaded_error", "overloaded", True),
        ("rate_limit_error", "rate_limit", True),
        ("api_error", "api_error", True),
        ("invalid_request_error", "invalid_request", False),
        ("an_error_of_later", "api_error", True),
    ],
)
async def test_an_error_in_the_middle_of_a_stream_is_as_clear_as_one_before_it(
    server: MessagesServer, streaming: Anthropic, error_type: str, kind: str, retryable: bool
) -> None:
    error = {"type": "error", "error": {"type": error_type, "message": "these are the API's words"}}
    server.script(Events([{"type": "message_start", "message": {"model": "claude", "usage": {}}}, error]))
    failed = await failure(streaming)
    assert (failed.kind, failed.retryable) == (kind, retryable)
    assert "these are the API's words" in failed.message


@pytest.mark.parametrize(
    "event",
    [
        {"type": "content_block_start", "index": "first", "content_block": {}},
        {"type": "content_block_delta", "index": 7, "delta": {"type": "text_delta", "text": "?"}},
        {"type": "message_delta", "delta": "end"},
        {"type": "message_delta", "delta": {"stop_reason": "end_turn"}},
    ],
)
async def test_events_that_make_no_message_are_malformed(
    server: MessagesServer, streaming: Anthropic, event: dict[str, Any]
) -> None:
    server.script(Events([event]))
    error = await failure(streaming)
    assert (error.kind, error.retryable) == ("malformed_reply", True)


async def test_arguments_that_are_no_json_are_told_to_the_model(server: MessagesServer, model: Anthropic) -> None:
    server.script(Reply([tool_use("toolu_1", "look_up", '{"n": 7')], "tool_use"), Reply([text("Sorry.")]))
    reply = await model.reply(request())
    assert "is a JSON object, not" in str(reply.tool_calls[0].args_error)
    said = as_message(reply)
    failed = as_result(said.tool_calls[0], error=Failure(kind="invalid_args", message="no JSON"))
    assert (await model.reply(request(UserMessage(text="Go"), said, failed))).text == "Sorry."


async def test_a_character_cut_in_two_is_whole_again_and_half_a_one_is_mended(
    server: MessagesServer, model: Anthropic
) -> None:
    server.script(Reply([text("1234\ud83d"), text("\ude00!")]), Reply([text("1234\ud83d\ude00")]))
    halves, whole = await model.reply(request()), await model.reply(request())
    assert halves.text == "1234\ufffd\ufffd!"
    assert whole.text == "1234\U0001f600"


async def test_a_reply_without_content_is_an_empty_one(server: MessagesServer, model: Anthropic) -> None:
    server.script(Reply([]))
    reply = await model.reply(request())
    assert (reply.text, reply.tool_calls, reply.blocks) == ("", (), ())


async def test_what_is_no_stream_names_the_setting(server: MessagesServer, streaming: Anthropic) -> None:
    server.script(Raw(b"<html>hello from a proxy</html>", content_type="text/html"))
    assert "set ANTHROPIC_STREAM=off" in (await failure(streaming)).message


async def test_a_call_that_is_not_wanted_any_more_lets_go_of_its_stream(
    server: MessagesServer, streaming: Anthropic
) -> None:
    never, began = asyncio.Event(), asyncio.Event()
    server.script(Reply([text("Order 7 is on its way.")], gate=never), Reply([text("Hello")]))
    unwanted = asyncio.create_task(streaming.reply(request(on_text=lambda words: began.set())))
    await began.wait()
    unwanted.cancel()
    with pytest.raises(asyncio.CancelledError):
        await unwanted
    assert (await streaming.reply(request())).text == "Hello"


async def test_calls_at_a_time_do_not_mix(server: MessagesServer, streaming: Anthropic) -> None:
    server.script(*[Reply([text(f"This is answer {number}.")]) for number in range(20)])
    heard: list[list[str]] = [[] for _ in range(20)]
    replies = await asyncio.gather(*[streaming.reply(request(on_text=words.append)) for words in heard])
    assert {reply.text for reply in replies} == {f"This is answer {number}." for number in range(20)}
    assert ["".join(words) for words in heard] == [reply.text for reply in replies]
