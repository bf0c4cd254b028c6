"""JSON Schema whose patterns are matched in linear time: schemas are others', and are checked where everybody waits.

Apart from the rules that ask, because it stands in for the checker's own regular expressions: Python's take time that
doubles with each letter for a pattern like `^(a+)+$`. These are the ones that the SDK's tools are checked with, too.
Why no other checker: docs/decisions/0120.
"""

from collections.abc import Hashable, Iterable, Iterator
from functools import lru_cache
from typing import Any

from jsonschema import Draft202012Validator, FormatChecker
from jsonschema.exceptions import SchemaError, ValidationError
from pydantic import JsonValue
from pydantic_core import SchemaError as BadPattern
from pydantic_core import SchemaValidator, core_schema, from_json

from agentspan_orchestrator.domain.checking import Checked, Part, unevaluated_items, unevaluated_properties
from agentspan_orchestrator.domain.formats import format_problem
from agentspan_schemas import JsonObject, JsonSchema

Errors = Iterator[ValidationError]


@lru_cache(maxsize=4096)
def checked(schema: bytes) -> Checked:
    """What checks values against this schema, written as JSON. References to other documents are not followed.

    Raises jsonschema's SchemaError when it is no JSON Schema, or has a pattern that can't be matched in linear time.
    """
    parsed: JsonSchema = from_json(schema)
    check(parsed)
    return Checked(parsed, _KEYWORDS, _found)  # of whichever draft it says it is, it is read as 2020-12


def check(schema: JsonSchema) -> None:
    """Raise jsonschema's SchemaError when this is no JSON Schema, or one that could not be checked in bounded time."""
    Draft202012Validator.check_schema(schema, _FORMATS)
    inner = [part for part in _parts(schema) if part is not schema]
    if any(isinstance(part.get("$schema"), str) for part in inner):
        raise SchemaError("a part of it says a '$schema' of its own: only the whole may, take it out")
    if all(any(word in part for part in (schema, *inner)) for word in ("patternProperties", "unevaluatedProperties")):
        raise SchemaError("'unevaluatedProperties' can't be checked beside 'patternProperties'")
    if any("$dynamicRef" in part for part in (schema, *inner)) and any("$id" in part for part in inner):
        raise SchemaError("'$dynamicRef' can't be checked beside a part with an '$id' of its own: say '$ref'")


_PART = (
    "additionalProperties", "contains", "contentSchema", "else", "if", "items", "not", "propertyNames", "then",
    "unevaluatedItems", "unevaluatedProperties",
)  # fmt: skip
_PARTS = ("allOf", "anyOf", "oneOf", "prefixItems")
_NAMED_PARTS = ("$defs", "definitions", "dependencies", "dependentSchemas", "patternProperties", "properties")


def _parts(schema: Any) -> Iterator[JsonObject]:
    """The schema and all in it that is one: what `const`, `default`, `enum` and `examples` show is data."""
    if not isinstance(schema, dict):
        return
    yield schema
    parts = [schema.get(word) for word in _PART]
    parts += [part for word in _PARTS for part in schema.get(word, ())]
    parts += [part for word in _NAMED_PARTS for part in schema.get(word, {}).values()]
    for part in parts:
        yield from _parts(part)


@lru_cache(maxsize=512)  # one may take megabytes
def _compiled(pattern: str) -> SchemaValidator:
    return SchemaValidator(core_schema.str_schema(pattern=pattern, strict=True, regex_engine="rust-regex"))


def _found(pattern: str, text: str) -> bool:
    return _compiled(pattern).isinstance_python(text)


def _is_pattern(value: object) -> bool:
    """Whether it can be matched in linear time; raises ValueError that says why not."""
    try:
        return not isinstance(value, str) or _compiled(value) is not None
    except BadPattern as error:
        reason = str(error).splitlines()[-1].removeprefix("error: ").removeprefix("  SchemaError: ").rstrip(".")
        raise ValueError(reason) from error


