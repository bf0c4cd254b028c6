"""Canonical args, their hash, and the ids that follow from what they name."""

import json
from typing import Any

import pytest
import rfc8785
from hypothesis import example, given
from hypothesis import strategies as st

from agentspan_schemas import NotCanonical
from agentspan_schemas.canonical import args_hash, canonical, content_hash
from agentspan_schemas.ids import approval_id_for, call_id_for, execution_id_for, split_approval_id, task_key_for

# RFC 8785, section 3.2.2 and 3.2.3, and appendix B
SAMPLE = {
    "numbers": [333333333.33333329, 1e30, 4.50, 2e-3, 0.000000000000000000000000001],
    "string": "\u20ac$\u000f\u000aA'\u0042\u0022\u005c\\\"\u002f",
    "literals": [None, True, False],
}
SAMPLE_BYTES = (
    '{"literals":[null,true,false],"numbers":[333333333.3333333,1e+30,4.5,0.002,1e-27],'
    '"string":"€$\\u000f\\nA\'B\\"\\\\\\\\\\"/"}'
).encode()
KEYS = ["\u20ac", "\r", "\ufb33", "1", "\U0001f600", "\u0080", "\u00f6"]
KEYS_IN_ORDER = ["\r", "1", "\u0080", "\u00f6", "\u20ac", "\U0001f600", "\ufb33"]
NUMBERS = [
    (0.0, "0"),
    (-0.0, "0"),
    (5e-324, "5e-324"),
    (-5e-324, "-5e-324"),
    (1.7976931348623157e308, "1.7976931348623157e+308"),
    (9007199254740992.0, "9007199254740992"),
    (295147905179352830000.0, "295147905179352830000"),
    (9.999999999999997e22, "9.999999999999997e+22"),
    (1e23, "1e+23"),
    (999999999999999700000.0, "999999999999999700000"),
    (1e21, "1e+21"),
    (9.999999999999997e-7, "9.999999999999997e-7"),
    (0.000001, "0.000001"),
    (333333333.3333332, "333333333.3333332"),
    (1424953923781206.2, "1424953923781206.2"),
]

TEXT = st.text(st.characters(exclude_categories=["Cs"]))
WHOLE = st.integers(-(2**53) + 1, 2**53 - 1)
JSON = st.recursive(
    st.none() | st.booleans() | WHOLE | st.floats(-(2**53) + 1, 2**53 - 1) | TEXT,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(TEXT, inner, max_size=4),
    max_leaves=12,
)
"""Numbers within what every reader of JSON keeps exactly."""

ANY_TEXT = st.text(st.characters(), max_size=6)
"""With halves of characters, which no form has."""
ANYTHING = st.recursive(
    st.none() | st.booleans() | st.integers() | st.sampled_from([2**53, -(2**53), 2**53 - 1]) | st.floats() | ANY_TEXT,
    lambda inner: (
        st.lists(inner, max_size=4)
        | st.lists(inner, max_size=4).map(tuple)
        | st.dictionaries(ANY_TEXT | st.integers() | st.booleans(), inner, max_size=4)
    ),
    max_leaves=12,
)


def test_the_standards_own_sample() -> None:
    assert canonical(SAMPLE) == SAMPLE_BYTES


def test_keys_stand_in_the_order_of_their_utf_16_units() -> None:
    assert list(json.loads(canonical(dict.fromkeys(KEYS, 1)))) == KEYS_IN_ORDER


@pytest.mark.parametrize(("number", "text"), NUMBERS)
def test_numbers_are_written_as_the_standard_says(number: float, text: str) -> None:
    assert canonical(number) == text.encode()


def test_a_whole_float_and_an_integer_are_the_same_arguments() -> None:
    assert args_hash({"usd": 1.0}) == args_hash({"usd": 1})
    assert args_hash({"usd": 1.0}) != args_hash({"usd": 1.5})
    assert args_hash({"usd": 1}) != args_hash({"usd": "1"})
    assert args_hash({"usd": 1}) != args_hash({"usd": True})


