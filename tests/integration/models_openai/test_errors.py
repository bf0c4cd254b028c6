"""OpenAI's provider when there is no reply, in both dialects: each is one clear error, asked once, that says whether
asking again may help."""

from typing import Any

import pytest

from agentspan_tool_runner.models.openai import OpenAI
from tests.integration.models_openai.conftest import FIRST, failure, provider_for
from tests.support.model_calls import STATUSES
from tests.support.openai_server import KEY, Events, Fault, OpenAIServer, Reply, Whole
from tests.support.scripted_server import Raw, Silence


@pytest.mark.parametrize(("status", "kind", "retryable"), STATUSES)
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
