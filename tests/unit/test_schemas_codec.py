"""Bytes and messages: what is written can be read, what cannot be read is a named error that keeps the bytes."""

import json
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import BaseModel

from agentspan_schemas import MAX_VALUE_BYTES, SCHEMA_VERSION, NewerVersion, TooLarge, UnknownType, Unreadable
from agentspan_schemas.codec import AGENTS, COMMANDS, DECISIONS, EVENTS, FAMILIES, NOTES, TASKS, TICKETS, Family, encode
from agentspan_schemas.commands import SendMessage
from agentspan_schemas.tickets import Ticket
from tests.unit.schemas_examples import EXAMPLES, Example

NESTED = b"[" * 100_000
MESSAGE = {"type": "send_message", "command_id": "c", "execution_id": "e", "text": "Hi.", "by": "b", "channel": "http"}
RESULT = {"type": "return_result", "command_id": "c", "execution_id": "e", "call_id": "1-0", "attempt": 1, "ok": True}
DECISION = json.dumps(
    {"decision_id": "d", "approval_id": "exec-a.1-0", "decision": "approve", "args_hash": "0" * 64, "by": "b"}
)

each_example = pytest.mark.parametrize("example", EXAMPLES, ids=lambda example: example.name)
each_versioned_example = pytest.mark.parametrize(
    "example",
    [example for example in EXAMPLES if "schema_version" in type(example.message).model_fields],
    ids=lambda example: example.name,
)
each_family = pytest.mark.parametrize("family", FAMILIES, ids=lambda family: family.name)


def test_there_is_an_example_of_every_message() -> None:
    wanted = {model for family in FAMILIES for model in family.types.values()}
    single = {family.name for family in FAMILIES if not family.types}
    assert wanted <= {type(example.message) for example in EXAMPLES}
    assert single <= {example.family.name for example in EXAMPLES}


@each_example
def test_a_message_comes_back_as_it_was(example: Example) -> None:
    assert example.family.decode(encode(example.message)) == example.message


@each_example
def test_unknown_fields_survive_a_round_trip_at_every_level(example: Example) -> None:
    fields = _with_unknown(example.message.model_dump(mode="json"), example.message)
    raw = json.dumps(fields).encode()
    assert json.loads(encode(example.family.decode(raw))) == fields


def _with_unknown(fields: dict[str, Any], message: BaseModel) -> dict[str, Any]:
    for name in type(message).model_fields:
        if isinstance(inner := getattr(message, name), BaseModel):
            fields[name] = _with_unknown(fields[name], inner)
    return fields | {"invented_later": {"by": [1, "x", None]}}


@each_versioned_example
def test_a_newer_version_is_a_named_error_that_keeps_the_bytes(example: Example) -> None:
    fields = example.message.model_dump(mode="json") | {"schema_version": SCHEMA_VERSION + 1}
    raw = json.dumps(fields).encode()
    with pytest.raises(NewerVersion, match="schema_version 2") as caught:
        example.family.decode(raw)
    assert caught.value.raw == raw


def test_a_newer_version_is_told_before_what_else_this_reader_does_not_know() -> None:
    for fields in ({"type": "hologram"}, {"type": "done", "status": 7}):
        with pytest.raises(NewerVersion):
            EVENTS.decode(json.dumps(fields | {"schema_version": 2}).encode())


@pytest.mark.parametrize("family", [EVENTS, COMMANDS, NOTES, TASKS], ids=lambda family: family.name)
@pytest.mark.parametrize("tag", ["hologram", None, 7, [], {}])
def test_an_unknown_type_is_a_named_error_that_keeps_the_bytes_and_says_what_is_known(
    family: Family[Any], tag: Any
) -> None:
    raw = json.dumps({"type": tag, "lane": tag}).encode()
    with pytest.raises(UnknownType, match=sorted(family.types)[0]) as caught:
        family.decode(raw)
    assert caught.value.raw == raw


