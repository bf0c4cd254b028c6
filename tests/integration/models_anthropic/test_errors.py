"""The Anthropic provider when the API, or what stands before it, gives no reply: each is one clear error, asked once,
that says whether asking again may help."""

import logging

import pytest

from agentspan_schemas.messages import ToolMessage, UserMessage
from agentspan_tool_runner.models import ModelError
from agentspan_tool_runner.models.anthropic import Anthropic
from tests.integration.models_anthropic.conftest import failure, provider_for, request
from tests.support.messages_server import KEY, CutOff, Fault, MessagesServer, Reply, text, tool_use
from tests.support.model_calls import STATUSES
from tests.support.scripted_server import Raw, Silence


@pytest.mark.parametrize(
    ("status", "kind", "retryable"),
    [
        *STATUSES,
        (401, "authentication", False),
        (402, "billing", False),
        (413, "request_too_large", False),
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


async def test_without_a_key_nothing_is_sent(server: MessagesServer) -> None:
    model = provider_for(server.base_url, key="")
    error = await failure(model)
    assert (error.kind, error.retryable) == ("missing_key", False)
    assert not server.requests
