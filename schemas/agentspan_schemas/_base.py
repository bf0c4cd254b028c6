"""The bases of every wire model, and the few shapes that several of them share.

Apart from the messages themselves because the rules stand here once: what is stored for ever keeps the fields it
does not know (`Wire`), what comes in at a door refuses them (`Request`).
"""

import math
from collections.abc import Iterable, Iterator
from datetime import UTC, datetime
from functools import cache
from typing import Annotated, Any, Literal, Self, TypeVar

from pydantic import AfterValidator, AwareDatetime, BaseModel, ConfigDict, Field, JsonValue

SCHEMA_VERSION = 1
"""The version of the contract that this code writes; a message of a higher one is not read (`NewerVersion`)."""

MAX_VALUE_BYTES = 1024 * 1024
"""One message is at most 1 MiB."""

MAX_RESULT_BYTES = 256 * 1024
"""A tool's result is at most 256 KiB of JSON; a larger one becomes a tool error that names both sizes."""

MAX_DEPTH = 100
"""JSON that comes in may be nested this deep: parsers have a limit, and what is stored must be read for ever."""

Effects = Literal["idempotent", "once"]
"""`idempotent`: run again after a lost lease, with the same key. `once`: claimed first, never run again blindly."""

JsonObject = dict[str, JsonValue]
JsonSchema = dict[str, Any]


def _levels(value: JsonValue) -> Iterator[list[JsonValue]]:
    """The value itself, its parts, their parts, and so on. Raises ValueError where that does not end soon."""
    level: list[JsonValue] = [value]
    for _ in range(MAX_DEPTH + 1):
        yield level
        level = [part for parent in level for part in _parts(parent)]
        if not level:
            return
    raise ValueError(f"nested more than {MAX_DEPTH} levels deep")


def _shallow(value: JsonValue) -> JsonValue:
    for _ in _levels(value):
        pass
    return value


def _finite(value: JsonValue) -> JsonValue:
    """Pydantic's JSON parser lets NaN and 1e999 into a JsonValue; on the log they would be null."""
    if any(isinstance(part, float) and not math.isfinite(part) for level in _levels(value) for part in level):
        raise ValueError("a number that is not finite; JSON has none")
    return value


def _parts(value: JsonValue) -> Iterable[JsonValue]:
    match value:
        case dict():
            return value.values()
        case list():
            return value
        case _:
            return ()


ShallowJson = Annotated[JsonValue, AfterValidator(_finite)]
ShallowObject = Annotated[JsonObject, AfterValidator(_shallow)]


def _to_utc(moment: datetime) -> datetime:
    return moment.astimezone(UTC)


Moment = Annotated[AwareDatetime, AfterValidator(_to_utc)]
"""A moment in UTC; one without a zone is refused."""

Name = Annotated[str, Field(min_length=1, max_length=128, pattern=r"^[A-Za-z0-9][A-Za-z0-9_.\-]*$")]
"""The name of an agent or a tool: letters, digits, `_`, `.`, `-`."""


class Wire(BaseModel):
    """What is written to a topic: frozen, and unknown fields survive a round trip."""

    model_config = ConfigDict(frozen=True, extra="allow", allow_inf_nan=False)

    @classmethod
    def of(cls, **fields: Any) -> Self:
        """A message of values that are known to be valid, such as those that came in at a door: nothing is validated.

        Four times as fast as the constructor. Raises TypeError for a field that is missing or unknown.
        """
        blank, required, names = _blank(cls)
        values = blank | fields
        if len(values) != len(blank) or not required <= fields.keys():
            wrong = sorted(fields.keys() ^ blank.keys() if len(values) != len(blank) else required - fields.keys())
            raise TypeError(f"{cls.__name__} is made of other fields; missing or unknown: {', '.join(wrong)}")
        return _made(cls, values, names)


W = TypeVar("W", bound=Wire)


def _made(kind: type[W], values: dict[str, Any], names: set[str]) -> W:
    made = object.__new__(kind)
    object.__setattr__(made, "__dict__", values)
    object.__setattr__(made, "__pydantic_fields_set__", names)
    object.__setattr__(made, "__pydantic_extra__", {})
    object.__setattr__(made, "__pydantic_private__", None)
    return made


@cache
def _blank(kind: type[BaseModel]) -> tuple[dict[str, Any], frozenset[str], set[str]]:
    """All fields in their order, with the defaults where there are some; the names of those without; and all names, one
    set for all messages of a kind: one of each message's own would be a fifth of its memory."""
    fields = kind.model_fields.items()
    blank = {name: field.get_default() for name, field in fields}
    return blank, frozenset(n for n, f in fields if f.is_required()), set(blank)


class Request(BaseModel):
    """What comes in at a door: frozen, and an unknown field is an error, as nobody would act on it."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)


class Usage(Wire):
    """Tokens of one model call, as the provider counted them."""

    input_tokens: int = 0
    output_tokens: int = 0
    cache_read_tokens: int = 0
    cache_write_tokens: int = 0


class Failure(Wire):
    """Why something did not work: a stable `kind` to match on, and a sentence that says what to do next."""

    kind: str
    message: str
    details: JsonObject | None = None
