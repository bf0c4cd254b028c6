"""A tool's result as JSON: serialised as it is, never validated against the return annotation.

Apart from running the tool because the limits stand here. Iterating a cursor is part of the tool's work, so this is
called in the tool's own thread.
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any

from pydantic import JsonValue
from pydantic_core import PydanticSerializationError, from_json, to_json

from agentspan_schemas import MAX_RESULT_BYTES, Failure


@dataclass(frozen=True, slots=True)
class Returned:
    """What a tool returned, as JSON, and its size in bytes."""

    value: JsonValue
    size: int


@dataclass(frozen=True, slots=True)
class Raised:
    """Why there is no result, as the model will read it."""

    error: Failure


def serialise(tool: str, result: object) -> Returned | Raised:
    """The result as JSON; or the error when it has no JSON form or is over MAX_RESULT_BYTES.

    Models, dataclasses, enums, dates, Decimal and UUID have their usual form; iterables, generators and cursors
    become lists; rows with keys become objects. A generator that raises, raises here: it is the tool's code.
    """
    plain = list(result) if isinstance(result, Iterator) else result
    try:
        raw = to_json(plain, fallback=_plain)
    except (PydanticSerializationError, ValueError) as error:
        return Raised(_no_json(tool, result, str(error)))
    try:
        value: JsonValue = from_json(raw, allow_inf_nan=False)
    except ValueError:
        return Raised(_no_json(tool, result, "NaN and Infinity are no JSON, nor is what is too deep"))
    if len(raw) > MAX_RESULT_BYTES:
        message = (
            f"tool {tool!r} returned {len(raw)} bytes of JSON; a result is at most {MAX_RESULT_BYTES} bytes: "
            "ask for less, or return a reference to the whole"
        )
        return Raised(Failure(kind="result_too_large", message=message))
    return Returned(value, len(raw))


def _plain(value: Any) -> Any:
    if hasattr(value, "keys") and hasattr(value, "__getitem__"):
        return {key: value[key] for key in value.keys()}  # noqa: SIM118 (a row's iterator gives its values)
    if isinstance(value, Iterable):
        return list(value)
    raise TypeError(f"{type(value).__module__}.{type(value).__qualname__} has no JSON form")


def _no_json(tool: str, result: object, said: str) -> Failure:
    why = said.removeprefix("Error serializing to JSON: ").removeprefix("TypeError: ")
    message = (
        f"tool {tool!r} returned a value of type {type(result).__qualname__} that has no JSON form ({why}); "
        "return dicts, lists, strings, numbers, dataclasses or pydantic models"
    )
    return Failure(kind="unserialisable_result", message=message)
