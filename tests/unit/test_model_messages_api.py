"""Between our conversation and the Messages API's: what each message becomes, and what comes back of a reply."""

import json
from typing import Any

import pytest

from agentspan_schemas import Failure, JsonObject
from agentspan_schemas.agents import AgentDefinition, ToolDefinition
from agentspan_schemas.messages import AssistantMessage, Message, RequestedCall, ToolMessage, UserMessage
from agentspan_tool_runner.models import ModelError, ModelRequest, ModelResponse
from agentspan_tool_runner.models import _messages_api as api
from agentspan_tool_runner.models._reading import parsed

AGENT = AgentDefinition(name="triage", model="anthropic/claude-sonnet-4-6", instructions="Be kind.", max_tokens=512)


def call(number: int) -> RequestedCall:
    return RequestedCall(call_id=f"1-{number}", model_call_id=f"toolu_{number}", tool="look_up", args={"n": number})


def result(number: int, value: Any = None, error: Failure | None = None) -> ToolMessage:
    asked = call(number)
    return ToolMessage(
        call_id=asked.call_id, model_call_id=asked.model_call_id, tool=asked.tool, value=value, error=error
    )


def request(*messages: Message, definition: AgentDefinition = AGENT) -> ModelRequest:
    return ModelRequest(definition=definition, messages=messages, metadata={}, execution_id="exec-1", turn=1)


def reply(*content: object, stop_reason: str = "end_turn", **fields: object) -> bytes:
    usage = {"input_tokens": 3, "output_tokens": 4}
    whole = {"model": "claude", "content": content, "stop_reason": stop_reason, "usage": usage, **fields}
    return json.dumps(whole).encode()


def read(raw: bytes) -> ModelResponse:
    return api.response([api.reply(parsed(raw, "the API"), "the API")], AGENT, "the API")


def test_a_request_names_the_model_without_its_provider_and_leaves_out_what_is_empty() -> None:
    plain = AgentDefinition(name="plain", model="anthropic/claude-haiku-4-5")
    assert api.request_body(request(UserMessage(text="Hello"), definition=plain)) == {
        "model": "claude-haiku-4-5",
        "max_tokens": 4096,
        "messages": [{"role": "user", "content": [{"type": "text", "text": "Hello"}]}],
    }


def test_a_request_carries_instructions_tools_and_the_limit_of_tokens() -> None:
    schema = {"type": "object", "properties": {"n": {"type": "integer"}}}
    tool = ToolDefinition(name="look_up", description="Find it.", input_schema=schema)
    body = api.request_body(request(UserMessage(text="Hi"), definition=AGENT.model_copy(update={"tools": (tool,)})))
    assert body["system"] == [{"type": "text", "text": "Be kind.", "cache_control": {"type": "ephemeral"}}]
    assert body["max_tokens"] == 512
    assert body["tools"] == [{"name": "look_up", "description": "Find it.", "input_schema": schema}]


def test_the_shape_of_the_answer_stands_at_the_end_of_the_system_prompt() -> None:
    shape = {"type": "object", "properties": {"größe": {"type": "integer"}}}
    prompt = api.system_prompt(AGENT.model_copy(update={"output_schema": shape}))
    assert prompt.startswith("Be kind.\n\n")
    assert prompt.endswith(json.dumps(shape, ensure_ascii=False))


def test_results_of_parallel_calls_become_one_user_turn() -> None:
    turns = api.conversation(
        [
            UserMessage(text="Go"),
            AssistantMessage(text="Looking.", tool_calls=(call(0), call(1))),
            result(0, {"found": True}),
            result(1, error=Failure(kind="not_found", message="no such order", details={"id": 7})),
        ]
    )
    assert [turn["role"] for turn in turns] == ["user", "assistant", "user"]
    assert turns[1]["content"] == [
        {"type": "text", "text": "Looking."},
        {"type": "tool_use", "id": "toolu_0", "name": "look_up", "input": {"n": 0}},
        {"type": "tool_use", "id": "toolu_1", "name": "look_up", "input": {"n": 1}},
    ]
    assert turns[2]["content"] == [
        {"type": "tool_result", "tool_use_id": "toolu_0", "content": '{"found": true}'},
        {"type": "tool_result", "tool_use_id": "toolu_1", "content": 'no such order\n{"id": 7}', "is_error": True},
    ]


def test_a_message_from_outside_comes_after_the_results_wherever_it_arrived() -> None:
    turns = api.conversation(
        [
            UserMessage(text="Go"),
            AssistantMessage(tool_calls=(call(0),)),
            UserMessage(text="Hurry"),
            result(0, "plain text"),
        ]
    )
    assert turns[-1]["content"] == [
        {"type": "tool_result", "tool_use_id": "toolu_0", "content": "plain text"},
        {"type": "text", "text": "Hurry"},
    ]


