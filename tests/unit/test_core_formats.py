"""Which texts are of a format: those that a tool with pydantic's type for it takes, and what is said of the others.

The types are asked as the SDK's tools ask them, so that a release of pydantic that reads more is met here, too.
"""

from collections.abc import Callable
from datetime import date, datetime, time, timedelta
from ipaddress import IPv4Address, IPv4Interface, IPv4Network, IPv6Address, IPv6Interface, IPv6Network
from typing import Any
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import (
    UUID1,
    UUID3,
    UUID4,
    UUID5,
    UUID6,
    UUID7,
    UUID8,
    AnyUrl,
    AwareDatetime,
    Base64Bytes,
    FilePath,
    FileUrl,
    HttpUrl,
    IPvAnyAddress,
    IPvAnyInterface,
    IPvAnyNetwork,
    PastDate,
    PostgresDsn,
    SecretStr,
    TypeAdapter,
    ValidationError,
)  # fmt: skip

from agentspan.agents import Agent, tool
from agentspan.agents.testing import MockEvent, ScriptError, mock_run
from agentspan_orchestrator.domain import schema_error, schema_problem
from agentspan_schemas import JsonObject, JsonSchema

A_UUID = "12345678-1234-4678-9234-567812345678"
TYPES: dict[Any, tuple[str, list[str]]] = {
    date: ("date", ["2026-11-23", "2026-11-23T00:00:00Z", "2026-11-23 00:00", "1700006400"]),
    PastDate: ("date", ["2020-02-29"]),
    datetime: ("date-time", ["2026-11-23", "2026-11-23 10:00", "2026-11-23t10:00:00.5+02:00", "1700006400.5"]),
    AwareDatetime: ("date-time", ["2026-11-23T10:00Z"]),
    time: ("time", ["10:00", "10:00:00.123456Z", "10:00+01:00"]),
    timedelta: ("duration", ["P1DT2H", "-PT1S", "1 day, 10:00:00", "10:00:00"]),
    UUID: ("uuid", [A_UUID, A_UUID.replace("-", ""), f"{{{A_UUID}}}", f"urn:uuid:{A_UUID}", A_UUID.upper()]),
    UUID1: ("uuid1", ["12345678-1234-1678-9234-567812345678"]),
    UUID3: ("uuid3", ["12345678-1234-3678-9234-567812345678"]),
    UUID4: ("uuid4", [A_UUID]),
    UUID5: ("uuid5", ["12345678-1234-5678-9234-567812345678"]),
    UUID6: ("uuid6", ["12345678-1234-6678-9234-567812345678"]),
    UUID7: ("uuid7", ["12345678-1234-7678-9234-567812345678"]),
    UUID8: ("uuid8", ["12345678-1234-8678-9234-567812345678"]),
    AnyUrl: ("uri", ["https://a.example/b?c#d", "urn:isbn:1", "mailto:a@b.example", "http://müller.example"]),
    HttpUrl: ("uri", ["HTTP://A.example"]),
    FileUrl: ("uri", ["file:///a/b"]),
    PostgresDsn: ("multi-host-uri", ["postgres://a@b,c:5432/d"]),
    IPv4Address: ("ipv4", ["192.0.2.1"]),
    IPv4Interface: ("ipv4interface", ["192.0.2.1/24", "192.0.2.1"]),
    IPv4Network: ("ipv4network", ["192.0.2.0/24", "192.0.2.0/255.255.255.0"]),
    IPv6Address: ("ipv6", ["2001:db8::1", "::ffff:192.0.2.1", "fe80::1%eth0"]),
    IPv6Interface: ("ipv6interface", ["2001:db8::1/64"]),
    IPv6Network: ("ipv6network", ["2001:db8::/32"]),
    IPvAnyAddress: ("ipvanyaddress", ["192.0.2.1", "2001:db8::1"]),
    IPvAnyInterface: ("ipvanyinterface", ["192.0.2.1/24"]),
    IPvAnyNetwork: ("ipvanynetwork", ["2001:db8::/32"]),
}
"""By type: the format that pydantic writes for it, and texts that it takes."""

EACH = [(kind, text) for kind, (_, texts) in TYPES.items() for text in texts]


@pytest.mark.parametrize("kind", TYPES, ids=str)
def test_these_are_the_formats_of_pydantics_types(kind: Any) -> None:
    schema = TypeAdapter(kind).json_schema()
    assert schema["format"] == TYPES[kind][0]
    assert "is not a" in (schema_problem("no such thing", schema) or "")


@pytest.mark.parametrize(("kind", "text"), EACH, ids=str)
def test_what_a_type_takes_is_of_its_format(kind: Any, text: str) -> None:
    TypeAdapter(kind).validate_python(text)
    assert schema_problem(text, TypeAdapter(kind).json_schema()) is None


SHAPES = ["{}", "{}-{}-{}", "{}-{}-{}T{}:{}", "{}:{}", "P{}D", "{}.{}.{}.{}", "{}.{}.{}.{}/{}", "{}::{}", "{}://{}"]
TEXTS = st.sampled_from([text for _, text in EACH]) | st.text(max_size=40)


@given(
    kind=st.sampled_from(list(TYPES)),
    text=TEXTS
    | st.builds(
        lambda shape, parts: shape.format(*parts),
        st.sampled_from(SHAPES),
        st.lists(st.integers(0, 2100).map("{:02}".format) | TEXTS, min_size=5, max_size=5),
    ),
)
def test_nothing_that_a_tool_would_take_is_refused(kind: Any, text: str) -> None:
    try:
        TypeAdapter(kind).validate_python(text)
    except ValidationError:
        return
    assert schema_problem(text, TypeAdapter(kind).json_schema()) is None


