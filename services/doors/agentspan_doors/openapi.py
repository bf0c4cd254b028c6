"""The OpenAPI document: what FastAPI says of its routes, the plain routes beside them, and problems for all errors.

Apart from the application because hot routes are plain Starlette routes, of which FastAPI says nothing: whoever has
such routes describes each with a PlainDoor.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from pydantic import BaseModel
from pydantic.json_schema import JsonSchemaMode, models_json_schema

from agentspan_schemas.http import Problem

Document = dict[str, Any]

_REFS = "#/components/schemas/{model}"
_FASTAPIS_OWN = ("HTTPValidationError", "ValidationError")
"""What FastAPI says of its own validation errors; here they are problems."""


@dataclass(frozen=True, slots=True, kw_only=True)
class PlainDoor:
    """One operation of a plain route: `answers` are the fields' models, or None where the answer has no JSON body."""

    method: str
    path: str
    operation_id: str
    summary: str
    description: str
    tag: str
    takes: type[BaseModel] | None = None
    answers: type[BaseModel] | None = None
    status: int = 200
    also: tuple[int, ...] = ()
    """Other statuses with the same answer."""
    media_type: str = "application/json"
    query: tuple[str, ...] = ()
    writes: bool = False
    """Whether it takes the headers of a write: who calls, through what, and under which key."""
    keyed: bool = True
    """Whether a write takes that key; else what it says is its own."""


def completed(document: Document, plain: Iterable[PlainDoor]) -> Document:
    """FastAPI's document with the plain doors in it, and with problems as the answer to whatever is wrong."""
    doors = tuple(plain)
    schemas: Document = document.setdefault("components", {}).setdefault("schemas", {})
    schemas |= _schemas(doors)
    for name in _FASTAPIS_OWN:
        schemas.pop(name, None)
    for door in doors:
        document["paths"].setdefault(door.path, {})[door.method.lower()] = _operation(door)
    for path in document["paths"].values():
        for operation in path.values():
            operation["responses"].pop("422", None)
            operation["responses"]["default"] = _PROBLEM
    return document


_CALLERS_HEADERS = ("Agentspan-User", "Agentspan-Client")
_KEY_HEADERS = ("Idempotency-Key",)

_PROBLEM: Document = {
    "description": "What is wrong, and what to do next (RFC 9457)",
    "content": {"application/problem+json": {"schema": {"$ref": _REFS.format(model="Problem")}}},
}


def _schemas(doors: Iterable[PlainDoor]) -> Document:
    models: list[tuple[type[BaseModel], JsonSchemaMode]] = [(Problem, "serialization")]
    for door in doors:
        models += [(door.takes, "validation")] if door.takes else []
        models += [(door.answers, "serialization")] if door.answers else []
    _, definitions = models_json_schema(models, ref_template=_REFS)
    found: Document = definitions["$defs"]
    return found


def _operation(door: PlainDoor) -> Document:
    operation: Document = {
        "tags": [door.tag],
        "summary": door.summary,
        "description": door.description,
        "operationId": door.operation_id,
        "parameters": [
            *map(_in_path, _names(door.path)),
            *map(_in_query, door.query),
            *map(_in_header, _CALLERS_HEADERS if door.writes else ()),
            *map(_in_header, _KEY_HEADERS if door.writes and door.keyed else ()),
        ],
        "responses": {str(status): _answer(door) for status in (door.status, *door.also)},
    }
    if door.takes:
        operation["requestBody"] = {"required": True, "content": _content("application/json", door.takes)}
    return operation


def _answer(door: PlainDoor) -> Document:
    answer: Document = {"description": "Done"}
    return answer | ({"content": _content(door.media_type, door.answers)} if door.answers else {})


def _content(media_type: str, model: type[BaseModel]) -> Document:
    return {media_type: {"schema": {"$ref": _REFS.format(model=model.__name__)}}}


def _names(path: str) -> list[str]:
    return [part.strip("{}") for part in path.split("/") if part.startswith("{")]


def _in_path(name: str) -> Document:
    return {"name": name, "in": "path", "required": True, "schema": {"type": "string"}}


def _in_query(name: str) -> Document:
    return {"name": name, "in": "query", "required": False, "schema": {"type": "string"}}


def _in_header(name: str) -> Document:
    return {"name": name, "in": "header", "required": False, "schema": {"type": "string"}}