def test_the_providers_own_blocks_go_back_unchanged_without_blank_text() -> None:
    thinking: JsonObject = {"type": "thinking", "thinking": "hm", "signature": "c2ln"}
    blocks: tuple[JsonObject, ...] = (
        thinking,
        {"type": "text", "text": " \n"},
        {"type": "tool_use", "id": "a", "name": "b", "input": {}},
    )
    turns = api.conversation([UserMessage(text="Go"), AssistantMessage(text="ignored", blocks=blocks)])
    assert turns[1]["content"] == [blocks[0], blocks[2]]


def test_a_blank_reply_is_left_out_and_its_neighbours_join() -> None:
    turns = api.conversation([UserMessage(text="Go"), AssistantMessage(blocks=()), UserMessage(text="Say something")])
    assert turns == [
        {"role": "user", "content": [{"type": "text", "text": "Go"}, {"type": "text", "text": "Say something"}]}
    ]


@pytest.mark.parametrize(
    ("value", "content"), [("words", "words"), (None, "null"), ([1, "é"], '[1, "é"]'), (0.5, "0.5"), (True, "true")]
)
def test_a_value_is_text_as_it_is_and_anything_else_json(value: Any, content: str) -> None:
    assert api.conversation([result(0, value)])[0]["content"][0]["content"] == content


def test_an_error_without_words_is_its_kind() -> None:
    assert api.conversation([result(0, error=Failure(kind="timeout", message=""))])[0]["content"][0] == {
        "type": "tool_result",
        "tool_use_id": "toolu_0",
        "content": "timeout",
        "is_error": True,
    }


def test_a_reply_becomes_text_calls_blocks_and_usage() -> None:
    raw = reply(
        {"type": "thinking", "thinking": "hm", "signature": "c2ln"},
        {"type": "text", "text": "Let me "},
        {"type": "text", "text": "look."},
        {"type": "tool_use", "id": "toolu_9", "name": "look_up", "input": {"n": 9}},
        stop_reason="tool_use",
        usage={
            "input_tokens": 1,
            "output_tokens": 2,
            "cache_read_input_tokens": 3,
            "cache_creation_input_tokens": 4,
        },
    )
    response = read(raw)
    assert response.text == "Let me look."
    assert [(asked.model_call_id, asked.tool, asked.args) for asked in response.tool_calls] == [
        ("toolu_9", "look_up", {"n": 9})
    ]
    assert response.blocks is not None
    assert response.blocks[0] == {"type": "thinking", "thinking": "hm", "signature": "c2ln"}
    assert response.usage.model_dump() == {
        "input_tokens": 1,
        "output_tokens": 2,
        "cache_read_tokens": 3,
        "cache_write_tokens": 4,
    }


def test_input_that_is_no_object_is_kept_as_an_error_of_its_call() -> None:
    raw = reply({"type": "tool_use", "id": "a", "name": "b", "input": "half a st"}, stop_reason="tool_use")
    (asked,) = read(raw).tool_calls
    assert asked.args == {}
    assert str(asked.args_error).startswith('the input of a call is a JSON object, not "half a st"')


@pytest.mark.parametrize(
    ("stop_reason", "words"),
    [
        ("max_tokens", "cut off at max_tokens=512: give agent 'triage' a larger max_tokens"),
        ("refusal", "refused to answer: not that; change what it is asked"),
        ("model_context_window_exceeded", "longer than model 'claude' can read"),
        ("pause_turn", "paused its turn again and again"),
        ("later", "stopped with 'later', which no agent here asks for"),
    ],
)
def test_half_an_answer_is_an_error_that_says_what_to_change(stop_reason: str, words: str) -> None:
    raw = reply({"type": "text", "text": "I"}, stop_reason=stop_reason, stop_details={"explanation": "not that"})
    with pytest.raises(ModelError, match=words.replace("(", r"\(")) as caught:
        read(raw)
    assert caught.value.kind == stop_reason
    assert not caught.value.retryable


@pytest.mark.parametrize(
    "raw",
    [
        b'{"model": "claude", "content": [',
        b"<html>Bad gateway</html>",
        b"[]",
        b'{"type": "message"}',
        reply("not a block"),
        reply({"type": "tool_use", "name": "no_id", "input": {}}),
        b"\xff\xfe",
        b"",
    ],
)
def test_what_is_no_reply_may_be_asked_for_again(raw: bytes) -> None:
    with pytest.raises(ModelError) as caught:
        read(raw)
    assert (caught.value.kind, caught.value.retryable) == ("malformed_reply", True)


