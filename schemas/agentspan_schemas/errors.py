"""What can be wrong with a message.

    ContractError
    ├── Unreadable            not JSON, or fields that break the schema
    │   ├── UnknownType       a type that this version does not know
    │   └── NewerVersion      written by a later version of the contract
    ├── TooLarge              over MAX_VALUE_BYTES
    ├── NameRepeated          JSON with a name twice in one object
    └── NotCanonical          a value that RFC 8785 has no form for

Unreadable errors keep the bytes: nothing is lost, a dead-letter topic or a later version can have them.
"""

from pydantic import ValidationError


class ContractError(ValueError):
    """The root of this package's errors."""


class Unreadable(ContractError):
    """The bytes are not a message of this contract; `.raw` has them."""

    def __init__(self, message: str, raw: bytes) -> None:
        super().__init__(message)
        self.raw = raw


class UnknownType(Unreadable):
    """A message of a type that this version does not know: upgrade the reader."""


class NewerVersion(Unreadable):
    """A message of a later version of the contract: upgrade the reader."""


class TooLarge(ContractError):
    """A message over the limit; the text names both sizes."""


class NameRepeated(ContractError):
    """JSON in which `.name` stands twice in one object: the last would count here, and the first for another reader,
    as a proxy that checks it or a person."""

    def __init__(self, name: str) -> None:
        super().__init__(f"{name!r} stands twice: leave one, so that all read the same")
        self.name = name


class NotCanonical(ContractError):
    """A value without a canonical form."""


def describe(error: ValidationError) -> str:
    """The first few problems of a validation, each with the field's path."""
    problems = error.errors(include_url=False, include_context=False, include_input=False)
    shown = "; ".join(
        f"{'.'.join(map(str, p['loc'])) or 'value'}: {p['msg'].removeprefix('Value error, ')}" for p in problems[:3]
    )
    return shown if len(problems) <= 3 else f"{shown}; and {len(problems) - 3} more"
