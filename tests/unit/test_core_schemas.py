"""Whether values fit JSON Schemas, which are others': each answer comes in bounded time, and says the field and why.

Apart from the core's other rules because schemas are the one input that could hold up everybody by being checked.
"""

import pytest
from pydantic import JsonValue

from agentspan_orchestrator.domain import schema_error, schema_problem
from agentspan_schemas import JsonSchema

LETTERS = "a" * 40 + "!"
DOUBLING = "^(a+)+$"
"""Python's regular expressions take twice as long for each letter more: for LETTERS, hours."""
DRAFT_7 = "http://json-schema.org/draft-07/schema#"
DRAFT_2020 = "https://json-schema.org/draft/2020-12/schema"


@pytest.mark.timeout(20)
@pytest.mark.parametrize(
    ("value", "schema", "problem"),
    [
        (LETTERS, {"pattern": DOUBLING}, f"'{LETTERS}' does not match '^(a+)+$'"),
        (
            {LETTERS: 1},
            {"patternProperties": {DOUBLING: False}, "additionalProperties": False},
            f"'{LETTERS}' does not match any of the regexes: '^(a+)+$'",
        ),
        (
            {LETTERS: 1},
            {"patternProperties": {DOUBLING: {}}, "additionalProperties": {"type": "string"}},
            f"{LETTERS}: 1 is not of type 'string'",
        ),
        ({LETTERS: 1}, {"propertyNames": {"pattern": DOUBLING}}, f"'{LETTERS}' does not match '^(a+)+$'"),
        (
            {"x": LETTERS},
            {"$schema": DRAFT_7, "properties": {"x": {"$ref": "#/$defs/x"}}, "$defs": {"x": {"pattern": DOUBLING}}},
            f"x: '{LETTERS}' does not match '^(a+)+$'",
        ),
        (
            {"x": LETTERS},
            {"$schema": DRAFT_2020, "properties": {"x": {"$ref": "#"}}, "pattern": DOUBLING},
            f"x: '{LETTERS}' does not match '^(a+)+$'",
        ),
        (
            {"x": LETTERS},
            {"$schema": DRAFT_7, "properties": {"x": {"$ref": "#"}}, "pattern": DOUBLING},
            f"x: '{LETTERS}' does not match '^(a+)+$'",
        ),
    ],
    ids=[
        "pattern",
        "patternProperties",
        "additionalProperties",
        "propertyNames",
        "draft 7",
        "itself",
        "itself, draft 7",
    ],
)
def test_a_pattern_that_would_backtrack_for_hours_is_answered_at_once(
    value: JsonValue, schema: JsonSchema, problem: str
) -> None:
    assert schema_error(schema) is None
    assert schema_problem(value, schema) == problem


@pytest.mark.timeout(20)
@pytest.mark.parametrize(
    ("schema", "reason"),
    [
        ({"pattern": "^(?=(a+)+$)"}, "pattern: '^(?=(a+)+$)' is not a 'regex': look-around, including look-ahead"),
        ({"pattern": r"(a)\1"}, r"pattern: '(a)\\1' is not a 'regex': backreferences are not supported"),
        ({"pattern": "(a{1,1000}){1,1000}"}, "Compiled regex exceeds size limit"),
        ({"pattern": "("}, "pattern: '(' is not a 'regex': unclosed group"),
        (
            {"properties": {"x": {"pattern": "["}}},
            "properties.x.pattern: '[' is not a 'regex': unclosed character class",
        ),
        ({"patternProperties": {"(?!a)": {}}}, "patternProperties: '(?!a)' is not a 'regex': look-around"),
        ({"items": {"$schema": DRAFT_7, "pattern": DOUBLING}}, "a part of it says a '$schema' of its own"),
        (
            {"unevaluatedProperties": False, "anyOf": [{"patternProperties": {DOUBLING: {}}}]},
            "'unevaluatedProperties' can't be checked beside 'patternProperties'",
        ),
    ],
    ids=lambda value: value[:30] if isinstance(value, str) else None,
)
def test_a_schema_that_could_not_be_checked_in_bounded_time_is_refused(schema: JsonSchema, reason: str) -> None:
    assert reason in (schema_error(schema) or "")
    assert reason in (schema_problem(LETTERS, schema) or "")


def test_a_pattern_where_no_schema_is_looked_for_is_a_problem_when_it_is_met() -> None:
    hidden = {"properties": {"x": {"$ref": "#/hidden"}}, "hidden": {"pattern": "(?=a)"}}
    assert "look-ahead" in (schema_problem({"x": LETTERS}, hidden) or "")


