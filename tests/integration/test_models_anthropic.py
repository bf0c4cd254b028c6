"""The Anthropic provider through the official client, against a server that speaks the Messages wire format."""

import logging
from collections.abc import AsyncIterator
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


@pytest.fixture
async def model(server: MessagesServer) -> AsyncIterator[Anthropic]:
    provider = provider_for(server.base_url)
    yield provider
    await provider.aclose()


def provider_for(base_url: str, *, key: str = KEY, timeout_s: float = 30.0) -> Anthropic:
    environment = {"ANTHROPIC_API_KEY": key, "ANTHROPIC_BASE_URL": base_url}
    return Anthropic(ModelSettings(environment, now=lambda: NOW), timeout_s=timeout_s)


def request(*messages: Message) -> ModelRequest:
    return ModelRequest(
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
    assert sent["system"] == "Be kind."
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
async def test_a_connection_that_breaks_is_a_connection_error(
    server: MessagesServer, model: Anthropic, answer: CutOff
) -> None:
    server.script(answer)
    error = await failure(model)
    assert (error.kind, error.retryable) == ("connection", True)


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