def test_order_of_keys_is_no_difference_and_order_in_lists_is() -> None:
    assert args_hash({"a": 1, "b": {"c": 2, "d": 3}}) == args_hash({"b": {"d": 3, "c": 2}, "a": 1})
    assert args_hash({"a": [1, 2]}) != args_hash({"a": [2, 1]})


def test_unicode_is_not_normalised() -> None:
    assert args_hash({"name": "\u00e9"}) != args_hash({"name": "e\u0301"})
    assert canonical({"name": "é"}) == '{"name":"é"}'.encode()


def test_the_hash_is_sha_256_in_hex() -> None:
    assert args_hash({}) == "44136fa355b3678a1146ad16f7e8649e94fb4fc21fe77e8310c060f61caaff8a"
    assert content_hash({}) == args_hash({})


@pytest.mark.parametrize(
    "value", [2**53, -(2**53), float("nan"), float("inf"), "\ud800", {"\ud800": 1}, {1: "x"}, b"bytes", {"x": {1, 2}}],
    ids=repr,
)  # fmt: skip
def test_what_has_no_canonical_form_is_a_named_error(value: Any) -> None:
    with pytest.raises(NotCanonical):
        args_hash({"value": value})


def test_the_largest_integers_have_a_form() -> None:
    assert canonical([2**53 - 1, -(2**53) + 1]) == b"[9007199254740991,-9007199254740991]"


@given(JSON)
def test_what_came_over_the_wire_hashes_the_same(value: Any) -> None:
    assert content_hash(json.loads(canonical(value))) == content_hash(value)
    assert canonical(json.loads(json.dumps(value))) == canonical(value)


@given(ANYTHING)
@example(dict.fromkeys(KEYS, 1))
@example(['\x00\x1f\x7f\u2028"\\/\b\f\n\r\t', {}, [], (), [True, 1, 1.0]])
def test_the_form_is_the_one_of_the_library_and_so_is_what_has_none(value: Any) -> None:
    try:
        expected = rfc8785.dumps(value)
    except (rfc8785.CanonicalizationError, UnicodeEncodeError):
        with pytest.raises(NotCanonical):
            canonical(value)
    else:
        assert canonical(value) == expected


def test_the_same_ticket_is_the_same_execution_for_ever() -> None:
    assert execution_id_for("mail", "ticket-1") == "exec-jtxn5yzwgjlqzocj"


@given(st.text(), st.text())
def test_an_execution_id_is_short_and_safe_in_any_url_or_key(source: str, key: str) -> None:
    execution_id = execution_id_for(source, key)
    assert execution_id.startswith("exec-")
    assert set(execution_id[5:]) <= set("abcdefghijklmnopqrstuvwxyz234567")
    assert len(execution_id) == 21
    assert execution_id == execution_id_for(source, key)


def test_source_and_key_can_not_be_shifted_into_each_other() -> None:
    ids = {execution_id_for(*pair) for pair in [("a", "bc"), ("ab", "c"), ("", "abc"), ("abc", ""), ("bc", "a")]}
    assert len(ids) == 5


def test_ids_name_what_they_belong_to() -> None:
    assert call_id_for(2, 0) == "2-0"
    assert approval_id_for("exec-a", "2-0") == "exec-a.2-0"
    assert task_key_for("exec-a", "model-1", 2) == "exec-a/model-1/2"
    assert split_approval_id("exec-a.2-0") == ("exec-a", "2-0")


@pytest.mark.parametrize("wrong", ["", "exec-a", "exec-a.", ".2-0", "a.2-0", "exec-a/2-0"])
def test_what_is_no_approval_id_is_refused_with_an_example(wrong: str) -> None:
    with pytest.raises(ValueError, match=r"one looks like 'exec-….2-0'"):
        split_approval_id(wrong)