@pytest.mark.parametrize(
    ("text", "name", "problem"),
    [
        ("2026-13-04", "date", "month value is outside expected range of 1-12"),
        ("2026-11-23T10:00", "date", "Datetimes provided to dates should have zero time"),
        ("2026-02-29", "date-time", "day value is outside expected range"),
        ("25:00", "time", "hour value is outside expected range of 0-23"),
        ("a while", "duration", "Input should be a valid timedelta"),
        (A_UUID[:-1], "uuid", "invalid group length"),
        (A_UUID, "uuid7", "UUID version 7 expected"),
        ("acme.example", "uri", "relative URL without a base"),
        ("192.0.2.256", "ipv4", "not a valid IPv4 address"),
        ("billing", "email", "Input should have an @ between name and domain"),
        ("\ud83d", "date", "unable to parse raw data as a unicode string"),
    ],
)
def test_what_is_not_of_its_format_is_told_with_the_field_and_why(text: str, name: str, problem: str) -> None:
    schema: JsonSchema = {"type": "object", "properties": {"x": {"type": "string", "format": name}}}
    assert schema_error(schema) is None
    said = schema_problem({"x": text}, schema) or ""
    assert said.startswith(f"x: {text!r} is not a {name!r}: ")
    assert problem in said


@pytest.mark.parametrize("text", ["a@b.example", '"a b"@c.example', "Ada <ada@b.example>", "ü@ü.example"])
@pytest.mark.parametrize("name", ["email", "name-email"])
def test_a_mail_address_needs_no_more_than_every_reader_asks(text: str, name: str) -> None:
    assert schema_problem(text, {"type": "string", "format": name}) is None


@pytest.mark.parametrize("kind", [bytes, SecretStr, Base64Bytes, FilePath])
def test_what_says_nothing_of_a_text_is_left_to_the_tool(kind: Any) -> None:
    assert schema_problem("?", TypeAdapter(kind).json_schema()) is None


def pay(due: date, paid: datetime | None = None, slots: dict[date, list[time]] | None = None) -> None:
    """Dates of its own, in a list, as names, and where there may be none."""


@pytest.mark.parametrize(
    ("args", "problem"),
    [
        ({"due": "2026-11-23"}, None),
        ({"due": "2026-11-23", "paid": "2026-11-23 10:00", "slots": {"2026-11-23": ["10:00"]}}, None),
        ({"due": "2026-11-23", "paid": None, "slots": None}, None),
        ({"due": "2026-13-04"}, "due: '2026-13-04' is not a 'date': "),
        ({"due": "2026-11-23", "paid": "soon"}, "paid: 'soon' is not a 'date-time': "),
        ({"due": "2026-11-23", "slots": {"soon": []}}, "slots: 'soon' is not a 'date': "),
        ({"due": "2026-11-23", "slots": {"2026-11-23": ["10:00", "25:00"]}}, "slots.2026-11-23.1: '25:00' is not a"),
    ],
)
def test_a_tools_dates_are_held_against_its_schema_wherever_they_stand(args: JsonObject, problem: str | None) -> None:
    said = schema_problem(args, schema_of(pay))
    assert said is None if problem is None else (said or "").startswith(problem)


def schema_of(function: Callable[..., Any]) -> JsonSchema:
    return tool(function).definition.input_schema


PAYS = Agent(name="payer", model="replay/x", tools=[tool(approval_required=True)(pay)])


def test_a_model_that_makes_up_a_date_is_told_before_anybody_is_asked() -> None:
    result = mock_run(PAYS, "pay", [MockEvent.tool_call("pay", {"due": "2026-13-04"}), MockEvent.done("sorry")])
    [came] = [event for event in result.events if event.type == "tool_result"]
    assert "break its schema: due: '2026-13-04' is not a 'date'" in (came.reason or "")
    assert not [event for event in result.events if event.type == "waiting"]


def test_an_approvers_date_that_is_none_is_refused_and_nothing_is_recorded() -> None:
    edited = MockEvent.approved(args={"due": "2026-13-04"})
    with pytest.raises(ScriptError, match=r"can't be used: due: '2026-13-04' is not a 'date': .*month"):
        mock_run(PAYS, "pay", [MockEvent.tool_call("pay", {"due": "2026-11-23"}), edited])


@pytest.mark.parametrize(
    ("value", "parts", "problem"),
    [
        ("x", [{"type": "string", "minLength": 2}, {"type": "null"}], "'x' is too short"),
        ({"a": 1}, [{"$ref": "#/$defs/a"}, {"type": "null"}], "a: 1 is not of type 'string'"),
        ("x", [{"enum": ["a"]}, {"type": "null"}], "'x' is not one of ['a']"),
        (1, [{"type": "string"}, {"type": "null"}], "1 is not valid under any of the given schemas"),
        ("x", [{"type": "string", "minLength": 2}, {"const": 1}], "'x' is not valid under any of the given schemas"),
        ("x", [False, {"type": "null"}], "'x' is not valid under any of the given schemas"),
    ],
)
def test_of_several_schemas_the_one_that_can_be_meant_says_what_is_wrong(
    value: Any, parts: list[JsonSchema], problem: str
) -> None:
    schema: JsonSchema = {"anyOf": parts, "$defs": {"a": {"properties": {"a": {"type": "string"}}}}}
    assert schema_problem(value, schema) == problem


@pytest.mark.timeout(20)
@pytest.mark.parametrize("name", sorted({name for name, _ in TYPES.values()} | {"email", "name-email"}))
@pytest.mark.parametrize("text", ["9" * 250_000, "a@" * 125_000, "http://" + "ü" * 125_000, "1.1.1.1/" + "9" * 9_999])
def test_a_long_text_is_answered_at_once(name: str, text: str) -> None:
    schema_problem(text, {"format": name})
