"""JSON in which a name stands twice in one object: every parser takes it, and no two readers need take it alike.

Apart from the codec because it is asked only of what others wrote: of decisions, starts and tickets.
"""

import json
from collections.abc import Sequence
from typing import Any

from agentspan_schemas.errors import NameRepeated


def each_once(pairs: Sequence[tuple[str, Any]]) -> dict[str, Any]:
    """The object of these names and values, as a hook of `json.loads`. Raises NameRepeated."""
    found = dict(pairs)
    if len(found) < len(pairs):
        names = [name for name, _ in pairs]
        raise NameRepeated(next(name for name in names if names.count(name) > 1))
    return found


def refuse_repeated(raw: bytes) -> None:
    """Raises NameRepeated. The bytes are JSON, in UTF-8."""
    _READER.decode(raw.decode())


_READER = json.JSONDecoder(object_pairs_hook=each_once, parse_int=str, parse_float=str)
"""It looks at names alone: numbers stay as they are written."""