def _pattern(checker: Part, pattern: str, value: JsonValue, schema: JsonSchema) -> Errors:
    if isinstance(value, str) and not _found(pattern, value):
        yield ValidationError(f"{value!r} does not match {pattern!r}")


def _format(checker: Part, name: str, value: JsonValue, schema: JsonSchema) -> Errors:
    if isinstance(value, str) and (problem := format_problem(name, value)):
        yield ValidationError(f"{value!r} is not a {name!r}: {problem}")


def _any_of(checker: Part, parts: list[JsonSchema | bool], value: JsonValue, schema: JsonSchema) -> Errors:
    """With what is wrong with it as the one part that it can be meant for, where there is one: `date | None`."""
    meant: list[list[ValidationError]] = []
    for part in parts:
        errors = list(checker.descend(value, part))
        if not errors:
            return
        if _may_be_meant(checker, part, value):
            meant.append(errors)
    if len(meant) == 1:
        yield from meant[0]
    else:
        yield ValidationError(f"{value!r} is not valid under any of the given schemas")


def _may_be_meant(checker: Part, part: JsonSchema | bool, value: JsonValue) -> bool:
    kind = part.get("type") if isinstance(part, dict) else None
    return checker.is_type(value, kind) if isinstance(kind, str) else part is not False


def _pattern_properties(checker: Part, patterns: JsonSchema, value: JsonValue, schema: JsonSchema) -> Errors:
    if not isinstance(value, dict):
        return
    for pattern, part in patterns.items():
        for name in filter(lambda name: _found(pattern, name), value):
            yield from checker.descend(value[name], part, path=name, schema_path=pattern)


def _additional_properties(checker: Part, allowed: JsonSchema | bool, value: JsonValue, schema: JsonSchema) -> Errors:
    if not isinstance(value, dict):
        return
    extras = [name for name in value if not _is_named(name, schema)]
    if isinstance(allowed, dict):
        for name in extras:
            yield from checker.descend(value[name], allowed, path=name)
    elif extras and not allowed:
        yield ValidationError(_unexpected(extras, schema))


def _unique_items(checker: Part, wanted: bool, value: JsonValue, schema: JsonSchema) -> Errors:
    """By a set: the checker compares each object with all before it, which is seconds for a thousand of them."""
    if wanted and isinstance(value, list) and len({_identity(item) for item in value}) < len(value):
        yield ValidationError(f"{value!r} has non-unique elements")


def _identity(value: JsonValue) -> Hashable:
    """Equal for what JSON Schema calls equal: 1 and 1.0 are, 1 and true are not."""
    match value:
        case dict():
            return "object", frozenset((name, _identity(part)) for name, part in value.items())
        case list():
            return "array", tuple(_identity(part) for part in value)
        case bool():
            return "boolean", value
        case _:
            return value


def _is_named(name: str, schema: JsonSchema) -> bool:
    patterns: Iterable[str] = schema.get("patternProperties", ())
    return name in schema.get("properties", ()) or any(_found(pattern, name) for pattern in patterns)


def _unexpected(extras: list[str], schema: JsonSchema) -> str:
    names = ", ".join(map(repr, sorted(extras)))
    one = len(extras) == 1
    if patterns := schema.get("patternProperties"):
        return (
            f"{names} {'does' if one else 'do'} not match any of the regexes: {', '.join(map(repr, sorted(patterns)))}"
        )
    return f"Additional properties are not allowed ({names} {'was' if one else 'were'} unexpected)"


_FORMATS = FormatChecker(Draft202012Validator.FORMAT_CHECKER.checkers)
_FORMATS.checks("regex", raises=ValueError)(_is_pattern)

_KEYWORDS = {
    **Draft202012Validator.VALIDATORS,
    "pattern": _pattern,
    "patternProperties": _pattern_properties,
    "additionalProperties": _additional_properties,
    "anyOf": _any_of,
    "format": _format,
    "unevaluatedItems": unevaluated_items,
    "unevaluatedProperties": unevaluated_properties,
    "uniqueItems": _unique_items,
}
