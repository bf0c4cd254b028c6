"""The table of names that comparable products have and this release has not, from the code that refuses them."""

from collections import defaultdict
from collections.abc import Iterator, Mapping

from agentspan.agents import _absent

WHERE: Mapping[str, Mapping[str, str]] = {
    "": _absent.NAMES,
    "of `agentspan.agents.testing`": _absent.TESTING_NAMES,
    "of `Agent`": _absent.AGENT_OPTIONS,
    "of `@tool`": _absent.TOOL_OPTIONS,
    "of `start`": _absent.START_OPTIONS,
    "of `serve`": _absent.SERVE_OPTIONS,
    "of `configure`": _absent.CONFIGURE_OPTIONS,
    "of a handle or a runtime": _absent.METHODS,
}
"""Who refuses, to what; a package's own names have nobody before them."""


def table() -> str:
    """One row for each advice, with all the names that it is for."""
    names = defaultdict[str, list[str]](list)
    for where, refused in WHERE.items():
        for advice, these in _by_advice(refused):
            listed = ", ".join(f"`{name}`" for name in these)
            names[advice].append(f"{listed} {where}".rstrip())
    rows = [f"| {'; '.join(these)} | {advice} |" for advice, these in names.items()]
    return "\n".join(["| absent | do this |", "|---|---|", *rows])


def _by_advice(refused: Mapping[str, str]) -> Iterator[tuple[str, list[str]]]:
    for advice in dict.fromkeys(refused.values()):
        yield advice, [name for name, its in refused.items() if its == advice]
