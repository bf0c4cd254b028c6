"""A quick yes for plain schemas: objects, lists and scalars, as most tools have them. Pydantic's core gives it in a
fiftieth of the time that the keywords take.

It only ever says yes. A value that it does not take, and a schema that says anything else, is for the keywords: they
alone say no, and why. They have to agree with every yes.
"""

from collections.abc import Callable, Mapping
from typing import Any

from pydantic_core import CoreSchema, SchemaValidator
from pydantic_core import core_schema as core

from agentspan_orchestrator.domain.formats import FORMATS
from agentspan_schemas import JsonSchema

_SAYS_NOTHING = frozenset(
    {"$comment", "$schema", "default", "description", "deprecated", "examples", "format", "readOnly", "title"}
)
"""Words that no value breaks. Of the formats, all but those of FORMATS."""


class _NotPlain(Exception):
    """The schema says something that only the keywords know."""


def quick(schema: JsonSchema) -> SchemaValidator | None:
    """What knows of a value that it fits the schema, if it is a plain one."""
    try:
        return SchemaValidator(_core_of(schema))
    except _NotPlain:
        return None


def _core_of(schema: Any) -> CoreSchema:
    match schema:
        case {"type": str(kind)} if kind in _KINDS:
            words, make = _KINDS[kind]
        case {"type": _}:
            raise _NotPlain
        case {"anyOf": list(parts)}:
            words, make = {"anyOf"}, lambda _: core.union_schema([_core_of(part) for part in parts])
        case dict():
            words, make = set(), lambda _: core.any_schema()
        case _:
            raise _NotPlain
    if not schema.keys() <= words | {"type"} | _SAYS_NOTHING:
        raise _NotPlain
    if schema.get("format") in FORMATS and schema.get("type") != "string":
        raise _NotPlain
    return make(schema)


def _object(schema: JsonSchema) -> CoreSchema:
    parts, required, more = (schema.get(word, {}) for word in ("properties", "required", "additionalProperties"))
    if not set(required) <= parts.keys() or more not in ({}, True, False):
        raise _NotPlain
    fields = {name: core.typed_dict_field(_core_of(part), required=name in required) for name, part in parts.items()}
    return core.typed_dict_schema(fields, strict=True, extra_behavior="forbid" if more is False else "ignore")


def _array(schema: JsonSchema) -> CoreSchema:
    return core.list_schema(_core_of(schema.get("items", {})), strict=True)


def _string(schema: JsonSchema) -> CoreSchema:
    if "enum" not in schema:
        return FORMATS.get(schema.get("format", ""), core.str_schema(strict=True))
    if schema.get("format") in FORMATS or not all(isinstance(each, str) for each in schema["enum"]):
        raise _NotPlain
    return core.literal_schema(schema["enum"])


_KINDS: Mapping[str, tuple[set[str], Callable[[JsonSchema], CoreSchema]]] = {
    "object": ({"properties", "required", "additionalProperties"}, _object),
    "array": ({"items"}, _array),
    "string": ({"enum"}, _string),
    "integer": (set(), lambda _: core.int_schema(strict=True)),
    "number": (set(), lambda _: core.float_schema(strict=True)),
    "boolean": (set(), lambda _: core.bool_schema(strict=True)),
    "null": (set(), lambda _: core.none_schema()),
}
"""By type: the words that are known beside it, and what they come to."""
