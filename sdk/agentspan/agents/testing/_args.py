"""Which args a test means: some of them with their values, or a function of all of them. Used by scripts and checks."""

from collections.abc import Mapping
from typing import Any

from agentspan.agents.testing._script import ArgsMatch


def args_match(actual: Mapping[str, Any] | None, wanted: ArgsMatch | None) -> bool:
    """Whether these are the args that are meant; None means any.

    >>> args_match({"id": "c1", "amount_usd": 10.0}, {"amount_usd": 10})
    True
    >>> args_match({"id": "c1", "amount_usd": 10.0}, lambda args: args["amount_usd"] > 25)
    False
    """
    given = dict(actual or {})
    if wanted is None:
        return True
    if callable(wanted):
        return bool(wanted(given))
    return all(name in given and given[name] == value for name, value in wanted.items())


def args_text(wanted: ArgsMatch | None) -> str:
    """The same for a message: ` with {...}`, or nothing where any args do.

    >>> args_text({"id": "c1"})
    " with args {'id': 'c1'}"
    """
    if wanted is None:
        return ""
    if callable(wanted):
        return f" with args that {getattr(wanted, '__name__', None) or repr(wanted)} accepts"
    return f" with args {dict(wanted)!r}"