def test_the_conversation_is_cached_to_its_end_and_to_the_end_it_had_before() -> None:
    said = AssistantMessage(text="Looking.", tool_calls=(call(0),))
    again = AssistantMessage(text="And again.", tool_calls=(call(1),))
    tool = ToolDefinition(name="look_up", input_schema={"type": "object"})
    agent = AGENT.model_copy(update={"tools": (tool,)})
    messages = (UserMessage(text="Go"), said, result(0, "a"), again, result(1, "b"))
    turns = api.request_body(request(*messages, definition=agent))["messages"]
    marked = [at for at, turn in enumerate(turns) if any("cache_control" in block for block in turn["content"])]
    assert marked == [2, 4]
    assert turns[4]["content"][-1]["cache_control"] == {"type": "ephemeral"}


def test_a_conversation_that_has_no_next_turn_is_not_written_to_the_cache() -> None:
    body = api.request_body(request(UserMessage(text="Hi")))
    assert "cache_control" not in body["messages"][0]["content"][0]


def test_the_agents_temperature_is_passed_on() -> None:
    warm = AGENT.model_copy(update={"temperature": 0.3})
    assert api.request_body(request(UserMessage(text="Hi"), definition=warm))["temperature"] == 0.3


def test_a_turn_that_was_paused_is_one_reply_with_all_its_blocks_and_tokens() -> None:
    parts = [
        api.reply(parsed(reply({"type": "text", "text": words}, stop_reason=stop), "the API"), "the API")
        for words, stop in (("One, ", "pause_turn"), ("two.", "end_turn"))
    ]
    response = api.response(parts, AGENT, "the API")
    assert (response.text, response.stop_reason) == ("One, two.", "end_turn")
    assert response.usage.model_dump() == {
        "input_tokens": 6,
        "output_tokens": 8,
        "cache_read_tokens": 0,
        "cache_write_tokens": 0,
    }


def test_blocks_of_another_models_api_are_told_anew() -> None:
    foreign: tuple[JsonObject, ...] = ({"type": "reasoning", "id": "rs_1"}, {"type": "function_call", "call_id": "c"})
    said = AssistantMessage(text="Looking.", tool_calls=(call(0),), blocks=foreign)
    turns = api.conversation([UserMessage(text="Go"), said])
    assert [block["type"] for block in turns[1]["content"]] == ["text", "tool_use"]


def test_input_that_is_no_object_goes_back_as_an_empty_one() -> None:
    response = read(reply({"type": "tool_use", "id": "a", "name": "b", "input": "half"}, stop_reason="tool_use"))
    assert response.blocks == ({"type": "tool_use", "id": "a", "name": "b", "input": {}},)


def test_numbers_that_json_has_no_word_for_are_kept_out_of_the_log() -> None:
    raw = reply(
        {"type": "later", "n": float("nan")}, {"type": "tool_use", "id": "a", "name": "b", "input": {"n": 1e999}}
    )
    response = read(raw)
    assert response.blocks == ({"type": "later", "n": None}, {"type": "tool_use", "id": "a", "name": "b", "input": {}})
    assert "NaN" in str(response.tool_calls[0].args_error)


@pytest.mark.parametrize(
    ("escaped", "words"), [("hi \\ud83d", "hi \ufffd"), ("\\ud83d\\ude00", "\U0001f600"), ("\\ude00!", "\ufffd!")]
)
def test_half_a_character_in_an_answer_is_mended(escaped: str, words: str) -> None:
    raw = reply({"type": "text", "text": "WORDS"}).replace(b"WORDS", escaped.encode())
    response = read(raw)
    assert response.text == words
    assert response.blocks == ({"type": "text", "text": words},)


@pytest.mark.parametrize("args", ["NaN", "1e999", '{"n": NaN}', "[" * 5000 + "]" * 5000, "[1]", "9" * 5000])
def test_arguments_that_no_message_can_hold_are_the_models_mistake(args: str) -> None:
    from agentspan_tool_runner.models._reading import asked

    call = asked("toolu_1", "look_up", args, "the API")
    assert call.args == {}
    assert call.args_error is not None
    assert len(call.args_error) < 500


def test_arguments_that_say_a_thing_twice_are_the_models_mistake() -> None:
    """The last would count, where the model may have meant the first: nobody could say what it asked for."""
    from agentspan_tool_runner.models._messages_stream import Assembly
    from agentspan_tool_runner.models._reading import asked

    twice = '{"amount": 1, "to": {"a": 1}, "amount": 9999}'
    stream = Assembly("the API", None)
    for event in (
        {"type": "message_start", "message": {"stop_reason": "tool_use"}},
        {"type": "content_block_start", "index": 0, "content_block": {"type": "tool_use"}},
        {"type": "content_block_delta", "index": 0, "delta": {"type": "input_json_delta", "partial_json": twice}},
    ):
        stream.take(event)
    for written in (twice, stream.message()["content"][0]["input"]):
        call = asked("toolu_1", "refund", written, "the API")
        assert (call.args, call.args_error) == (
            {},
            "the input of a call: 'amount' stands twice: leave one, so that all read the same",
        )