@pytest.mark.parametrize(
    ("value", "schema"),
    [
        ("Müller", {"pattern": r"^\w+$"}),
        ("a Müller", {"pattern": "Mü"}),
        (5, {"pattern": "^a$"}),
        ({"s_1": "x", "b_1": True}, {"patternProperties": {"^s_": {"type": "string"}, "^b_": {"type": "boolean"}}}),
        (
            {"s_1": "x", "y": 1},
            {"patternProperties": {"^s_": {}}, "properties": {"y": {}}, "additionalProperties": False},
        ),
        ([], {"patternProperties": {"^s_": False}, "additionalProperties": False}),
        ({"x": 1}, {"unevaluatedProperties": False, "properties": {"x": {}}}),
        ({"$schema": "x"}, {"properties": {"$schema": {"type": "string"}}, "additionalProperties": False}),
        (1.0, {"type": "integer"}),
        (10**400, {"type": "integer", "minimum": 2**64}),
        (5, {"format": "date-time"}),
        ("yesterday", {"format": "x-day"}),
    ],
    ids=str,
)
def test_what_fits_has_no_problem(value: JsonValue, schema: JsonSchema) -> None:
    assert schema_error(schema) is None
    assert schema_problem(value, schema) is None


@pytest.mark.parametrize(
    ("value", "schema", "problem"),
    [
        ("a\n", {"pattern": "^a$"}, r"'a\n' does not match '^a$'"),
        (
            {"b_1": "x", "z": 1, "y": 2},
            {
                "patternProperties": {"^s_": {"type": "string"}, "^b_": {"type": "boolean"}},
                "additionalProperties": False,
            },
            "'y', 'z' do not match any of the regexes: '^b_', '^s_'; b_1: 'x' is not of type 'boolean'",
        ),
        (
            {"z": 1, "y": 2},
            {"additionalProperties": False},
            "Additional properties are not allowed ('y', 'z' were unexpected)",
        ),
        ({"z": 1}, {"additionalProperties": False}, "Additional properties are not allowed ('z' was unexpected)"),
        ({"z": [{"a": 1}]}, {"additionalProperties": {"items": {"additionalProperties": False}}}, "z.0: Additional"),
        (1.5, {"type": "integer"}, "1.5 is not of type 'integer'"),
        (1, {"$ref": "file:///etc/hosts"}, "the schema refers to 'file:///etc/hosts', which it does not hold"),
        ([], {"$ref": "#"}, "nested too deeply for its schema, or the schema refers to itself without end"),
    ],
    ids=lambda value: value[:40] if isinstance(value, str) else None,
)
def test_what_does_not_fit_is_told_with_its_field(value: JsonValue, schema: JsonSchema, problem: str) -> None:
    assert problem in (schema_problem(value, schema) or "")


@pytest.mark.timeout(20)
def test_many_different_objects_are_told_apart_at_once() -> None:
    """Compared each with all others, so many take hours."""
    many: list[JsonValue] = [{"n": number} for number in range(50_000)]
    assert schema_problem(many, {"uniqueItems": True}) is None
    assert schema_problem([*many, {"n": 7}], {"items": {"type": "object"}, "uniqueItems": True}) is not None


@pytest.mark.parametrize(
    ("value", "unique"),
    [
        ([1, True, "1", "true", None, 0, False, [1], [True], {"a": 1}, {"a": True}], True),
        ([["boolean", True], True, ["a"], {"a": None}, [["a", None]]], True),
        ([1, 1.0], False),
        ([{"a": 1, "b": [2]}, {"b": [2.0], "a": 1}], False),
        ([[], {}, []], False),
    ],
)
def test_items_are_unique_as_json_schema_says(value: JsonValue, unique: bool) -> None:
    assert (schema_problem(value, {"uniqueItems": True}) is None) is unique
    assert schema_problem(value, {"uniqueItems": False}) is None


def test_a_value_nested_deeper_than_the_checker_goes_is_a_problem() -> None:
    value: JsonValue = []
    for _ in range(500):
        value = [value]
    assert "nested too deeply" in (schema_problem(value, {"items": {"$ref": "#"}}) or "")


def test_a_schema_nested_deeper_than_the_checker_goes_is_no_schema() -> None:
    schema: JsonSchema = {}
    for _ in range(500):
        schema = {"allOf": [schema]}
    assert schema_error(schema) == "not a JSON Schema: it is nested too deeply"
