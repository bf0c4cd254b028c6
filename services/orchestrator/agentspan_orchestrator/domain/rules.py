"""The numbers and small rules that decisions rest on: back-off, limits, and when arguments fit a tool's schema."""

import hashlib
import json
from datetime import timedelta
from functools import lru_cache

from jsonschema import Draft202012Validator
from jsonschema.exceptions import ValidationError
from pydantic import JsonValue
from referencing import Registry
from referencing.exceptions import Unresolvable

from agentspan_schemas import JsonObject, JsonSchema

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


def backoff(execution_id: str, step: str, attempt: int) -> timedelta:
    """How long to wait before the attempt after `attempt`: doubling, with a spread that follows from the ids."""
    ceiling = min(LONGEST_BACKOFF_S, FIRST_BACKOFF_S * 2 ** (attempt - 1))
    digest = hashlib.sha256(f"{execution_id}/{step}/{attempt}".encode()).digest()
    spread = int.from_bytes(digest[:4], "big") / 2**32
    return timedelta(seconds=ceiling * (0.5 + spread / 2))


def schema_problem(value: JsonValue | JsonObject, schema: JsonSchema) -> str | None:
    """What breaks the JSON Schema, with the field's path, or None. References to other documents are not followed."""
    try:
        errors = sorted(_validator(json.dumps(schema, sort_keys=True)).iter_errors(value), key=_depth)
    except Unresolvable as error:
        return f"the schema refers to {error.ref!r}, which it does not hold"
    if not errors:
        return None
    return "; ".join(_say(error) for error in errors[:3])


@lru_cache(maxsize=4096)
def _validator(schema: str) -> Draft202012Validator:
    return Draft202012Validator(json.loads(schema), registry=Registry())


def _depth(error: ValidationError) -> int:
    return len(error.absolute_path)


def _say(error: ValidationError) -> str:
    path = ".".join(str(part) for part in error.absolute_path)
    return f"{path}: {error.message}" if path else error.message
