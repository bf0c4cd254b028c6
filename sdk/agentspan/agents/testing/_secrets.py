"""Takes secrets out of what is written into a repository: by the name that a value stands under, and by its looks.

What stays has the same shape, so that a recording can still be replayed.
"""

import json
import re
from collections.abc import Mapping, Sequence
from typing import Final

from pydantic import JsonValue

REDACTED: Final = "[redacted]"

_SECRET_NAME: Final = re.compile(
    r"passw(or)?d|passphrase|secret|token|api_?key|access_?key|private_?key|authorization|credential|cookie",
    re.IGNORECASE,
)

_SECRET_LOOKS: Final = re.compile(
    r"""
      \b(?:sk|pk|rk)[-_][A-Za-z0-9_\-]{16,}           # keys of model and payment providers
    | \bAKIA[0-9A-Z]{16}\b                            # AWS
    | \bgh[pousr]_[A-Za-z0-9]{20,}                    # GitHub
    | \bxox[abeprs]-[A-Za-z0-9\-]{10,}                # Slack
    | \beyJ[A-Za-z0-9_\-]{8,}\.[A-Za-z0-9_\-]{8,}\.[A-Za-z0-9_\-]+  # a JSON Web Token
    | (?<=://)[^/\s:@]+:[^/\s@]+(?=@)                 # user and password in an address
    | (?<=[Bb]earer\s)[A-Za-z0-9._~+/=\-]{8,}
    | -----BEGIN[ ][A-Z ]*PRIVATE[ ]KEY-----[\s\S]*?-----END[ ][A-Z ]*PRIVATE[ ]KEY-----
    """,
    re.VERBOSE,
)

_SHORTEST: Final = 8
"""A secret of the environment shorter than this is a word that may stand anywhere."""


class Redactor:
    """Takes out what stands under a secret name or one of `names`, looks like a secret, or is one of `environment`.

    >>> Redactor(["iban"]).clean({"iban": "DE02", "api_key": "x", "note": "Bearer abcdefgh1", "input_tokens": 12})
    {'iban': '[redacted]', 'api_key': '[redacted]', 'note': 'Bearer [redacted]', 'input_tokens': 12}
    """

    def __init__(self, names: Sequence[str] = (), environment: Mapping[str, str] | None = None) -> None:
        self._names = {name.casefold() for name in names}
        values = (value for name, value in (environment or {}).items() if _SECRET_NAME.search(name))
        self._values = sorted({value for value in values if len(value) >= _SHORTEST}, key=lambda v: (-len(v), v))

    def clean(self, value: JsonValue) -> JsonValue:
        """The value without its secrets."""
        match value:
            case str():
                return self._clean_text(value)
            case list():
                return [self.clean(item) for item in value]
            case dict():
                return {name: self._clean_named(name, item) for name, item in value.items()}
            case _:
                return value

    def _clean_named(self, name: str, value: JsonValue) -> JsonValue:
        if name.casefold() in self._names and not isinstance(value, dict | list):
            return value if value is None else REDACTED
        if isinstance(value, str) and _SECRET_NAME.search(name):
            return REDACTED
        return self.clean(value)

    def _clean_text(self, text: str) -> str:
        """Text may be JSON itself, as an answer of a model is: the names in it count too."""
        if text.lstrip().startswith(("{", "[")):
            try:
                inside: JsonValue = json.loads(text)
            except ValueError:
                inside = None
            cleaned = self.clean(inside)
            if cleaned != inside:
                return json.dumps(cleaned, ensure_ascii=False)
        for value in self._values:
            text = text.replace(value, REDACTED)
        return _SECRET_LOOKS.sub(REDACTED, text)
