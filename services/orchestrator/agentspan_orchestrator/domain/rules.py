"""The numbers and small rules that decisions rest on: back-off, limits, and when arguments fit a tool's schema."""

import hashlib
import math
from collections.abc import Iterable
from datetime import datetime, timedelta

from jsonschema.exceptions import SchemaError
from pydantic import JsonValue
from pydantic_core import to_json
from referencing.exceptions import Unresolvable

from agentspan_orchestrator.domain import patterns
from agentspan_schemas import MAX_DEPTH, MAX_VALUE_BYTES, JsonObject, JsonSchema

GRANT_S = 5.0
"""A grant is valid this long from the claim's first sending (DESIGN.md section 6)."""

MODEL_ATTEMPTS = 6
"""How often a model call is tried before the execution fails."""

LOST_ATTEMPTS = 5
"""How often a call may lose its worker before it is given up: it may be what kills them."""

OUTPUT_ASKS = 2
"""How often the model is asked to mend an output that breaks the schema."""

FIRST_BACKOFF_S = 1.0
LONGEST_BACKOFF_S = 60.0

MENDED_BY_PEOPLE = frozenset(
    {
        "authentication", "billing", "missing_key", "not_found", "permission", "unknown_provider",
        "recording_missing", "recording_unreadable",
    }
)  # fmt: skip
"""Failures of a model call that are not the execution's own: the server's key, its account, what it can reach."""

LONGEST_MENDING_S = 3600.0
MENDING_ATTEMPTS = 180
"""After the first turn such a call is asked again for a week, at last once an hour (docs/decisions/0131)."""

LONGEST_ASKED_S = 24 * 3600.0
"""A model's API that asks to be left alone for longer ends the execution (docs/decisions/0129)."""

TASK_ENVELOPE_BYTES = 8 * 1024
"""What a task holds beside arguments and metadata fits into this."""

NEVER_S = 100 * 365 * 24 * 3600.0
"""A wait is at most a century: what somebody asked for beyond it may have no date at all."""


def later(moment: datetime, seconds: float) -> datetime:
    """The moment `seconds` after another one, at most NEVER_S."""
    return moment + timedelta(seconds=min(seconds, NEVER_S))


def backoff(execution_id: str, step: str, attempt: int, longest_s: float = LONGEST_BACKOFF_S) -> timedelta:
    """How long to wait before the attempt after `attempt`: doubling, with a spread that follows from the ids."""
    ceiling = min(longest_s, FIRST_BACKOFF_S * 2 ** (attempt - 1))
    digest = hashlib.sha256(f"{execution_id}/{step}/{attempt}".encode()).digest()
    spread = int.from_bytes(digest[:4], "big") / 2**32
    return timedelta(seconds=ceiling * (0.5 + spread / 2))


def schema_problem(value: JsonValue | JsonObject, schema: JsonSchema) -> str | None:
    """What breaks the JSON Schema, with the field's path, or None. References to other documents are not followed."""
    try:
        problems = patterns.checked(to_json(schema)).problems(value)
    except SchemaError as error:
        return f"the schema itself is no JSON Schema: {_say(error)}"
    except Unresolvable as error:
        return f"the schema refers to {error.ref!r}, which it does not hold"
    except RecursionError:
        return "the value is nested too deeply for its schema, or the schema refers to itself without end"
    except Exception as error:  # schemas and values are others': what the checker cannot do must stop nobody
        return f"it can't be checked against its schema: {type(error).__name__}: {error}"
    return "; ".join(_say_at(problem.path, problem.message) for problem in problems) or None


def task_problem(args: JsonObject, metadata: JsonObject) -> str | None:
    """Why no task can hold these arguments, which travel with the execution's metadata, or None."""
    size = len(to_json(args)) + len(to_json(metadata))
    if size <= MAX_VALUE_BYTES - TASK_ENVELOPE_BYTES:
        return None
    return f"with the execution's metadata they are {size} bytes; one message is at most {MAX_VALUE_BYTES} bytes"


def wire_problem(value: JsonValue, depth: int = 0) -> str | None:
    """Why a reader of the log could not read this JSON value back, or None: JSON has no infinity, parsers a depth."""
    match value:
        case dict() | list() if depth == MAX_DEPTH:
            return f"nested more than {MAX_DEPTH} levels deep"
        case dict():
            return _first(wire_problem(part, depth + 1) for part in value.values())
        case list():
            return _first(wire_problem(part, depth + 1) for part in value)
        case float() if not math.isfinite(value):
            return "a number that is not finite"
        case _:
            return None


def _first(problems: Iterable[str | None]) -> str | None:
    return next(filter(None, problems), None)


def _say(error: SchemaError) -> str:
    return _say_at(error.absolute_path, f"{error.message}: {error.cause}" if error.cause else error.message)


def _say_at(path: Iterable[str | int], message: str) -> str:
    place = ".".join(map(str, path))
    return f"{place}: {message}" if place else message


def schema_error(schema: JsonSchema) -> str | None:
    """What is wrong with a JSON Schema itself, with the field's path, or None."""
    try:
        patterns.check(schema)
    except SchemaError as error:
        return f"not a JSON Schema: {_say(error)}"
    except RecursionError:
        return "not a JSON Schema: it is nested too deeply"
    return None
