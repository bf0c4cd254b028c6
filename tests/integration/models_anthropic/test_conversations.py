"""The Anthropic provider in a conversation: what it sends of it, and what it makes of each kind of reply."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from agentspan_schemas import Failure
from agentspan_schemas.messages import UserMessage
from agentspan_tool_runner.models import ModelSettings
from agentspan_tool_runner.models.anthropic import Anthropic
from tests.integration.models_anthropic.conftest import AGENT, failure, request
from tests.support.messages_server import KEY, MessagesServer, Reply, text, tool_use
from tests.support.model_calls import NOW, as_message, as_result


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


class Twice(dict[str, Any]):
    """Written as JSON, it has its one name twice."""

    def items(self) -> Any:
        return [*super().items(), *super().items()]


@pytest.mark.parametrize("args", [Twice(n=7), {"deep": [Twice(n=7)]}])
async def test_arguments_that_say_a_thing_twice_are_told_to_the_model(
    server: MessagesServer, model: Anthropic, args: dict[str, Any]
) -> None:
    server.script(Reply([tool_use("toolu_1", "look_up", args)], "tool_use"))
    [call] = (await model.reply(request())).tool_calls
    assert (call.args, "'n' stands twice" in str(call.args_error)) == ({}, True)
