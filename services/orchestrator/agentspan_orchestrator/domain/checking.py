"""A value against a schema, each part of the one against each part of the other once, however often it is asked for.

Apart from the keywords (`patterns`, and jsonschema's own), which say what is wrong: this plays jsonschema's validator
for them, and remembers. There, a reference that stands in a schema twice is followed twice, and what is unevaluated is
found by asking all parts again: work that doubles with each level of a schema of a few hundred letters.
"""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from jsonschema import Draft202012Validator
from jsonschema.exceptions import ValidationError
from jsonschema_specifications import REGISTRY  # type: ignore[import-untyped]
from pydantic import JsonValue
from referencing.jsonschema import DRAFT202012

from agentspan_orchestrator.domain.quick import quick
from agentspan_schemas import JsonSchema

Schema = JsonSchema | bool
Path = tuple[str | int, ...]
Found = Callable[[str, str], bool]
"""Whether a pattern is found in a text."""

MOST_PROBLEMS = 3
"""So many are told of a value; so many of a part of it are enough."""

_META = "https://json-schema.org/"
_TYPES = Draft202012Validator.TYPE_CHECKER


class Problem(NamedTuple):
    """What is wrong with a value, and where in it."""

    path: Path
    message: str


class _Reference(NamedTuple):
    """What a reference leads to."""

    schema: Schema
    resolver: Any
    scope: tuple[str, ...]


Keywords = Mapping[str, Callable[..., Any]]


class Checked:
    """A schema that values are checked against. References to other documents are not followed."""

    def __init__(self, schema: JsonSchema, keywords: Keywords, found: Found) -> None:
        self.keywords = keywords
        self.found = found
        self._schema = schema
        self._quick = quick(schema)
        self._resolver = REGISTRY.resolver_with_root(DRAFT202012.create_resource(schema))
        self._references: dict[tuple[str, str, tuple[str, ...]], _Reference] = {}

    def problems(self, value: JsonValue) -> tuple[Problem, ...]:
        """What is wrong with a value, the nearest to its top first. Raises Unresolvable, and RecursionError where the
        schema refers to itself without end."""
        if self._quick is not None and self._quick.isinstance_python(value):
            return ()
        return Part(self, _Work(), self._schema, self._resolver, ()).problems(value)

    def reference(self, resolver: Any, scope: tuple[str, ...], name: str) -> _Reference:
        """Where a reference leads from there. Raises Unresolvable."""
        key = resolver._base_uri, name, scope
        if key not in self._references:
            there = resolver.lookup(name)
            # of what was passed on the way, only the schema of schemas asks: others must not, see `patterns.check`
            passed = tuple(uri for uri, _ in there.resolver.dynamic_scope() if uri.startswith(_META))
            self._references[key] = _Reference(there.contents, there.resolver, tuple(dict.fromkeys(passed[::-1])))
        return self._references[key]


@dataclass(slots=True)
class _Work:
    """What is known of one value: it holds both sides, so that their parts are told apart by their identity."""

    problems: dict[tuple[int, int, tuple[str, ...]], tuple[Problem, ...] | None] = field(default_factory=dict)
    """None: that is being found out."""
    evaluated: dict[tuple[int, int, tuple[str, ...]], frozenset[str | int]] = field(default_factory=dict)


