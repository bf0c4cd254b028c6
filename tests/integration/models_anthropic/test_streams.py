"""The Anthropic provider while a reply streams: its words as they come, and streams that end, err or are left in the
middle."""

import asyncio
from typing import Any

import pytest

from agentspan_tool_runner.models.anthropic import Anthropic
from tests.integration.models_anthropic.conftest import failure, request
from tests.support.messages_server import Events, MessagesServer, Reply, text, tool_use
from tests.support.scripted_server import Raw


async def test_words_come_as_they_are_generated(server: MessagesServer, streaming: Anthropic) -> None:
    thinking = {"type": "thinking", "thinking": "Let me see.", "signature": "c2ln"}
    server.script(Reply([thinking, text("Order 7 is "), tool_use("toolu_1", "look_up", {}), text("on its way.")]))
    heard: list[str] = []
    reply = await streaming.reply(request(on_text=heard.append))
    assert "".join(heard) == reply.text == "Order 7 is on its way."
    assert len(heard) > 2
    assert server.requests[0]["stream"] is True


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