@each_family
@pytest.mark.parametrize(
    "raw", [b"", b"\x00\xff", b"{", b"7", b"[]", b"null", '"\ud83d"'.encode("utf-8", "surrogatepass"), NESTED],
    ids=lambda raw: repr(raw[:8]),
)  # fmt: skip
def test_what_is_no_message_is_a_named_error_that_keeps_the_bytes(family: Family[Any], raw: bytes) -> None:
    with pytest.raises(Unreadable) as caught:
        family.decode(raw)
    assert caught.value.raw == raw
    assert str(caught.value).startswith(f"{family.name}: ")


@settings(max_examples=300)
@given(st.binary(max_size=40))
def test_no_bytes_at_all_raise_anything_else(raw: bytes) -> None:
    for family in FAMILIES:
        with pytest.raises(Unreadable):
            family.decode(raw)


@pytest.mark.parametrize(
    ("wrong", "named"),
    [({"text": 7}, "text"), ({"by": None}, "by"), ({"command_id": ["c"]}, "command_id")],
)
def test_a_wrong_field_is_named(wrong: dict[str, Any], named: str) -> None:
    with pytest.raises(Unreadable, match=f"command: send_message.{named}: "):
        COMMANDS.decode(json.dumps(MESSAGE | wrong).encode())


def test_many_wrong_fields_are_counted() -> None:
    with pytest.raises(Unreadable, match="and 3 more"):
        COMMANDS.decode(b'{"type": "send_message", "text": 7, "by": 7, "channel": 7, "traceparent": 7}')


@pytest.mark.parametrize("value", ["NaN", "Infinity", "-Infinity", "1e999", "-1e+999", "9" * 400 + ".5", "[{}, [NaN]]"])
def test_a_number_that_is_not_finite_is_refused_wherever_others_may_write_it(value: str) -> None:
    result = json.dumps(RESULT)[:-1] + f', "value": {value}}}'
    ticket = f'{{"id": "1", "source": "mail", "text": "Help.", "metadata": {{"x": {value}}}}}'
    decision = DECISION[:-1] + f', "edited_args": {{"x": {value}}}}}'
    for family, raw in ((COMMANDS, result), (TICKETS, ticket), (DECISIONS, decision)):
        with pytest.raises(Unreadable):
            family.decode(raw.encode())


@pytest.mark.parametrize("value", ["NaN", "Infinity", "1e999", "1E+0010"])
def test_text_that_looks_like_such_a_number_is_just_text(value: str) -> None:
    message = COMMANDS.decode(json.dumps(MESSAGE | {"text": value}).encode())
    assert isinstance(message, SendMessage)
    assert message.text == value


def test_a_moment_without_a_zone_is_refused_and_any_zone_becomes_utc() -> None:
    timer = {"type": "fire_timer", "command_id": "c", "execution_id": "e", "timer_id": "deadline"}
    with pytest.raises(Unreadable, match="due"):
        COMMANDS.decode(json.dumps(timer | {"due": "2026-03-01T10:00:00"}).encode())
    raw = encode(COMMANDS.decode(json.dumps(timer | {"due": "2026-03-01T10:00:00+01:00"}).encode()))
    assert json.loads(raw)["due"] == "2026-03-01T09:00:00Z"


def test_a_message_over_the_limit_is_refused_with_both_sizes() -> None:
    ticket = Ticket(id="1", source="mail", text="x" * MAX_VALUE_BYTES)
    with pytest.raises(TooLarge, match=rf"Ticket of {MAX_VALUE_BYTES + 82} bytes; .* {MAX_VALUE_BYTES} bytes"):
        encode(ticket)


def test_a_message_at_the_limit_passes() -> None:
    room = MAX_VALUE_BYTES - len(encode(Ticket(id="1", source="mail", text="x"))) + 1
    assert len(encode(Ticket(id="1", source="mail", text="x" * room))) == MAX_VALUE_BYTES


def test_messages_are_frozen() -> None:
    for example in EXAMPLES:
        name = next(iter(type(example.message).model_fields))
        with pytest.raises(ValueError, match="frozen"):
            setattr(example.message, name, None)


def test_a_single_message_needs_no_type() -> None:
    assert TICKETS.types == {}
    assert AGENTS.types == {}