class Part:
    """A part of the schema: what jsonschema's keywords take for their validator."""

    format_checker = None

    def __init__(self, whole: Checked, work: _Work, schema: Schema, resolver: Any, scope: tuple[str, ...]) -> None:
        if isinstance(schema, dict) and "$id" in schema:
            resolver = resolver.in_subresource(DRAFT202012.create_resource(schema))
        self.schema = schema
        self._whole, self._work, self._resolver, self._scope = whole, work, resolver, scope

    def problems(self, value: JsonValue) -> tuple[Problem, ...]:
        """What is wrong with this part of the value."""
        key = id(self.schema), id(value), self._scope
        known = self._work.problems.get(key, ())
        if known is None:
            raise RecursionError("it refers to itself without end")
        if known or key in self._work.problems:
            return known
        self._work.problems[key] = None
        found = self._work.problems[key] = self._check(value)
        return found

    def evaluated(self, value: dict[str, JsonValue] | list[JsonValue]) -> frozenset[str | int]:
        """The names or places of the value that some part of this one, where it fits, says something about."""
        key = id(self.schema), id(value), self._scope
        if key not in self._work.evaluated:
            found: set[str | int] = set(self._named(value) if isinstance(value, dict) else self._placed(value))
            for part in self._beside(value):
                found |= part.evaluated(value)
            self._work.evaluated[key] = frozenset(found)
        return self._work.evaluated[key]

    def _check(self, value: JsonValue) -> tuple[Problem, ...]:
        if isinstance(self.schema, bool):
            return () if self.schema else (Problem((), f"False schema does not allow {value!r}"),)
        problems: list[Problem] = []
        for word, said in self.schema.items():
            if (keyword := self._whole.keywords.get(word)) is not None:
                errors = keyword(self, said, value, self.schema) or ()
                problems += [Problem(tuple(error.relative_path), error.message) for error in errors]
        return tuple(sorted(problems, key=lambda problem: len(problem.path))[:MOST_PROBLEMS])

    # What is evaluated

    def _named(self, value: dict[str, JsonValue]) -> Iterator[str]:
        if isinstance(self.schema, bool):
            return
        yield from self.schema.get("properties", {}).keys() & value.keys()
        for word in ("additionalProperties", "unevaluatedProperties"):
            if (said := self.schema.get(word)) is not None:
                yield from (name for name, part in value.items() if self._part(said).is_valid(part))
        for pattern in self.schema.get("patternProperties", ()):
            yield from (name for name in value if self._whole.found(pattern, name))

    def _placed(self, value: list[JsonValue]) -> Iterator[int]:
        if isinstance(self.schema, bool):
            return
        if "items" in self.schema:
            yield from range(len(value))
        yield from range(len(self.schema.get("prefixItems", ())))
        for word in ("contains", "unevaluatedItems"):
            if (said := self.schema.get(word)) is not None:
                yield from (at for at, part in enumerate(value) if self._part(said).is_valid(part))

    def _beside(self, value: dict[str, JsonValue] | list[JsonValue]) -> "Iterator[Part]":
        """The parts that speak of the same value, as far as they fit."""
        if isinstance(self.schema, bool):
            return
        for word in ("$ref", "$dynamicRef"):
            if word in self.schema:
                yield self._referred(self.schema[word])
        for word in ("allOf", "oneOf", "anyOf"):
            parts = map(self._part, self.schema.get(word, ()))
            yield from (part for part in parts if part.is_valid(value))
        if isinstance(value, dict):
            asked = self.schema.get("dependentSchemas", {})
            yield from (self._part(said) for name, said in asked.items() if name in value)
        if "if" in self.schema:
            condition = self._part(self.schema["if"])
            words = ("if", "then") if condition.is_valid(value) else ("else",)
            yield from (self._part(self.schema[word]) for word in words if word in self.schema)

    def _part(self, schema: Schema) -> "Part":
        return Part(self._whole, self._work, schema, self._resolver, self._scope)

    def _referred(self, name: str) -> "Part":
        return Part(self._whole, self._work, *self._whole.reference(self._resolver, self._scope, name))

    # What keywords ask of jsonschema's validator

    def descend(
        self, instance: JsonValue, schema: Schema, path: str | int | None = None, schema_path: object = None
    ) -> Iterator[ValidationError]:
        """What is wrong with a part of the value."""
        return _errors(self._part(schema).problems(instance), () if path is None else (path,))

    def evolve(self, schema: Schema) -> "Part":
        """Another part of the schema."""
        return self._part(schema)

    def is_valid(self, instance: JsonValue) -> bool:
        """Whether nothing is wrong with it."""
        return not self.problems(instance)

    def is_type(self, instance: JsonValue, type: str) -> bool:
        """As JSON Schema understands types."""
        return bool(_TYPES.is_type(instance, type))

    def _validate_reference(self, ref: str, instance: JsonValue) -> Iterator[ValidationError]:
        return _errors(self._referred(ref).problems(instance), ())


def unevaluated_properties(
    part: Part, allowed: Schema, value: JsonValue, schema: JsonSchema
) -> Iterator[ValidationError]:
    """The keyword."""
    if not isinstance(value, dict):
        return
    known = part.evaluated(value)
    left = [name for name in value if name not in known]
    if not left:
        return
    names, were = ", ".join(map(repr, sorted(left) if allowed is False else left)), "was" if len(left) == 1 else "were"
    if allowed is False:
        yield ValidationError(f"Unevaluated properties are not allowed ({names} {were} unexpected)")
    else:
        why = f"({names} {were} unevaluated and invalid)"
        yield ValidationError(f"Unevaluated properties are not valid under the given schema {why}")


def unevaluated_items(part: Part, allowed: Schema, value: JsonValue, schema: JsonSchema) -> Iterator[ValidationError]:
    """The keyword."""
    if not isinstance(value, list):
        return
    known = part.evaluated(value)
    if left := [item for at, item in enumerate(value) if at not in known]:
        were = "was" if len(left) == 1 else "were"
        yield ValidationError(f"Unevaluated items are not allowed ({', '.join(map(repr, left))} {were} unexpected)")


def _errors(problems: tuple[Problem, ...], path: Path) -> Iterator[ValidationError]:
    return (ValidationError(problem.message, path=(*path, *problem.path)) for problem in problems)
