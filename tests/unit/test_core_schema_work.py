"""How much work a schema is, counted in its parts that are held against a value's: each pair once, whatever it says.

And that neither remembering nor a quick yes changes an answer: on any schema and value it is what jsonschema says.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from jsonschema import Draft202012Validator
from jsonschema.validators import create
from pydantic import JsonValue
from referencing import Registry

from agentspan_orchestrator.domain import patterns, schema_error, schema_problem
from agentspan_orchestrator.domain.checking import MOST_PROBLEMS, Checked, Part
from agentspan_orchestrator.domain.quick import quick
from agentspan_schemas import JsonObject, JsonSchema

DEPTH = 30
"""Twice the work a level would be a thousand million of them."""


def nested(inner: JsonSchema, **around: Any) -> JsonSchema:
    """A schema in itself so many times; `around` names the keyword and where in it the next one stands."""
    for _ in range(DEPTH):
        inner = {word: [inner] if word in ("allOf", "anyOf", "oneOf") else inner for word in around} | {
            word: said for word, said in around.items() if said is not None
        }
    return inner


def chain(word: str, times: int = 2, last: JsonSchema | None = None) -> JsonSchema:
    """Each level refers to the next one so many times."""
    levels: JsonSchema = {f"l{level}": {word: [{"$ref": f"#/$defs/l{level + 1}"}] * times} for level in range(DEPTH)}
    return {"$ref": "#/$defs/l0", "$defs": {**levels, f"l{DEPTH}": last or {"type": "integer"}}}


def deep(name: str) -> JsonValue:
    value: JsonValue = 1
    for _ in range(DEPTH):
        value = {name: value}
    return value


@dataclass
class Counted:
    """How often a part of the schema was held against a part of the value."""

    times: int = 0


@pytest.fixture
def counted(monkeypatch: pytest.MonkeyPatch) -> Counted:
    count, check = Counted(), Part._check

    def counting(part: Part, value: JsonValue) -> Any:
        count.times += 1
        return check(part, value)

    monkeypatch.setattr(Part, "_check", counting)
    return count


@pytest.mark.timeout(60)
@pytest.mark.parametrize(
    ("schema", "value"),
    [
        (chain("allOf"), 1),
        (chain("allOf"), "x"),
        (chain("anyOf"), "x"),
        (chain("oneOf"), "x"),
        (chain("oneOf"), 1),
        (chain("allOf") | {"unevaluatedProperties": False}, {"x": 1}),
        (chain("anyOf", last={"type": "object"}) | {"unevaluatedProperties": False}, {"x": 1}),
        (chain("allOf", last={"type": "array"}) | {"unevaluatedItems": False}, [1]),
        (nested({"type": "object"}, allOf=None, unevaluatedProperties=False), {"x": 1}),
        (nested({"type": "object"}, anyOf=None, unevaluatedProperties={"type": "integer"}), {"x": 1}),
        (nested({"type": "array"}, oneOf=None, unevaluatedItems=False), [1]),
        (nested({"type": "object"}, **{"if": None, "then": {}, "unevaluatedProperties": False}), {"x": 1}),
        (nested({"type": "object"}, **{"not": None, "unevaluatedProperties": False}), {"x": 1}),
        ({"properties": {"x": {"allOf": [{"$ref": "#"}, {"$ref": "#"}]}}}, deep("x")),
        ({"additionalProperties": {"anyOf": [{"$ref": "#"}, {"$ref": "#"}]}, "type": "object"}, deep("x")),
        ({"additionalProperties": {"$ref": "#"}, "unevaluatedProperties": {"$ref": "#"}}, deep("x")),
    ],
)
def test_no_schema_is_more_work_than_its_parts_times_those_of_the_value(
    schema: JsonSchema, value: JsonValue, counted: Counted
) -> None:
    assert schema_error(schema) is None
    schema_problem(value, schema)
    assert 0 < counted.times <= parts(schema) * parts(value)


def parts(value: JsonValue | JsonSchema) -> int:
    """How many values there are in a value, itself and names left out."""
    match value:
        case dict():
            return 1 + sum(map(parts, value.values()))
        case list():
            return 1 + sum(map(parts, value))
        case _:
            return 1


def test_of_many_problems_those_nearest_to_the_top_are_told_and_no_more_are_kept() -> None:
    schema: JsonSchema = {
        "properties": {"deep": {"properties": {"a": {"type": "string"}}}},
        "additionalProperties": {"type": "string"},
    }
    value: JsonValue = {"deep": {"a": 1}, **{f"n{number}": number for number in range(1000)}}
    problems = Checked(schema, patterns._KEYWORDS, patterns._found).problems(value)
    assert [problem.path for problem in problems] == [("n0",), ("n1",), ("n2",)]


@pytest.mark.parametrize(
    "word",
    [{"const": {}}, {"default": {}}, {"enum": [{}]}, {"examples": [{}]}, {"x-own": {}}],
    ids=lambda word: next(iter(word)),
)
def test_what_a_schema_shows_is_data_and_may_look_like_a_schema(word: JsonSchema) -> None:
    shown: JsonObject = {
        "$schema": "http://json-schema.org/draft-07/schema#",
        "pattern": "(?=a)",
        "patternProperties": {"(": {}},
    }
    [(name, held)] = word.items()
    schema: JsonSchema = {
        "properties": {"x": {name: [shown] if held == [{}] else shown}},
        "unevaluatedProperties": False,
    }
    assert schema_error(schema) is None
    assert schema_problem({"x": shown}, schema) is None


@pytest.mark.parametrize("name", ["const", "default", "enum", "examples"])
def test_a_property_of_such_a_name_is_a_schema(name: str) -> None:
    inner = {"$schema": "http://json-schema.org/draft-07/schema#"}
    assert "a part of it says a '$schema' of its own" in (schema_error({"properties": {name: inner}}) or "")


def test_what_would_depend_on_the_way_that_led_there_is_refused() -> None:
    schema: JsonSchema = {"$dynamicRef": "#a", "$defs": {"a": {"$id": "urn:a", "$dynamicAnchor": "a"}}}
    assert "'$dynamicRef' can't be checked beside" in (schema_error(schema) or "")


@pytest.mark.parametrize(
    ("value", "problem"),
    [
        ({"properties": {"x": {"type": "string", "allOf": [{"minimum": 1}]}}}, None),
        ({"properties": {"x": {"type": 5}}}, "properties.x.type: 5 is not one of ['array', 'boolean', "),
    ],
)
def test_a_value_may_have_to_be_a_schema_itself(value: JsonValue, problem: str | None) -> None:
    schema: JsonSchema = {"$ref": "https://json-schema.org/draft/2020-12/schema"}
    assert (schema_problem(value, schema) or "")[: len(problem or "")] == (problem or "")


def test_what_nothing_fits_is_told_with_its_place() -> None:
    """jsonschema forgets the place of a schema that is false: those below leave it out."""
    assert schema_problem([None], {"prefixItems": [False]}) == "0: False schema does not allow None"


NAMES = st.sampled_from(["a", "b", "ab"])
VALUES: st.SearchStrategy[Any] = st.recursive(
    st.sampled_from([None, True, 0, 1, 1.5, "", "a", "b", "2026-11-23", "10:00"]),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(NAMES, inner, max_size=3),
    max_leaves=6,
)
LEAVES = st.sampled_from(
    [
        True, {"not": {}}, {}, {"type": "object"}, {"type": "array"}, {"type": "string"}, {"type": ["integer", "null"]},
        {"const": 1}, {"enum": ["a", {}]}, {"required": ["a"]}, {"minItems": 2}, {"maxProperties": 1}, {"minimum": 1},
        {"pattern": "b"}, {"$ref": "#/$defs/one"}, {"$ref": "#/$defs/two"}, {"$ref": "#two"}, {"$dynamicRef": "#two"},
        {"dependentRequired": {"a": ["b"]}}, {"uniqueItems": True}, {"format": "date"},
    ]
)  # fmt: skip


def grown(inner: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
    words = {
        **{word: inner for word in ("not", "if", "then", "else", "items", "contains", "propertyNames")},
        **{word: inner for word in ("additionalProperties", "unevaluatedItems")},
        "unevaluatedProperties": st.booleans(),
        **{word: st.lists(inner, min_size=1, max_size=3) for word in ("allOf", "anyOf", "oneOf", "prefixItems")},
        **{word: st.dictionaries(NAMES, inner, max_size=2) for word in ("properties", "dependentSchemas")},
    }
    return st.fixed_dictionaries({}, optional=words)


SCHEMAS = st.recursive(LEAVES, grown, max_leaves=8)


def told(schema: JsonSchema, value: JsonValue) -> list[tuple[tuple[str | int, ...], str]]:
    """By jsonschema, with our keywords for patterns."""
    ours = ("pattern", "patternProperties", "additionalProperties", "anyOf", "format", "uniqueItems")
    keywords = {**Draft202012Validator.VALIDATORS, **{word: patterns._KEYWORDS[word] for word in ours}}
    kind = create(Draft202012Validator.META_SCHEMA, keywords, type_checker=Draft202012Validator.TYPE_CHECKER)
    errors: Iterator[Any] = kind(schema, registry=Registry()).iter_errors(value)
    return [
        (tuple(error.absolute_path), error.message)
        for error in sorted(errors, key=lambda error: len(error.absolute_path))
    ]


@settings(max_examples=200, deadline=None)
@given(schema=SCHEMAS, one=SCHEMAS, two=LEAVES, value=VALUES)
def test_remembering_changes_no_answer(schema: Any, one: Any, two: Any, value: JsonValue) -> None:
    second = {"$anchor": "two", "$dynamicAnchor": "two", **(two if isinstance(two, dict) else {"not": {}})}
    whole: JsonSchema = {"allOf": [schema], "$defs": {"one": one, "two": second}}
    try:
        expected = told(whole, value)[:MOST_PROBLEMS]
        found = Checked(whole, patterns._KEYWORDS, patterns._found).problems(value)
    except RecursionError:  # it refers to itself without end, which jsonschema may not notice before it has an answer
        return
    assert [tuple(problem) for problem in found] == expected


PLAIN = st.recursive(
    st.sampled_from([{}, {"type": "string"}, {"type": "integer"}, {"type": "number"}, {"type": "boolean"}])
    | st.sampled_from([{"type": "null"}, {"type": "string", "enum": ["a", ""]}, {"title": "A", "default": 1}])
    | st.sampled_from([{"type": "string", "format": "date"}, {"type": "string", "format": "time"}])
    | st.sampled_from([{"format": "date"}, {"type": "integer", "format": "date"}, {"type": "string", "format": "a"}])
    | st.just({"type": "string", "format": "date", "enum": ["a", "2026-11-23"]}),
    lambda inner: (
        st.fixed_dictionaries({"type": st.just("array")}, optional={"items": inner})
        | st.fixed_dictionaries({"anyOf": st.lists(inner, min_size=1, max_size=3)})
        | st.fixed_dictionaries(
            {"type": st.just("object")},
            optional={
                "properties": st.dictionaries(NAMES, inner, max_size=3),
                "required": st.lists(NAMES, max_size=2, unique=True),
                "additionalProperties": st.booleans(),
            },
        )
    ),
    max_leaves=6,
)


@settings(max_examples=300, deadline=None)
@given(schema=PLAIN, value=VALUES)
def test_a_quick_yes_is_never_wrong(schema: JsonSchema, value: JsonValue) -> None:
    known = quick(schema)
    if known is not None and known.isinstance_python(value):
        assert told(schema, value) == []


PERSON: JsonSchema = {
    "title": "Person",
    "type": "object",
    "properties": {
        "name": {"type": "string", "description": "In full."},
        "born": {"anyOf": [{"type": "integer"}, {"type": "null"}], "default": None},
        "tags": {"type": "array", "items": {"type": "string", "enum": ["a", "b"]}},
        "since": {"type": "string", "format": "date"},
    },
    "required": ["name"],
    "additionalProperties": False,
}


@pytest.mark.parametrize(
    ("value", "yes"),
    [
        ({"name": "Ada", "born": 1815, "tags": ["a"]}, True),
        ({"name": "Ada", "born": None}, True),
        ({"name": "Ada", "since": "2026-11-23"}, True),
        ({"name": "Ada", "since": "2026-13-04"}, False),
        ({"name": "Ada", "born": 1815.0}, False),  # fits, too: the keywords say so
        ({"name": "Ada", "born": True}, False),
        ({"name": "Ada", "tags": ["c"]}, False),
        ({"name": "Ada", "more": 1}, False),
        ({"born": 1815}, False),
    ],
)
def test_what_fits_a_plain_schema_is_said_quickly(value: JsonValue, yes: bool) -> None:
    known = quick(PERSON)
    assert known is not None
    assert known.isinstance_python(value) is yes


@pytest.mark.parametrize(
    "word",
    [
        {"type": ["string", "null"]}, {"type": "string", "minLength": 1}, {"type": "object", "required": ["a"]},
        {"type": "object", "additionalProperties": {"type": "string"}}, {"type": "string", "enum": ["a", 1]},
        {"format": "date"}, {"type": "string", "format": "date", "enum": ["2026-11-23"]},
        {"properties": {}}, {"anyOf": [{"$ref": "#"}]}, {"items": {}}, {"type": "object", "properties": {"a": False}},
    ],
)  # fmt: skip
def test_a_schema_that_says_more_is_left_to_the_keywords(word: JsonSchema) -> None:
    assert quick(word) is None
